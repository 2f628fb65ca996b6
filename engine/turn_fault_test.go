package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// first answers a batch's first flight so, of those that begin with that record, and takes everything else.
func first(body string, then answer) answer {
	var once atomic.Bool
	return func(ctx context.Context, b *engine.Batch) error {
		if bodiesIn(b)[0] == body && once.CompareAndSwap(false, true) {
			return then(ctx, b)
		}
		return nil
	}
}

// says is an answer that is always the same.
func says(err error) answer { return func(context.Context, *engine.Batch) error { return err } }

// Whatever becomes of the batch ahead: what stands by goes at that instant if all of it is done and its destination is well.
// If not it is called off, was never attempted, and goes behind what is left of the one ahead.
func TestWhatBecomesOfTheOneAhead(t *testing.T) {
	upTo := func(n int) []engine.Range { return []engine.Range{{From: 0, To: n}} }
	lastBad := []engine.Rejected{{Range: engine.Range{From: 9, To: 10}, Reason: "bad"}}
	failed := []string{"1-10/1", "1-10/2", "11-20/1", "21-30/1", "31-37/1"}
	for name, c := range map[string]struct {
		ahead     answer
		flown     []string
		calledOff []string
		attempts  map[string]int64
		lost      int
	}{
		"it fails":      {says(errDown), failed, []string{"11-20"}, map[string]int64{"retryable": 1, "ok": 4}, 0},
		"it is delayed": {says(engine.RetryAfter(20*time.Second, errDown)), failed, []string{"11-20"}, map[string]int64{"throttled": 1, "ok": 4}, 0},
		"it times out": {
			func(ctx context.Context, _ *engine.Batch) error { <-ctx.Done(); return ctx.Err() },
			failed, []string{"11-20"}, map[string]int64{"retryable": 1, "ok": 4}, 0,
		},
		"it is denied": {says(engine.Denied(errDown)), failed, []string{"11-20"}, map[string]int64{"denied": 1, "ok": 4}, 0},
		"it panics": {
			func(context.Context, *engine.Batch) error { panic("ahead") },
			failed, []string{"11-20"}, map[string]int64{"panic": 1, "ok": 4}, 0,
		},
		"it answers garbage": {
			says(&engine.Partial{Delivered: []engine.Range{{From: 11, To: 12}}}), failed, []string{"11-20"}, map[string]int64{"retryable": 1, "ok": 4}, 0,
		},
		"it is refused": {
			says(engine.Permanent("no", errDown)), []string{"1-10/1", "1-5/1", "6-10/1", "11-20/1", "21-30/1", "31-37/1"},
			[]string{"11-20"}, map[string]int64{"permanent": 1, "ok": 5}, 0,
		},
		"it fails half-way": {
			says(&engine.Partial{Delivered: upTo(6), Err: errDown}), []string{"1-10/1", "7-10/1", "11-20/1", "21-30/1", "31-37/1"},
			[]string{"11-20"}, map[string]int64{"partial": 1, "ok": 4}, 0,
		},
		"all is rejected and the destination is not well": {
			says(&engine.Partial{Delivered: upTo(9), Rejected: lastBad, Err: errDown}),
			[]string{"1-10/1", "11-20/1", "21-30/1", "31-37/1"}, []string{"11-20"}, map[string]int64{"partial": 1, "ok": 3}, 1,
		},
		"it takes a part": { // what is left over goes first, and what flies then is not trusted to fit either
			says(&engine.Partial{Delivered: upTo(6)}), []string{"1-10/1", "7-16/1", "17-26/1", "27-36/1", "37-37/1"},
			[]string{"11-20"}, map[string]int64{"partial": 1, "ok": 4}, 0,
		},
		"it rejects some": {
			says(&engine.Partial{Delivered: upTo(9), Rejected: lastBad}),
			[]string{"1-10/1", "11-20/1", "21-30/1", "31-37/1"}, nil, map[string]int64{"partial": 1, "ok": 3}, 1,
		},
	} {
		for scheduler, build := range ordered(4) {
			t.Run(name+", "+scheduler, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					y := newRelay(first("a-1", c.ahead))
					r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, build())}})
					r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 37)...)
					r.finish()
					y.wantAlone(t, 1)
					y.wantFlown(t, c.flown...)
					y.wantCalledOff(t, c.calledOff...)
					y.wantEnds(t)
					if got := r.output("out").Attempts; fmt.Sprint(got) != fmt.Sprint(c.attempts) {
						t.Errorf("attempts %v, want %v", got, c.attempts)
					}
					want := numbered("a", 37)
					if c.lost > 0 {
						want = slices.Delete(want, 9, 10)
					}
					wantBodies(t, "delivered", y.bodies(), want)
				})
			})
		}
	}
}

// wantEnds checks that what was called off ended when the first batch did, and that after a batch that did not fit the next
// one prepares nothing, but the one after it does.
func (y *relay) wantEnds(t *testing.T) {
	t.Helper()
	flown := y.flown()
	for _, l := range y.calledOff() {
		if !l.over.Equal(flown[0].over) {
			t.Errorf("%s was called off at %v, the one ahead ended at %v", l.bodies, l.over, flown[0].over)
		}
	}
	if flown[0].bodies != "1-10" || flown[1].bodies != "7-16" {
		return
	}
	if !flown[2].began.Equal(flown[1].over) || !flown[3].began.Before(flown[2].over) {
		t.Errorf("after a batch that did not fit the next ones began at %v, %v, where they ended at %v, %v",
			flown[2].began, flown[3].began, flown[1].over, flown[2].over)
	}
}

// Nothing flies while the output cools, what stood by neither; nor does what stands by for another key.
func TestStandingByWhileItCools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newRelay(first("a-1", says(engine.RetryAfter(time.Minute, errDown))))
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewKeyed(tens(), schedule.Fixed(2)))}})
		a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
		r.append(a, 1, numbered("a", 20)...)
		time.Sleep(2 * time.Second)
		r.append(b, 1, numbered("b", 20)...)
		time.Sleep(2 * time.Minute)
		r.finish()
		y.wantCalledOff(t, "11-20", "11-20") // b's too: the one ahead of it landed while the output cooled
		for _, id := range []string{"a", "b"} {
			wantBodies(t, id, y.ofStream(id), numbered(id, 20))
		}
		flown := y.flown()
		if gap := flown[2].went.Sub(flown[0].over); gap < time.Minute {
			t.Errorf("%s of %q flew %v after the throttle", flown[2].bodies, flown[2].key, gap)
		}
	})
}

// Where a batch of one key fails, what stood by of another flies all the same, as it would have; and each key keeps its order.
func TestStandingByForAnotherKey(t *testing.T) {
	for scheduler, build := range ordered(1) {
		t.Run(scheduler, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(onKeyA(errDown))
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, build())}})
				a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
				r.append(a, 1, numbered("a", 30)...)
				r.append(b, 1, numbered("b", 30)...)
				time.Sleep(10 * time.Minute)
				wantBodies(t, "the sound key", y.ofStream("b"), numbered("b", 30))
				if n := r.output("out").Attempts["retryable"]; n < 15 {
					t.Errorf("the other was tried %d times", n)
				}
				for _, l := range y.flown() {
					if l.key == "a" && l.bodies != "1-10" || l.key == "b" && l.attempt != 1 {
						t.Errorf("%s of %q flew, attempt %d", l.bodies, l.key, l.attempt)
					}
				}
				y.wantAlone(t, 1)
				y.thenTake()
				r.finish()
				wantBodies(t, "the one that failed", y.ofStream("a"), numbered("a", 30))
			})
		})
	}
}

// thenTake has the relay take everything from now on.
func (y *relay) thenTake() {
	y.will(func(ctx context.Context, b *engine.Batch) error {
		_, end, err := b.Turn(ctx)
		if err != nil {
			return engine.Retryable(err)
		}
		end()
		return nil
	})
}

// Behind a probe of a parked key nothing of it stands by, nor does a parked key for the end of another: it is tried by one
// batch at a time.
func TestAParkedKeyDoesNotStandBy(t *testing.T) {
	for scheduler, build := range ordered(1) {
		t.Run(scheduler, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(onKeyA(errDenied))
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, build())}})
				a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
				r.append(a, 1, numbered("a", 30)...)
				time.Sleep(10 * time.Second)
				for i := range uint64(60) {
					r.append(b, 10*i+1, numbered("b", 600)[10*i:10*i+10]...)
					time.Sleep(6 * time.Second)
				}
				if n := r.output("out").Attempts["denied"]; n < 10 {
					t.Errorf("tried %d times", n)
				}
				y.thenTake()
				r.finish()
				off := slices.DeleteFunc(y.calledOff(), func(l leg) bool { return l.key != "a" })
				if len(off) != 1 || off[0].bodies != "11-20" { // before it was parked
					t.Errorf("stood by for nothing: %+v", off)
				}
				wantBodies(t, "the parked key", y.ofStream("a"), numbered("a", 30))
				wantBodies(t, "the other", y.ofStream("b"), numbered("b", 600))
			})
		})
	}
}

// What is given up is given up for what it was attempted, and dead letters of a key come in order, what stood by among them.
func TestDeadLettersOfWhatStoodBy(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		retry  engine.Retry
		reason string
	}{
		"given up": {errDown, engine.Retry{GiveUpAfter: time.Second}, "gave_up"},
		"parked":   {errDenied, engine.Retry{}, "parked"},
		"refused":  {&engine.Partial{Rejected: []engine.Rejected{{Range: engine.Range{From: 0, To: 10}, Reason: "bad"}}}, engine.Retry{}, "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y, letters := newRelay(says(c.err)), &probe{}
				o := tenEach(y, schedule.NewSync(tens()))
				o.Retry, o.DeadLetter, o.ParkLimit = c.retry, "dead", time.Second
				r := newRig(t, engine.Options{
					Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
					Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
				})
				r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 40)...)
				r.finish()
				wantBodies(t, "dead letters", letters.bodies(), numbered("a", 40))
				r.wantDone("out", map[string]int64{"dead_lettered " + c.reason: 40})
				for _, l := range letters.taken() {
					d := l.dead
					if d.Reason != c.reason || c.reason != "parked" && (d.Attempts != 1 || d.Last.Sub(d.First) > 6*time.Second) {
						t.Errorf("dead letter %+v", d)
					}
				}
			})
		})
	}
}

// A Write that returns before its turn waits for it all the same: what it says counts then, and not at all where the turn does
// not come.
func TestBackBeforeItsTurn(t *testing.T) {
	bad := &engine.Partial{Rejected: []engine.Rejected{{Range: engine.Range{From: 0, To: 10}, Reason: "bad"}}}
	type attempts = map[string]int64
	for name, c := range map[string]struct {
		early           answer
		whole, failed   attempts
		writes, dropped int // where the one ahead was whole
	}{
		"delivered": {says(nil), attempts{"ok": 3}, attempts{"retryable": 1, "ok": 3}, 3, 0},
		"failed":    {says(errDown), attempts{"ok": 3, "retryable": 1}, attempts{"retryable": 1, "ok": 3}, 4, 0},
		"throttled": {says(engine.RetryAfter(0, errDown)), attempts{"ok": 3, "throttled": 1}, attempts{"retryable": 1, "ok": 3}, 4, 0},
		"denied":    {says(errDenied), attempts{"ok": 3, "denied": 1}, attempts{"retryable": 1, "ok": 3}, 4, 0},
		"rejected":  {says(bad), attempts{"ok": 2, "partial": 1}, attempts{"retryable": 1, "ok": 3}, 3, 10},
		"panicked": {
			func(context.Context, *engine.Batch) error { panic("early") },
			attempts{"ok": 3, "panic": 1}, attempts{"retryable": 1, "ok": 3}, 4, 0,
		},
	} {
		for _, ahead := range []error{nil, errDown} {
			t.Run(fmt.Sprint(name, ", the one ahead: ", ahead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					y := newRelay(first("a-1", says(ahead)))
					early := first("a-11", c.early)
					isEarly := first("a-11", says(errDown))
					y.answer = func(ctx context.Context, b *engine.Batch) error {
						if isEarly(ctx, b) != nil {
							return early(ctx, b)
						}
						return y.run(ctx, b)
					}
					r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewSync(tens()))}})
					s := r.open(engine.Open{StreamID: "a"})
					r.append(s, 1, numbered("a", 30)...)
					time.Sleep(5 * time.Second)
					if st := r.output("out"); len(st.Done) > 0 || len(st.Attempts) > 0 || y.count() != 2 {
						t.Errorf("before anything landed: %d writes, done %v, attempts %v", y.count(), st.Done, st.Attempts)
					}
					r.finish()
					y.wantAlone(t, 1)
					want, writes, lost := c.whole, c.writes, c.dropped
					if ahead != nil {
						want, writes, lost = c.failed, 5, 0
					}
					if st := r.output("out"); fmt.Sprint(st.Attempts) != fmt.Sprint(want) || y.count() != writes {
						t.Errorf("%d writes, attempts %v, want %d, %v", y.count(), st.Attempts, writes, want)
					}
					done := map[string]int64{"delivered": int64(30 - lost)}
					if lost > 0 {
						done["dropped bad"] = int64(lost)
					}
					r.wantDone("out", done)
				})
			})
		}
	}
}

// Writes that do not end when they are called off are as many as may fly, no more; and all goes on beside them.
func TestCalledOffAndStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, letGo, stuck := newRelay(nil), make(chan struct{}), atomic.Int64{}
		tries := map[string]int{}
		y.then = func(_ context.Context, b *engine.Batch) error {
			if tries[bodiesIn(b)[0]]++; tries[bodiesIn(b)[0]] < 3 {
				return errDown
			}
			return nil
		}
		y.answer = func(ctx context.Context, b *engine.Batch) error {
			if b.Attempt == 0 && stuck.Load() < 10 {
				stuck.Add(1)
				<-letGo
				return errDown
			}
			return y.run(ctx, b)
		}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewSync(tens()))}})
		r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 50)...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		if n := stuck.Load(); n != 1 {
			t.Errorf("%d writes did not end, want one and no more", n)
		}
		wantBodies(t, "delivered", y.bodies(), numbered("a", 50))
		close(letGo)
		r.finish()
	})
}
