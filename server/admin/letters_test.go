package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestListTellsAll(t *testing.T) {
	s := fill(1, "hello")
	s.letters[0].Message = "not \xff UTF-8"
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		got, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		if err != nil || len(got) != 1 {
			t.Fatalf("%d letters, %v", len(got), err)
		}
		text := func(s string) *sluicev1.AnyValue {
			return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
		}
		want := &sluicev1.DeadLetter{
			Id: 1, Output: "a", Target: "group/stream", Reason: "too_old", Message: "not \uFFFD UTF-8", RequestId: "req-1", Attempts: 3,
			FirstAttempt: timestamppb.New(noon().Add(-time.Minute)), LastAttempt: timestamppb.New(noon()),
			Tenant: "default", StreamId: "s1", Tag: "shop.checkout", Epoch: 7, Sequence: 101,
			Arrived:  timestamppb.New(noon().Add(-time.Hour)),
			Resource: &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "host.name", Value: text("h")}}},
			Record: &sluicev1.LogRecord{
				TimeUnixNano:   uint64(time.Date(2026, 1, 1, 0, 0, 0, 101e6, time.UTC).UnixNano()),
				SeverityNumber: sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO,
				Body:           text("hello"),
				Attributes:     []*sluicev1.KeyValue{{Key: "k", Value: text("v")}},
			},
		}
		if diff := cmp.Diff(want, got[0], protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestListFilters(t *testing.T) {
	minute := func(n int) *timestamppb.Timestamp { return timestamppb.New(noon().Add(time.Duration(n) * time.Minute)) }
	in(t, fill(6, "x"), noReplay, func(t *testing.T, r *rig) {
		for name, c := range map[string]struct {
			filter *sluicev1.DeadLetterFilter
			limit  uint64
			want   []uint64
		}{
			"no filter":      {nil, 0, []uint64{1, 2, 3, 4, 5, 6}},
			"output":         {&sluicev1.DeadLetterFilter{Output: "b"}, 0, []uint64{2, 4, 6}},
			"reason":         {&sluicev1.DeadLetterFilter{Reason: "too_old"}, 0, []uint64{1, 3, 5}},
			"since":          {&sluicev1.DeadLetterFilter{Since: minute(4)}, 0, []uint64{5, 6}},
			"until":          {&sluicev1.DeadLetterFilter{Until: minute(2)}, 0, []uint64{1, 2}},
			"IDs":            {&sluicev1.DeadLetterFilter{Ids: []uint64{6, 2, 99}}, 0, []uint64{2, 6}},
			"limit":          {nil, 4, []uint64{1, 2, 3, 4}},
			"all at once":    {&sluicev1.DeadLetterFilter{Output: "a", Reason: "too_old", Since: minute(1), Until: minute(5)}, 1, []uint64{3}},
			"nothing chosen": {&sluicev1.DeadLetterFilter{Output: "c"}, 0, nil},
		} {
			got, _, err := r.list(&sluicev1.ListDeadLettersRequest{Filter: c.filter, Limit: c.limit})
			var ids []uint64
			for _, l := range got {
				ids = append(ids, l.GetId())
			}
			if err != nil || !slices.Equal(ids, c.want) {
				t.Errorf("%s: %v, %v; want %v", name, ids, err, c.want)
			}
		}
	})
}

// Letters share responses, but not so many that a response grows too large to be read.
func TestListSplits(t *testing.T) {
	in(t, fill(100, strings.Repeat("x", 10_000)), noReplay, func(t *testing.T, r *rig) {
		got, responses, err := r.list(&sluicev1.ListDeadLettersRequest{})
		if err != nil || len(got) != 100 || responses < 10 || responses > 20 {
			t.Errorf("%d letters in %d responses, %v", len(got), responses, err)
		}
	})
}

func TestUnreadableLetters(t *testing.T) {
	s := fill(20, "x")
	s.bad = []uint64{3, 4}
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		got, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		wantStatus(t, err, codes.Internal, "dead letter 3: checksum\ndead letter 4: checksum")
		if len(got) != 18 {
			t.Errorf("%d letters", len(got))
		}
		_, err = r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
		wantStatus(t, err, codes.Internal, "18 dropped: dead letter 3: checksum")
		if left := s.ids(); !slices.Equal(left, s.bad) {
			t.Errorf("left %v", left)
		}
		// They go when they are named.
		byID := &sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Ids: []uint64{4, 4, 5, 3}}}
		if m, err := r.DropDeadLetters(t.Context(), byID); err != nil || m.GetDropped() != 2 || len(s.ids()) != 0 {
			t.Errorf("dropped %d, %v, left %v", m.GetDropped(), err, s.ids())
		}
	})
	s = fill(20, "x")
	s.bad = s.ids()
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		_, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		wantStatus(t, err, codes.Internal, "dead letter 10: checksum\nand 10 more like these")
	})
}

func TestDrop(t *testing.T) {
	s := fill(6, "x")
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		for name, c := range map[string]struct {
			request *sluicev1.DropDeadLettersRequest
			want    string
		}{
			"nothing said":      {&sluicev1.DropDeadLettersRequest{}, "that must be said"},
			"empty filter":      {&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{}}, "that must be said"},
			"all with a filter": {&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Output: "a"}, All: true}, "no filter"},
			"too many IDs":      {&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Ids: make([]uint64, 1001)}}, "at most 1000"},
			"bad time": {&sluicev1.DropDeadLettersRequest{
				Filter: &sluicev1.DeadLetterFilter{Since: &timestamppb.Timestamp{Nanos: -1}},
			}, "filter.since: "},
		} {
			_, err := r.DropDeadLetters(t.Context(), c.request)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left := s.ids(); len(left) != 6 {
			t.Fatalf("left %v", left)
		}
		drop := func(want uint64, request *sluicev1.DropDeadLettersRequest) {
			t.Helper()
			if m, err := r.DropDeadLetters(t.Context(), request); err != nil || m.GetDropped() != want {
				t.Errorf("dropped %d, %v; want %d", m.GetDropped(), err, want)
			}
		}
		drop(2, &sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Output: "a", Until: timestamppb.New(noon().Add(3 * time.Minute))}})
		if left := s.ids(); !slices.Equal(left, []uint64{2, 4, 5, 6}) {
			t.Errorf("left %v", left)
		}
		drop(4, &sluicev1.DropDeadLettersRequest{All: true})
		drop(0, &sluicev1.DropDeadLettersRequest{All: true})
		s.letters, s.refuse = fill(1, "x").letters, errors.New("read-only file system")
		_, err := r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
		wantStatus(t, err, codes.Internal, "0 dropped: read-only file system")
		r.finish()
		for _, want := range []string{`level=INFO msg="dead letters left their store" by=drop letters=2 output=a`, `err="read-only file system"`} {
			if !strings.Contains(r.logs.String(), want) {
				t.Errorf("no %s in\n%s", want, &r.logs)
			}
		}
	})
}

func TestNoStore(t *testing.T) {
	in(t, nil, nil, func(t *testing.T, r *rig) {
		const want = "no dead-letter store: it comes with buffer.type disk"
		_, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		wantStatus(t, err, codes.FailedPrecondition, want)
		_, err = r.replays(t.Context(), nil)
		wantStatus(t, err, codes.FailedPrecondition, want)
		_, err = r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
		wantStatus(t, err, codes.FailedPrecondition, want)
	})
}

// slow replays n letters, one a step.
func slow(n int64, step time.Duration) Replay {
	return func(ctx context.Context, _ engine.LetterFilter, told func(int64)) (int64, error) {
		for i := range n {
			select {
			case <-time.After(step):
				told(i + 1)
			case <-ctx.Done():
				return i, fmt.Errorf("replay: %w", context.Cause(ctx))
			}
		}
		return n, nil
	}
}

func TestReplay(t *testing.T) {
	var got engine.LetterFilter
	replay := func(ctx context.Context, f engine.LetterFilter, told func(int64)) (int64, error) {
		got = f
		return slow(1000, 10*time.Millisecond)(ctx, f, told)
	}
	in(t, fill(1, "x"), replay, func(t *testing.T, r *rig) {
		told, err := r.replays(t.Context(), &sluicev1.DeadLetterFilter{Output: "a", Ids: []uint64{1, 2}})
		if err != nil {
			t.Fatal(err)
		}
		var n []uint64
		for i, m := range told {
			n = append(n, m.GetReplayed())
			if m.GetDone() != (i == len(told)-1) {
				t.Errorf("response %d: %v", i, m)
			}
		}
		// One a second in ten, and the last one.
		if want := []uint64{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000}; !slices.Equal(n, want) {
			t.Errorf("told %v", n)
		}
		if got.Output != "a" || !slices.Equal(got.IDs, []uint64{1, 2}) {
			t.Errorf("filter %+v", got)
		}
	})
}

// A replay lasts as long as it lasts, also without a word: the deadline of plain answers is not its.
func TestLongReplay(t *testing.T) {
	in(t, fill(1, "x"), slow(3, time.Hour), func(t *testing.T, r *rig) {
		told, err := r.replays(t.Context(), nil)
		if err != nil || len(told) != 4 || !told[3].GetDone() {
			t.Errorf("told %v, %v", told, err)
		}
	})
}

func TestReplayThatFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{errors.New(`2 dead letters: no output is named "x"`), codes.Internal},
		{fmt.Errorf("replay: %w", &engine.Error{Code: engine.CodeUnavailable, Msg: "the gateway stopped"}), codes.Unavailable},
	} {
		replay := func(context.Context, engine.LetterFilter, func(int64)) (int64, error) { return 5, c.err }
		in(t, fill(1, "x"), replay, func(t *testing.T, r *rig) {
			told, err := r.replays(t.Context(), nil)
			wantStatus(t, err, c.code, c.err.Error())
			if len(told) != 1 || told[0].GetReplayed() != 5 || told[0].GetDone() {
				t.Errorf("told %v", told)
			}
		})
	}
}

// The caller goes away in the middle: the replay ends, and the next one may begin.
func TestReplayCancelled(t *testing.T) {
	s := fill(4, "x")
	ended := make(chan error, 1)
	replay := func(ctx context.Context, f engine.LetterFilter, told func(int64)) (int64, error) {
		n, err := slow(60, time.Second)(ctx, f, told)
		ended <- err
		return n, err
	}
	in(t, s, replay, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3500*time.Millisecond, cancel)
		told, err := r.replays(ctx, nil)
		if len(told) != 3 || status.Code(err) != codes.Canceled {
			t.Errorf("told %v, %v", told, err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		synctest.Wait()
		if told, err := r.replays(t.Context(), nil); err != nil || told[len(told)-1].GetReplayed() != 60 {
			t.Errorf("then: told %v, %v", told, err)
		}
	})
}

func TestOneChangeAtATime(t *testing.T) {
	s := fill(4, "x")
	in(t, s, slow(60, time.Second), func(t *testing.T, r *rig) {
		var first sync.WaitGroup
		first.Go(func() {
			if told, err := r.replays(t.Context(), nil); err != nil || told[len(told)-1].GetReplayed() != 60 {
				t.Errorf("first: told %v, %v", told, err)
			}
		})
		time.Sleep(10 * time.Second)
		_, err := r.replays(t.Context(), nil)
		wantStatus(t, err, codes.Aborted, "is under way")
		_, err = r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true})
		wantStatus(t, err, codes.Aborted, "is under way")
		if got, _, err := r.list(&sluicev1.ListDeadLettersRequest{}); err != nil || len(got) != 4 {
			t.Errorf("list: %d letters, %v", len(got), err)
		}
		first.Wait()
		if _, err := r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
