package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

func TestFixed(t *testing.T) {
	for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 16: 16} {
		if got := schedule.Fixed(n).Now(); got != want {
			t.Errorf("Fixed(%d) lets %d fly, want %d", n, got, want)
		}
	}
}

// TestLimitRisesOnlyWhileItBinds keeps so many keys always full, and looks how far the limit goes.
func TestLimitRisesOnlyWhileItBinds(t *testing.T) {
	for _, c := range []struct{ keys, want int }{{1, 1}, {2, 2}, {10, 16}, {100, 64}} {
		t.Run(fmt.Sprintf("%d keys", c.keys), func(t *testing.T) {
			s := schedule.NewKeyed(engine.BatchLimits{MaxRecords: 1}, schedule.NewAdaptive(1, 64))
			stream, now := &engine.Stream{}, time.Unix(0, 0)
			add := func(key string) {
				s.Add(now, engine.Span{Key: key, Stream: stream, Records: engine.SelectRange(0, 1), Bytes: 1, Arrived: now})
			}
			for i := range c.keys {
				add(fmt.Sprint(i))
				add(fmt.Sprint(i))
			}
			for range 200 {
				for _, b := range fly(s, now) {
					add(b.Key)
					s.Done(now, b, engine.Result{Latency: usual})
				}
				now = now.Add(usual)
			}
			if _, got := s.InFlight(); got != c.want {
				t.Errorf("%d may fly, want %d", got, c.want)
			}
		})
	}
}

// TestWhatDoneTellsTheLimit says which landings count as failed.
func TestWhatDoneTellsTheLimit(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		name      string
		notBefore time.Time
		failed    bool
	}{
		{"a rest that may go at once", time.Time{}, false},
		{"a rest that may go now", now, false},
		{"a rest that backs off", now.Add(1), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l landings
			s := schedule.NewKeyed(engine.BatchLimits{}, &l)
			s.Add(now, engine.Span{Key: "k", Stream: &engine.Stream{}, Records: engine.SelectRange(0, 1), Arrived: now})
			for _, b := range fly(s, now) {
				b.NotBefore = c.notBefore
				s.Done(now, b, engine.Result{Rest: []*engine.Batch{b}, Latency: usual, Pushback: true})
			}
			want := schedule.Landing{Latency: usual, Pushback: true, Failed: c.failed}
			if len(l) != 1 || l[0] != want {
				t.Errorf("the limit was told %+v, want %+v", l, want)
			}
		})
	}
}

// TestWhatDoesNotFlyTellsTheLimitNothing puts batches down again between a push-back and the landings of what flew with it.
func TestWhatDoesNotFlyTellsTheLimitNothing(t *testing.T) {
	now := time.Unix(0, 0)
	limit := schedule.NewAdaptive(8, 64)
	land(limit, 8+16+32, busy)
	s := schedule.NewKeyed(engine.BatchLimits{}, limit)
	depart := func(prefix string, n int) []*engine.Batch {
		for i := range n {
			s.Add(now, engine.Span{
				Key: fmt.Sprint(prefix, i), Stream: &engine.Stream{}, Records: engine.SelectRange(0, 1), Arrived: now,
			})
		}
		return fly(s, now)
	}
	all := depart("a", 20)
	s.Done(now, all[0], engine.Result{Pushback: true})
	_, lowered := s.InFlight()
	for _, b := range depart("b", 10) {
		b.NotBefore = now.Add(time.Second)
		s.Done(now, b, engine.Result{Rest: []*engine.Batch{b}, Unflown: true})
	}
	for _, b := range all[1:] {
		s.Done(now, b, engine.Result{Pushback: true})
	}
	if _, got := s.InFlight(); got != lowered || lowered != 32 {
		t.Errorf("%d may fly after a push-back of all, %d after the first", got, lowered)
	}
}

// landings is a limit of one that keeps what it was told.
type landings []schedule.Landing

func (l *landings) Now() int                  { return 1 }
func (l *landings) Landed(x schedule.Landing) { *l = append(*l, x) }

// fly gives all batches that fly now.
func fly(s engine.Scheduler, now time.Time) (all []*engine.Batch) {
	for {
		b, _ := s.Next(now)
		if b == nil {
			return all
		}
		all = append(all, b)
	}
}
