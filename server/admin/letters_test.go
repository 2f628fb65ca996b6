package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
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

// A field of a filter that somebody forgets would have a drop take what it must not.
func TestFiltersAreWhole(t *testing.T) {
	var empty, full sluicev1.DeadLetterFilter
	if f, err := letterFilter(&empty); err != nil || !f.All() || !f.IDsAlone() {
		t.Errorf("empty: %+v, %v", f, err)
	}
	fields := full.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		one := (&sluicev1.DeadLetterFilter{}).ProtoReflect()
		switch value := one.NewField(field); field.Kind() {
		case protoreflect.StringKind:
			one.Set(field, protoreflect.ValueOfString("x"))
		case protoreflect.Uint64Kind:
			value.List().Append(protoreflect.ValueOfUint64(1))
			one.Set(field, value)
		default:
			one.Set(field, protoreflect.ValueOfMessage(timestamppb.New(noon()).ProtoReflect()))
		}
		f, err := letterFilter(one.Interface().(*sluicev1.DeadLetterFilter))
		if err != nil || f.All() || f.IDsAlone() != (field.Name() == "ids") {
			t.Errorf("%s: %+v, %v", field.Name(), f, err)
		}
		if elsewhere := (&engine.Letter{DeadLetter: engine.DeadLetter{Last: noon().Add(until(field))}}); f.Matches(elsewhere) {
			t.Errorf("%s: all match", field.Name())
		}
	}
	if n := reflect.TypeFor[engine.LetterFilter]().NumField(); n != fields.Len() {
		t.Errorf("the engine's filter has %d fields, the wire's %d", n, fields.Len())
	}
}

// until is when a letter was tried that a filter by one time passes over, from that time on.
func until(field protoreflect.FieldDescriptor) time.Duration {
	if field.Name() == "since" {
		return -time.Second
	}
	return time.Second
}

func TestListFilters(t *testing.T) {
	minute := func(n int) *timestamppb.Timestamp { return timestamppb.New(noon().Add(time.Duration(n) * time.Minute)) }
	s := fill(6, "x")
	for _, l := range s.letters {
		if l.ID%3 == 0 {
			l.Tag = "shop.cart"
		}
		if l.ID > 3 {
			l.StreamID = fmt.Sprint("s", l.ID/2)
		}
	}
	in(t, s, noReplay, func(t *testing.T, r *rig) {
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
			"tag":            {&sluicev1.DeadLetterFilter{Tag: "shop.cart"}, 0, []uint64{3, 6}},
			"part of a tag":  {&sluicev1.DeadLetterFilter{Tag: "shop"}, 0, nil},
			"stream":         {&sluicev1.DeadLetterFilter{StreamId: "s2", Output: "b"}, 0, []uint64{4}},
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
		wantStatus(t, err, codes.Internal, "dead letter 3 cannot be read: checksum\ndead letter 4 cannot be read: checksum")
		if len(got) != 18 {
			t.Errorf("%d letters", len(got))
		}
	})
	s = fill(20, "x")
	s.bad = s.ids()
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		_, _, err := r.list(&sluicev1.ListDeadLettersRequest{})
		wantStatus(t, err, codes.Internal, "dead letter 10 cannot be read: checksum\nand 10 more like these")
	})
}

// An ID that no letter has is told, by all calls, and once. One that the rest of the filter passes over has a letter, and so has one
// that cannot be read.
func TestMissingIDs(t *testing.T) {
	s := fill(6, "x")
	s.bad = []uint64{4}
	in(t, s, noReplay, func(t *testing.T, r *rig) {
		f := &sluicev1.DeadLetterFilter{Output: "a", Ids: []uint64{99, 3, 4, 7, 6, 99, 1}}
		want := []uint64{7, 99}
		ss, err := r.ListDeadLetters(t.Context(), &sluicev1.ListDeadLettersRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ss.Recv(); err != nil || len(m.GetDeadLetters()) != 2 || !slices.Equal(m.GetMissingIds(), want) {
			t.Errorf("list: %v, %v", m, err)
		}
		if _, err = ss.Recv(); status.Code(err) != codes.Internal {
			t.Errorf("list: ended with %v", err)
		}
		if told, err := r.replays(t.Context(), f); err != nil || len(told) != 1 || !slices.Equal(told[0].GetMissingIds(), want) {
			t.Errorf("replay: %v, %v", told, err)
		}
		m, err := r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{Filter: f})
		if err != nil || m.GetDropped() != 2 || m.GetLeft() != 1 || !slices.Equal(m.GetMissingIds(), want) {
			t.Errorf("drop: %v, %v", m, err)
		}
		// Behind the limit nobody looked.
		ss, err = r.ListDeadLetters(t.Context(), &sluicev1.ListDeadLettersRequest{
			Filter: &sluicev1.DeadLetterFilter{Ids: []uint64{2, 6, 99}}, Limit: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ss.Recv(); err != nil || len(m.GetDeadLetters()) != 1 || len(m.GetMissingIds()) > 0 {
			t.Errorf("list with a limit: %v, %v", m, err)
		}
		// And where there is nothing else to tell.
		got, responses, err := r.list(&sluicev1.ListDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Ids: []uint64{8}}})
		if err != nil || len(got) > 0 || responses != 1 {
			t.Errorf("list of nothing: %v, %d responses, %v", got, responses, err)
		}
	})
}

// The log says who left the store by what was asked for, and nothing of what is in them.
func TestChangesAreLogged(t *testing.T) {
	s := fill(6, "secret")
	in(t, s, slow(3, 0), func(t *testing.T, r *rig) {
		for _, f := range []*sluicev1.DeadLetterFilter{
			nil,
			{Reason: "too_old", Since: timestamppb.New(noon()), Until: timestamppb.New(noon().Add(time.Hour))},
			{Tag: "shop.checkout", StreamId: "s1", Ids: []uint64{1, 2, 3}},
		} {
			if _, err := r.replays(t.Context(), f); err != nil {
				t.Error(err)
			}
		}
		f := &sluicev1.DeadLetterFilter{Output: "a", Until: timestamppb.New(noon().Add(3 * time.Minute))}
		if _, err := r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{Filter: f}); err != nil {
			t.Error(err)
		}
		if _, err := r.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true}); err != nil {
			t.Error(err)
		}
		r.finish()
		var got []string
		for line := range strings.Lines(r.logs.String()) {
			if _, what, ok := strings.Cut(line, `level=INFO msg="dead letters left their store" `); ok {
				got = append(got, strings.TrimSpace(what))
			}
		}
		want := []string{
			"by=replay letters=3 all=true",
			"by=replay letters=3 reason=too_old since=2026-01-02T12:00:00Z until=2026-01-02T13:00:00Z",
			"by=replay letters=3 tag=shop.checkout stream=s1 ids=3",
			"by=drop letters=2 output=a until=2026-01-02T12:03:00Z",
			"by=drop letters=4 all=true",
		}
		if diff := cmp.Diff(want, got); diff != "" || strings.Contains(r.logs.String(), "secret") {
			t.Errorf("%s in\n%s", diff, &r.logs)
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
