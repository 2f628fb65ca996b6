package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

var errDenied = engine.Denied(errors.New("403"))

// parkingLot is an engine whose output lets every key in but "a", and a stream for each of the keys a and b.
func parkingLot(t *testing.T, dead string) (r *rig, out, letters *probe, a, b *engine.Session) {
	out, letters = &probe{key: byStream, answer: onKeyA(errDenied)}, &probe{}
	o := keyed("out", out)
	o.DeadLetter = dead
	r = newRig(t, engine.Options{
		Limits:  engine.Limits{Stream: 100 * kib},
		Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
		Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
	})
	a, b = r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
	return r, out, letters, a, b
}

// A key that is not let in keeps its data, at the cost of its own stream alone, and all comes in order when it is let in.
func TestAParkedKeyKeepsItsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out, _, a, b := parkingLot(t, "")
		body := strings.Repeat("x", kib)
		sent := uint64(0)
		for i := range uint64(240) {
			if status(a).State == engine.StateActive {
				sent++
				r.append(a, sent, fmt.Sprint("a-", sent, body))
			}
			r.append(b, i+1, fmt.Sprint("b-", i+1))
			time.Sleep(15 * time.Second)
		}
		if st := status(a); st.State != engine.StatePaused || st.Acked != 0 {
			t.Errorf("the stream of the parked key: %+v", st)
		}
		if st := status(b); st.State != engine.StateActive || st.Acked != 240 {
			t.Errorf("the other stream: %+v", st)
		}
		st := r.output("out")
		if st.ParkedKeys != 1 {
			t.Errorf("%d keys are parked", st.ParkedKeys)
		}
		// An hour of full jitter with a cap of 30 s: some 240.
		if n := st.Attempts["denied"]; n < 120 || n > 500 {
			t.Errorf("tried %d times in an hour", n)
		}
		out.will(nil)
		time.Sleep(time.Minute)
		if st := r.output("out"); st.ParkedKeys != 0 {
			t.Errorf("%d keys are parked after they were let in", st.ParkedKeys)
		}
		if st := status(a); st.State != engine.StateActive || st.Acked != sent {
			t.Errorf("the stream after it was let in: %+v, want %d acked", st, sent)
		}
		r.finish()
		for i, got := range out.ofStream("a") {
			if want := fmt.Sprint("a-", i+1, "x"); !strings.HasPrefix(got, want) {
				t.Fatalf("record %d is %.20q, want %.20q", i, got, want)
			}
		}
		r.wantDone("out", map[string]int64{"delivered": int64(240 + sent)})
	})
}

// A key that is parked for too long gives what it holds, and what comes, to the dead letters, in order. Probes find out when
// it is let in again; from then on it is delivered.
func TestParkLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out, letters, a, b := parkingLot(t, "dead")
		next := uint64(0)
		send := func(minutes int) {
			for range minutes {
				next++
				r.append(a, next, fmt.Sprint("a-", next))
				r.append(b, next, fmt.Sprint("b-", next))
				time.Sleep(time.Minute)
			}
		}
		send(9)
		if n := len(letters.bodies()); n > 0 {
			t.Errorf("%d dead letters before the park limit", n)
		}
		send(21)
		held := letters.bodies()
		wantBodies(t, "dead letters", held, numbered("a", len(held)))
		if len(held) < 29 {
			t.Errorf("%d dead letters after 30 min, want all but what probes", len(held))
		}
		for _, l := range letters.taken() {
			if l.dead == nil || l.dead.Output != "out" || l.dead.Reason != "parked" || !strings.Contains(l.dead.Message, "403") {
				t.Errorf("dead letter %+v", l.dead)
			}
		}
		if st := status(a); st.Acked < 29 || st.State != engine.StateActive {
			t.Errorf("the stream of the parked key: %+v", st)
		}
		if n := r.output("out").ParkedKeys; n != 1 {
			t.Errorf("%d keys are parked", n)
		}
		out.will(nil)
		send(10)
		r.finish()
		dead := letters.bodies()
		wantBodies(t, "dead letters", dead, numbered("a", len(dead)))
		wantBodies(t, "delivered", out.ofStream("a"), numbered("a", 40)[len(dead):])
		if len(dead) > 32 {
			t.Errorf("%d dead letters, though it was let in after 30", len(dead))
		}
		wantBodies(t, "the other key", out.ofStream("b"), numbered("b", 40))
		if n := r.output("out").ParkedKeys; n != 0 {
			t.Errorf("%d keys are parked at the end", n)
		}
	})
}

// A key that is diverted is probed no more often than it would be tried, however much comes.
func TestProbesOfADivertedKeyAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out, letters, a, _ := parkingLot(t, "dead")
		r.append(a, 1, "a-1")
		time.Sleep(time.Hour)
		before := out.count()
		for i := range uint64(1800) {
			r.append(a, i+2, fmt.Sprint("a-", i+2))
			time.Sleep(time.Second)
		}
		if n := out.count() - before; n < 30 || n > 300 {
			t.Errorf("%d probes in half an hour", n)
		}
		out.will(nil)
		r.finish()
		dead := letters.bodies()
		wantBodies(t, "dead letters", dead, numbered("a", len(dead)))
	})
}

// A probe that fails otherwise says nothing about being let in: the next one is no sooner for it.
func TestFailingProbesOfADivertedKeyAreRare(t *testing.T) {
	for name, err := range map[string]error{"retryable": errDown, "throttled": engine.RetryAfter(0, errDown)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, out, letters, a, _ := parkingLot(t, "dead")
				r.append(a, 1, "a-1")
				time.Sleep(12 * time.Minute)
				out.will(onKeyA(err))
				before := out.count()
				for i := range uint64(18_000) {
					if st := status(a); st.State != engine.StateActive {
						t.Fatalf("the stream of the diverted key: %+v", st)
					}
					r.append(a, i+2, fmt.Sprint("a-", i+2))
					time.Sleep(100 * time.Millisecond)
				}
				if n := out.count() - before; n < 30 || n > 300 {
					t.Errorf("%d probes in half an hour", n)
				}
				out.will(nil)
				r.append(a, 18_002, "a-18002")
				time.Sleep(time.Minute)
				r.append(a, 18_003, "a-18003")
				r.finish()
				dead := letters.bodies()
				wantBodies(t, "dead letters", dead, numbered("a", len(dead)))
				wantBodies(t, "delivered", out.ofStream("a"), numbered("a", 18_003)[len(dead):])
			})
		})
	}
}

// Keys that nothing comes for any more are forgotten, parked or not.
func TestParkedKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: func(context.Context, *engine.Batch) error { return errDenied }}
		letters := &probe{}
		o := keyed("out", out)
		o.DeadLetter = "dead"
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		})
		for i := range 50 {
			s := r.open(engine.Open{StreamID: fmt.Sprint("s-", i)})
			r.append(s, 1, "x")
			s.Close()
		}
		time.Sleep(5 * time.Minute)
		if n := r.output("out").ParkedKeys; n != 50 {
			t.Errorf("%d keys are parked, want 50", n)
		}
		time.Sleep(time.Hour)
		if n := r.output("out").ParkedKeys; n != 0 {
			t.Errorf("%d keys are parked, though nothing waits under them", n)
		}
		if n := len(letters.bodies()); n != 50 {
			t.Errorf("%d dead letters", n)
		}
		r.finish()
	})
}

// A dead-letter output with dead letters of its own parks keys as any other does.
func TestADeadLetterOutputParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: func(context.Context, *engine.Batch) error { return engine.Permanent("no", errors.New("no")) }}
		letters, last := &probe{key: byStream, answer: func(context.Context, *engine.Batch) error { return errDenied }}, &probe{}
		o, od := keyed("out", out), keyed("dead", letters)
		o.DeadLetter, od.DeadLetter = "dead", "last"
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{o, od, keyed("last", last)},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		})
		s := r.open(engine.Open{StreamID: "s"})
		const records = 1800
		for i := range uint64(records) {
			r.append(s, i+1, fmt.Sprint("r-", i+1))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		r.append(s, records+1, fmt.Sprint("r-", records+1)) // a probe of what is left, and it is diverted too
		time.Sleep(time.Second)
		if n := letters.count(); n > 500 {
			t.Errorf("the dead-letter output that denies was tried %d times", n)
		}
		r.finish()
		wantBodies(t, "the last resort", last.bodies(), numbered("r", records+1))
	})
}

// A key is parked whatever the scheduler: while it is, new records of it do not each try the destination.
func TestAParkedKeyIsNotHammered(t *testing.T) {
	limits := engine.BatchLimits{MaxRecords: 1000}
	for name, s := range map[string]engine.Scheduler{
		"sync": schedule.NewSync(limits), "keyed": schedule.NewKeyed(limits, schedule.Fixed(4)),
		"concurrent": schedule.NewConcurrent(limits, schedule.Fixed(4)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &probe{key: byStream, answer: onKeyA(errDenied)}
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{{Name: "out", Output: out, Scheduler: s}}})
				a := r.open(engine.Open{StreamID: "a"})
				for i := range uint64(600) {
					r.append(a, i+1, fmt.Sprint("a-", i+1))
					time.Sleep(time.Second)
				}
				if n := out.count(); n > 200 {
					t.Errorf("tried %d times in 10 min", n)
				}
				out.will(nil)
				r.finish()
				got := out.bodies()
				if name == "concurrent" {
					slices.SortFunc(got, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
				}
				wantBodies(t, "delivered", got, numbered("a", 600))
			})
		})
	}
}
