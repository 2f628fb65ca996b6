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

// TestLimitRisesOnlyWhileItBinds keeps so many keys always full, and looks how far the limit goes. It goes as far where
// batches stand by.
func TestLimitRisesOnlyWhileItBinds(t *testing.T) {
	for _, c := range []struct{ keys, want int }{{1, 1}, {2, 2}, {10, 16}, {100, 64}} {
		for _, standing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d keys, standing by: %v", c.keys, standing), func(t *testing.T) {
				s := schedule.NewKeyed(engine.BatchLimits{MaxRecords: 1}, schedule.NewAdaptive(1, 64))
				now := time.Unix(0, 0)
				for i := range c.keys {
					s.Add(now, one(fmt.Sprint(i), now))
					s.Add(now, one(fmt.Sprint(i), now))
				}
				var flights []*engine.Batch
				for range 200 {
					flights = append(flights, fly(s, now)...)
					now = now.Add(usual)
					flights = landFull(s, now, flights, standing)
				}
				if _, got := s.InFlight(); got != c.want {
					t.Errorf("%d may fly, want %d", got, c.want)
				}
			})
		}
	}
}

// landFull lands flights, each after something stands by for it where that is asked, and adds to each key as much as it
// delivers. It gives what flies then.
func landFull(s engine.Scheduler, now time.Time, flights []*engine.Batch, standing bool) (launched []*engine.Batch) {
	followers := make([]*engine.Batch, len(flights))
	for i, b := range flights {
		if standing {
			followers[i] = s.Follow(now, b)
		}
	}
	for i, b := range flights {
		s.Add(now, one(b.Key, now))
		s.Done(now, b, engine.Result{Latency: usual})
		switch f := followers[i]; {
		case f == nil:
		case s.Launch(now, f):
			launched = append(launched, f)
		default:
			putBack(s, now, f)
		}
	}
	return launched
}

// putBack gives back what stood by.
func putBack(s engine.Scheduler, now time.Time, f *engine.Batch) {
	s.Done(now, f, engine.Result{Back: f.Spans, Unflown: true})
}

// one is a span of one record, which fills a batch of these tests.
func one(key string, now time.Time) engine.Span {
	return engine.Span{Key: key, Stream: &engine.Stream{}, Records: engine.SelectRange(0, 1), Bytes: 1, Arrived: now}
}

// TestWhatStandsByTellsTheLimit says whether the limit is all that keeps from flying what stands by.
func TestWhatStandsByTellsTheLimit(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		name, key string
		bound     bool
	}{
		{"for want of a slot", "other", true},
		{"for its key alone", "own", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l landings
			s := schedule.NewKeyed(engine.BatchLimits{MaxRecords: 1}, &l)
			s.Add(now, one("own", now))
			b, _ := s.Next(now)
			s.Add(now, one(c.key, now))
			f := s.Follow(now, b)
			if f == nil {
				t.Fatal("nothing stands by")
			}
			s.Done(now, b, engine.Result{Latency: usual})
			if want := (schedule.Landing{Latency: usual, Bound: c.bound}); len(l) != 1 || l[0] != want {
				t.Errorf("the limit was told %+v, want %+v", l, want)
			}
			s.Launch(now, f)
			s.Done(now, f, engine.Result{Latency: usual})
			if want := (schedule.Landing{Latency: usual}); len(l) != 2 || l[1] != want {
				t.Errorf("then the limit was told %+v, want %+v", l, want)
			}
		})
	}
}

// TestPutBackTellsTheLimitNothing has two stand by, which are not sent after all.
func TestPutBackTellsTheLimitNothing(t *testing.T) {
	now := time.Unix(0, 0)
	var l landings
	s := schedule.NewKeyed(engine.BatchLimits{MaxRecords: 1}, &l)
	s.Add(now, one("own", now))
	b, _ := s.Next(now)
	for _, key := range []string{"own", "other"} {
		s.Add(now, one(key, now))
		putBack(s, now, s.Follow(now, b))
	}
	if len(l) != 0 {
		t.Errorf("the limit was told %+v, want nothing", l)
	}
}

// TestFallenLimit has more fly than may.
func TestFallenLimit(t *testing.T) {
	now := time.Unix(0, 0)
	limit := movable(3)
	s := schedule.NewKeyed(engine.BatchLimits{MaxRecords: 1}, &limit)
	for _, key := range []string{"a", "b", "c", "a", "b", "c"} {
		s.Add(now, one(key, now))
		now = now.Add(1)
	}
	flights := fly(s, now)
	first := s.Follow(now, flights[0])

	limit = 2
	if f := s.Follow(now, flights[1]); f != nil {
		t.Errorf("key %q follows, though one too many flies", f.Key)
	}
	s.Done(now, flights[0], engine.Result{})
	if s.Launch(now, first) {
		t.Error("what stood by flies, though there is no slot for it any more")
	}
	putBack(s, now, first)
	if flying, _ := s.InFlight(); flying != 2 || s.Waiting() != 3 {
		t.Errorf("%d fly and %d wait, want 2 and 3", flying, s.Waiting())
	}
	second := s.Follow(now, flights[1])
	if second == nil || second.Key != "a" {
		t.Fatalf("%v follows, want what was put back", second)
	}
	s.Done(now, flights[1], engine.Result{})
	if !s.Launch(now, second) {
		t.Error("what stood by does not fly in the slot that came free")
	}
}

// movable is a limit that a test moves.
type movable int

func (m *movable) Now() int              { return int(*m) }
func (*movable) Landed(schedule.Landing) {}

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
