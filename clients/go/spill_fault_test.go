package sluice_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

func TestSpillOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		var told []sluice.Drop
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{QueueRecords: 2, Hooks: sluice.Hooks{
			OnDrop: func(d sluice.Drop) { told = append(told, d) },
		}})
		log(t, s.Stream, 1, 5)
		synctest.Wait()
		s.disk.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write || op.Kind == crashfs.Create {
				return crashfs.Fault{Err: syscall.ENOSPC, Through: 7}
			}
			return crashfs.Fault{}
		})
		for range 3 {
			if err := s.Log(t.Context(), "x"); !errors.Is(err, sluice.ErrSpillFailed) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("Log: %v", err)
			}
			settle(time.Second)
		}
		if st := s.Stats(); st.Dropped.SpillFailed != 3 || !errors.Is(st.Spill.Err, syscall.ENOSPC) || st.Added != 5 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.paused = false }) // acks cannot be noted either
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 5), 0)
		s.disk.Inject(nil)
		log(t, s.Stream, 6, 7)
		settle(2 * time.Second)
		if st := s.Stats(); st.Spill.Err != nil || st.Dropped.SpillFailed != 3 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 7), 0)
		if len(told) != 3 || told[0].Reason != sluice.DropSpillFailed || told[0].Records != 1 {
			t.Errorf("told %+v", told)
		}
		if names := segments(s.disk); names != nil {
			t.Errorf("left behind: %q", names)
		}
	})
}

// A disk that does not read for a while, and one that never reads a segment again.
func TestSpillThatCannotBeRead(t *testing.T) {
	for _, tt := range []struct {
		lasts time.Duration
		lost  int
	}{{30 * time.Second, 0}, {time.Hour, 1}} {
		t.Run(tt.lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t)
				g.paused = true
				line := strings.Repeat("x", 500)
				s := produce(t, crashfs.New(), g, sluice.StreamOptions{QueueRecords: 2, Spill: &sluice.SpillOptions{MaxBytes: 64 << 10}})
				for i := 1; i <= 50; i++ {
					if err := s.Log(t.Context(), fmt.Sprint(i, line)); err != nil {
						t.Fatal(err)
					}
				}
				bad := segments(s.disk)[3]
				s.disk.Inject(func(op crashfs.Op) crashfs.Fault {
					if op.Kind == crashfs.Read && op.Name == bad {
						return crashfs.Fault{Err: syscall.EIO}
					}
					return crashfs.Fault{}
				})
				g.set(func() { g.paused = false })
				settle(tt.lasts)
				if st := s.Stats(); tt.lost == 0 && !errors.Is(st.Spill.Err, syscall.EIO) {
					t.Errorf("stats %+v", st)
				}
				s.disk.Inject(nil)
				closeClean(t, s.Stream)
				taken, dup := g.taken("s")
				st := s.Stats()
				if dup != 0 || (st.Dropped.SpillLost > 0) != (tt.lost > 0) || len(taken) != 50-int(st.Dropped.SpillLost)+tt.lost {
					t.Errorf("%d taken, %d twice, stats %+v", len(taken), dup, st)
				}
			})
		})
	}
}

// Bytes that went bad in the middle cost the records that they are in, which is told in their place.
func TestSpillThatIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.refuse = status.Error(codes.Unavailable, "away")
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{})
		log(t, s.Stream, 11, 30)
		d := s.kill()
		name := segments(d)[0]
		at := len(d.Content(name)) - 20*(24+17)
		for _, i := range []int{4, 5, 6, 12} {
			d.Flip(name, int64(at+i*(24+17)+30), 0xff)
		}
		var told []sluice.Drop
		s = produce(t, d, g, sluice.StreamOptions{Hooks: sluice.Hooks{OnDrop: func(d sluice.Drop) { told = append(told, d) }}})
		log(t, s.Stream, 31, 33)
		settle(time.Second)
		g.set(func() { g.refuse = nil })
		closeClean(t, s.Stream)
		want := append(numbers(11, 14), "sluice: 3 records dropped: lost from the spill")
		want = append(append(want, numbers(18, 22)...), "sluice: 1 record dropped: lost from the spill")
		wantTaken(t, g, "s", append(want, numbers(24, 33)...), 0)
		if st := s.Stats(); st.Dropped.SpillLost != 4 || st.Spill.Resumed != 16 || st.Reports != 2 || st.Acked != 16+3+2 {
			t.Errorf("stats %+v", st)
		}
		if len(told) != 1 || told[0] != (sluice.Drop{Reason: sluice.DropSpillLost, Records: 4}) {
			t.Errorf("told %+v", told)
		}
	})
}

// Segments of which nothing is left, between others whose records the gateway does not have, or has and acks at once.
func TestSpillWithEmptySegments(t *testing.T) {
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t)
				g.hold, g.paused = true, !known
				s := produce(t, crashfs.New(), g, sluice.StreamOptions{Spill: &sluice.SpillOptions{MaxBytes: 64 << 10}})
				settle(time.Second)
				line := strings.Repeat("x", 500)
				for i := 1; i <= 40; i++ {
					if err := s.Log(t.Context(), fmt.Sprint(i, line)); err != nil {
						t.Fatal(err)
					}
				}
				settle(time.Second)
				d := s.kill()
				for _, name := range segments(d)[1:3] {
					content := d.Content(name)
					clear(content[len(content)-7*(24+520):])
					d.Put(name, content)
				}
				g.set(func() { g.hold, g.paused = false, false })
				s = produce(t, d, g, sluice.StreamOptions{QueueRecords: 1})
				closeClean(t, s.Stream)
				st := s.Stats()
				want := 40 - int(st.Dropped.SpillLost) + int(st.Reports)
				if known {
					want = 40
				}
				if taken, dup := g.taken("s"); len(taken) != want || st.Dropped.SpillLost < 10 || dup != 0 {
					t.Errorf("%d taken, %d twice, stats %+v", len(taken), dup, st)
				}
			})
		})
	}
}
