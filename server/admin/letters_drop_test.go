package admin

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// What cannot be read is dropped where all is, or by its ID; a filter leaves it, and that is told.
func TestDropUnreadableLetters(t *testing.T) {
	for name, c := range map[string]struct {
		request *sluicev1.DropDeadLettersRequest
		want    *sluicev1.DropDeadLettersResponse
		left    []uint64
	}{
		"all": {&sluicev1.DropDeadLettersRequest{All: true}, &sluicev1.DropDeadLettersResponse{Dropped: 8, DroppedUnread: 3}, nil},
		"IDs": {
			&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Ids: []uint64{4, 4, 5, 3}}},
			&sluicev1.DropDeadLettersResponse{Dropped: 3, DroppedUnread: 2}, []uint64{1, 2, 6, 7, 8},
		},
		"a filter": {
			&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Output: "a"}},
			&sluicev1.DropDeadLettersResponse{Dropped: 2, Left: 3, Faults: []string{
				"dead letter 3 cannot be read: checksum", "dead letter 4 cannot be read: checksum", "dead letter 7 cannot be read: checksum",
			}},
			[]uint64{2, 3, 4, 6, 7, 8},
		},
		"a filter and IDs": {
			&sluicev1.DropDeadLettersRequest{Filter: &sluicev1.DeadLetterFilter{Output: "a", Ids: []uint64{7, 1, 8}}},
			&sluicev1.DropDeadLettersResponse{Dropped: 1, Left: 1, Faults: []string{"dead letter 7 cannot be read: checksum"}},
			[]uint64{2, 3, 4, 5, 6, 7, 8},
		},
	} {
		s := fill(8, "x")
		s.bad = []uint64{3, 4, 7}
		in(t, s, noReplay, func(t *testing.T, r *rig) {
			got, err := r.DropDeadLetters(t.Context(), c.request)
			if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("%s: %v, %s", name, err, diff)
			}
			if left := s.ids(); !slices.Equal(left, c.left) {
				t.Errorf("%s: left %v", name, left)
			}
		})
	}
}

// Faults that are many are told in part, and counted as a whole.
func TestDropLeavesMany(t *testing.T) {
	s := fill(100, "x")
	s.bad = between(21, 100)
	d, err := DropLetters(t.Context(), s, engine.LetterFilter{Output: "a"})
	if err != nil || d.Letters != 10 || d.Left != 80 || len(d.Faults) != 11 || d.Faults[10] != "and 70 more like these" {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = DropLetters(t.Context(), s, engine.LetterFilter{}); err != nil || d.Letters != 90 || d.Unread != 80 || len(s.ids()) > 0 {
		t.Errorf("%+v, %v, left %v", d, err, s.ids())
	}
}

func between(first, last uint64) (ids []uint64) {
	for id := first; id <= last; id++ {
		ids = append(ids, id)
	}
	return ids
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
		if want := `by=drop letters=0 all=true err="read-only file system"`; !strings.Contains(r.logs.String(), want) {
			t.Errorf("no %s in\n%s", want, &r.logs)
		}
	})
}
