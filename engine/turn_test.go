package engine_test

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

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// The next batch is prepared while one flies, and sent at the instant at which that lands: no slot is empty for a moment.
func TestTheNextStandsBy(t *testing.T) {
	const batches = 4 // of a stream
	for name, c := range map[string]struct {
		scheduler engine.Scheduler
		slots     int
		streams   []string
	}{
		"sync, one key":                  {schedule.NewSync(tens()), 1, []string{"a"}},
		"sync, several keys":             {schedule.NewSync(tens()), 1, []string{"a", "b", "c"}},
		"keyed, one key":                 {schedule.NewKeyed(tens(), schedule.Fixed(4)), 1, []string{"a"}},
		"keyed, as many keys as slots":   {schedule.NewKeyed(tens(), schedule.Fixed(2)), 2, []string{"a", "b"}},
		"keyed, more keys than slots":    {schedule.NewKeyed(tens(), schedule.Fixed(2)), 2, []string{"a", "b", "c", "d"}},
		"keyed, adaptive, with one slot": {schedule.NewKeyed(tens(), schedule.NewAdaptive(1, 1)), 1, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(nil)
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, c.scheduler)}})
				for _, id := range c.streams {
					r.append(r.open(engine.Open{StreamID: id}), 1, numbered(id, 10*batches)...)
				}
				n := batches * len(c.streams)
				time.Sleep(time.Hour)
				r.finish()
				start := y.all()[0].began // of the others some may have gathered for a moment
				for _, id := range c.streams {
					wantBodies(t, id, y.ofStream(id), numbered(id, 10*batches))
				}
				y.wantAlone(t, c.slots)
				y.wantCalledOff(t)
				flown := y.flown()
				if last := flown[len(flown)-1].over.Sub(start).Round(time.Second); len(flown) != n || last != y.prepare+y.flight*time.Duration(n/c.slots) {
					t.Errorf("%d batches in %v, want %d, one after the other", len(flown), last, n)
				}
				for i, l := range flown[c.slots:] {
					if l.began.Sub(start) < y.prepare || l.went.Sub(l.began) < y.flight-y.prepare {
						t.Errorf("batch %d began at %v, had its turn at %v", i+c.slots, l.began.Sub(start), l.went.Sub(start))
					}
				}
				r.wantDone("out", map[string]int64{"delivered": int64(10 * n)})
				if got := r.output("out").Attempts; len(got) != 1 || got["ok"] != int64(n) {
					t.Errorf("attempts %v", got)
				}
			})
		})
	}
}

// Who does not say that a batch is sent has no second Write, nor has who gave up order: what may fly does.
func TestNobodyStandsBy(t *testing.T) {
	for name, c := range map[string]struct {
		scheduler engine.Scheduler
		quiet     bool
		slots     int
	}{
		"sync, not told":  {schedule.NewSync(tens()), true, 1},
		"keyed, not told": {schedule.NewKeyed(tens(), schedule.Fixed(2)), true, 1},
		"concurrent":      {schedule.NewConcurrent(tens(), schedule.Fixed(2)), false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(nil)
				y.quiet = c.quiet
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, c.scheduler)}})
				r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 40)...)
				r.finish()
				for _, l := range y.flown() {
					if l.went.Sub(l.began) != y.prepare {
						t.Errorf("%s waited for its turn until %v after its beginning", l.bodies, l.went.Sub(l.began))
					}
				}
				if n := len(y.all()); n != 4 {
					t.Errorf("%d writes", n)
				}
			})
		})
	}
}

// A batch that could be fuller by the time of its turn does not stand by: what comes meanwhile goes with it.
func TestOnlyFullBatchesStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newRelay(nil)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewSync(tens()))}})
		s := r.open(engine.Open{StreamID: "a"})
		r.append(s, 1, numbered("a", 15)...)
		time.Sleep(3 * time.Second)
		if n := len(y.all()); n != 1 {
			t.Errorf("%d writes while half a batch waits", n)
		}
		r.append(s, 16, numbered("a", 25)[15:]...)
		time.Sleep(time.Second) // it is full now
		if n := len(y.all()); n != 2 {
			t.Errorf("%d writes while a batch and a half wait", n)
		}
		r.finish()
		y.wantFlown(t, "1-10/1", "11-20/1", "21-25/1")
		y.wantCalledOff(t)
	})
}

// What stands by for want of a slot has the first one that is free, whoever leaves it; the oldest before the others.
func TestStandingByForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newRelay(nil)
		y.then = func(_ context.Context, b *engine.Batch) error {
			if b.Key == "a" || b.Key == "b" {
				time.Sleep(30 * time.Second)
			}
			return nil
		}
		y.answer = func(ctx context.Context, b *engine.Batch) error {
			if b.Key == "c" {
				time.Sleep(10 * time.Second) // never says that it is sent: the others stand by for a and b
				return nil
			}
			return y.run(ctx, b)
		}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewKeyed(tens(), schedule.Fixed(3)))}})
		start := time.Now()
		for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
			r.append(r.open(engine.Open{StreamID: id}), 1, numbered(id, 10)...)
			time.Sleep(100 * time.Millisecond)
		}
		r.finish()
		y.wantAlone(t, 3)
		y.wantCalledOff(t)
		var at []string
		for _, l := range y.flown() {
			at = append(at, fmt.Sprint(l.key, l.went.Sub(start).Round(time.Second)))
		}
		if want := []string{"a1s", "b1s", "d10s", "e15s", "f20s"}; !slices.Equal(at, want) {
			t.Errorf("turns %v, want %v", at, want)
		}
	})
}

// flights is an observer.
type flights struct {
	mu  sync.Mutex // guards what follows
	all []engine.Flight
}

func (f *flights) Flew(flight engine.Flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, flight)
}

func (f *flights) latencies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, x := range f.all {
		all = append(all, x.Result+" "+x.Latency.String())
	}
	return all
}

// A Write's time counts from its turn: its deadline, its latency, and when it is said to be overdue.
func TestTimeCountsFromTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, seen := newRelay(nil), &flights{}
		o := tenEach(y, schedule.NewSync(tens()))
		o.FlushTimeout = 6 * time.Second
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}, Observer: seen})
		s := r.open(engine.Open{StreamID: "a"})
		r.append(s, 1, numbered("a", 30)...)
		for range 14 {
			time.Sleep(time.Second)
			if st := r.output("out"); st.Overdue > 0 || st.InFlight != 1 {
				t.Errorf("%d in flight, %d overdue", st.InFlight, st.Overdue)
			}
		}
		r.finish()
		if got, want := seen.latencies(), []string{"ok 6s", "ok 5s", "ok 5s"}; !slices.Equal(got, want) {
			t.Errorf("latencies %v, want %v", got, want)
		}
		y.wantFlown(t, "1-10/1", "11-20/1", "21-30/1")
	})
}

// A Write that stood by ends at its deadline, whichever context it waits with, and though it never asked for its turn.
func TestADeadlineAfterStandingBy(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return engine.Retryable(ctx.Err())
	}
	for name, second := range map[string]func(ctx context.Context, b *engine.Batch) error{
		"with the context of its turn": func(ctx context.Context, b *engine.Batch) error {
			ctx, end, err := b.Turn(ctx)
			if err != nil {
				return engine.Retryable(err)
			}
			defer end()
			return hang(ctx)
		},
		"with the context of the Write": func(ctx context.Context, b *engine.Batch) error {
			_, end, err := b.Turn(ctx)
			if err != nil {
				return engine.Retryable(err)
			}
			defer end()
			return hang(ctx)
		},
		"while it prepares": func(ctx context.Context, _ *engine.Batch) error { return hang(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y, seen, hung := newRelay(nil), &flights{}, 0
				y.answer = func(ctx context.Context, b *engine.Batch) error {
					if bodiesIn(b)[0] == "a-11" && hung == 0 {
						hung++
						return second(ctx, b)
					}
					return y.run(ctx, b)
				}
				o := tenEach(y, schedule.NewSync(tens()))
				o.FlushTimeout = 8 * time.Second
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}, Observer: seen})
				r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 30)...)
				time.Sleep(time.Minute)
				got := seen.latencies()
				if len(got) != 4 || !strings.HasPrefix(got[1], "retryable 8") || slices.Contains(got, "retryable 9s") {
					t.Errorf("flights %v, want the second to end after 8 s", got)
				}
				r.finish()
				wantBodies(t, "delivered", y.bodies(), numbered("a", 30))
			})
		})
	}
}

// An output may say that a batch is sent when its Write is over already, and it is tried again: nobody notices.
func TestSentTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		tries := 0
		out := &probe{answer: func(_ context.Context, b *engine.Batch) error {
			tries++
			for range 3 {
				all.Go(b.Sent)
			}
			if tries < 20 {
				return errDown
			}
			return nil
		}}
		o := keyed("out", out)
		o.Retry = engine.Retry{Base: time.Nanosecond, Cap: time.Nanosecond}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 10)...)
		r.finish()
		all.Wait()
		wantBodies(t, "delivered", out.bodies(), numbered("a", 10))
	})
}

// Turn is there for who never stands by: it is his turn, up to the context's end.
func TestTurnOfABatchThatFliesAtOnce(t *testing.T) {
	b := engine.NewBatch(engine.Span{Records: engine.SelectRange(0, 1)})
	b.Sent()
	ctx, cancel := context.WithCancel(t.Context())
	got, end, err := b.Turn(ctx)
	if err != nil || got.Err() != nil {
		t.Errorf("Turn: %v", err)
	}
	end()
	cancel()
	if _, _, err := b.Turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Turn after the end: %v", err)
	}
}

// What was delivered is acked 2 ms later where the next batch leaves at this moment, as that is in more of a hurry; and at once where
// none does.
func TestAcksAfterTheNextHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newRelay(nil)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewSync(tens()))}})
		s := r.open(engine.Open{StreamID: "a"})
		for first, all := 0, numbered("a", 30); first < 30; first += 10 { // a chunk each
			r.append(s, uint64(first+1), all[first:first+10]...)
			time.Sleep(100 * time.Millisecond)
		}
		start := y.all()[0].began
		for _, want := range []struct {
			at    time.Duration // from the first batch's landing
			acked uint64
		}{{-1, 0}, {0, 0}, {2*time.Millisecond - 1, 0}, {2 * time.Millisecond, 10}, {y.flight, 10}, {y.flight + 2*time.Millisecond, 20}, {2 * y.flight, 30}} {
			time.Sleep(time.Until(start.Add(y.prepare + y.flight + want.at)))
			synctest.Wait()
			if got := status(s).Acked; got != want.acked {
				t.Errorf("%v after the first landing: acked %d, want %d", want.at, got, want.acked)
			}
		}
		r.finish()
	})
}

// What was delivered and is not told yet takes no room from what comes: nothing is dropped for it.
func TestNothingIsDroppedForWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const charge = 1<<10 + 512 // of a small chunk
		y := newRelay(nil)
		o := tenEach(y, schedule.NewSync(tens()))
		o.DropOldest, o.Share = true, 3*charge+100
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "a"})
		all := numbered("a", 40)
		add := func(first int) {
			a := r.records(uint64(first+1), all[first:first+10]...)
			a.Flush = true
			if err := s.Append(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for first := 0; first < 30; first += 10 {
			add(first)
		}
		if used := r.output("out").ShareUsed; used != 3*charge {
			t.Fatalf("three chunks take %d bytes, not %d", used, 3*charge)
		}
		time.Sleep(y.prepare + y.flight + time.Millisecond) // the first is delivered, the second leaves
		add(30)
		time.Sleep(time.Minute)
		wantBodies(t, "delivered", y.bodies(), all)
		r.finish()
	})
}
