package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

func TestSpillIsBounded(t *testing.T) {
	line := strings.Repeat("x", 1000)
	number := func(i int) string { return fmt.Sprintf("%04d %s", i, line) }
	start := func(t *testing.T, policy sluice.Policy) (*gateway, *producer) {
		g := newGateway(t)
		g.paused = true
		return g, produce(t, crashfs.New(), g, sluice.StreamOptions{
			WhenFull: policy, QueueRecords: 10, Spill: &sluice.SpillOptions{MaxBytes: 128 << 10},
		})
	}
	t.Run("block", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, s := start(t, sluice.Block)
			n := 0
			for ; ; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				err := s.Log(ctx, number(n))
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if b := s.Stats().Spill.Bytes; b > 128<<10 {
					t.Fatalf("%d bytes", b)
				}
			}
			if n < 110 || n > 128 {
				t.Errorf("%d records were taken", n)
			}
			g.set(func() { g.paused = false })
			for i := n; i < 1000; i++ {
				if err := s.Log(t.Context(), number(i)); err != nil {
					t.Fatal(err)
				}
			}
			closeClean(t, s.Stream)
			taken, dup := g.taken("s")
			if len(taken) != 1000 || dup != 0 || taken[999] != number(999) {
				t.Errorf("%d taken, %d twice", len(taken), dup)
			}
		})
	})
	t.Run("drop newest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, s := start(t, sluice.DropNewest)
			n := 0
			for i := range 300 {
				if err := s.Log(t.Context(), number(i)); err == nil && n == i {
					n++
				} else if !errors.Is(err, sluice.ErrQueueFull) {
					t.Fatalf("record %d after %d: %v", i, n, err)
				}
			}
			g.set(func() { g.paused = false })
			settle(time.Second)
			if err := s.Log(t.Context(), "and on"); err != nil {
				t.Fatal(err)
			}
			closeClean(t, s.Stream)
			taken, _ := g.taken("s")
			dropped := fmt.Sprintf("sluice: %d records dropped: queue full", 300-n)
			if len(taken) != n+2 || taken[n] != dropped || taken[n+1] != "and on" {
				t.Errorf("%d of %d taken, then %q", len(taken), n, taken[n:])
			}
			if st := s.Stats(); st.Dropped.QueueFull != uint64(300-n) || st.Reports != 1 || st.Acked != st.Added+1 {
				t.Errorf("stats %+v", st)
			}
		})
	})
	t.Run("drop oldest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, s := start(t, sluice.DropOldest)
			for i := range 1000 {
				if err := s.Log(t.Context(), number(i)); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				if b := s.Stats().Spill.Bytes; b > 128<<10 {
					t.Fatalf("%d bytes", b)
				}
			}
			settle(time.Second)
			dropped := int(s.Stats().Dropped.QueueFull)
			if dropped < 870 || dropped > 900 {
				t.Errorf("%d dropped", dropped)
			}
			g.set(func() { g.paused = false })
			closeClean(t, s.Stream)
			taken, _ := g.taken("s")
			if taken[0] != fmt.Sprintf("sluice: %d records dropped: queue full", dropped) || len(taken) != 1001-dropped {
				t.Fatalf("%d taken, the first %.60q", len(taken), taken[0])
			}
			for i, r := range taken[1:] {
				if r != number(dropped+i) {
					t.Fatalf("%.20q after %d", r, dropped+i)
				}
			}
			if st := s.Stats(); st.Acked+st.Dropped.Total() != st.Added+st.Reports || st.Reports != 1 {
				t.Errorf("stats %+v", st)
			}
		})
	})
}

// What is dropped behind records that are sent and not acked leaves a gap, which is sent over once these are acked.
func TestSpillDropsBehindWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{
			WhenFull: sluice.DropOldest, Spill: &sluice.SpillOptions{MaxBytes: 64 << 10},
		})
		log(t, s.Stream, 1, 5)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		line := strings.Repeat("x", 500)
		for i := 6; i <= 500; i++ {
			if err := s.Log(t.Context(), fmt.Sprint(i, line)); err != nil {
				t.Fatal(err)
			}
		}
		g.set(func() { g.paused = false })
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 5), 0)
		d := s.kill()
		g.set(func() { g.hold = false })
		s = produce(t, d, g, sluice.StreamOptions{})
		closeClean(t, s.Stream)
		taken, dup := g.taken("s")
		for i, r := range taken {
			taken[i] = strings.TrimRight(r, "x")
		}
		first := 0
		var count int
		for i, r := range taken {
			if _, err := fmt.Sscanf(r, "sluice: %d records dropped: lost from the spill", &count); err == nil {
				first = i
			}
		}
		want := append(numbers(1, 5), numbers(6, first)...)
		want = append(append(want, taken[first]), numbers(first+count+1, 500)...)
		if diff := cmp.Diff(want, taken); diff != "" || dup != 0 || count < 300 {
			t.Errorf("%d twice, %d dropped: %s", dup, count, diff)
		}
	})
}

// A record that is larger than the spill is let in while that is empty.
func TestSpillOfALargeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{Spill: &sluice.SpillOptions{MaxBytes: 64 << 10}})
		for range 3 {
			if err := s.Log(t.Context(), strings.Repeat("x", 500_000)); err != nil {
				t.Fatal(err)
			}
			log(t, s.Stream, 1, 2)
		}
		closeClean(t, s.Stream)
		if taken, dup := g.taken("s"); len(taken) != 9 || dup != 0 {
			t.Errorf("%d taken, %d twice", len(taken), dup)
		}
	})
}
