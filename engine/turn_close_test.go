package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// What stands by when the engine closes never goes, and is told as left; all Writes end that heed their context.
func TestCloseWhileOneStandsBy(t *testing.T) {
	for name, c := range map[string]struct {
		flight   time.Duration // of each
		deaf     bool          // it does not end with its context
		closing  time.Duration // how long Close may take
		left     int
		attempts map[string]int64
		hung     bool
	}{
		"what flies ends with its context":  {time.Hour, false, time.Minute, 40, map[string]int64{"retryable": 1}, false},
		"what flies is delivered meanwhile": {20 * time.Second, true, time.Minute, 30, map[string]int64{"ok": 1}, false},
		"what flies does not end":           {time.Hour, true, time.Minute, 40, map[string]int64{}, true},
		"at once":                           {time.Hour, true, 0, 40, map[string]int64{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(func(ctx context.Context, _ *engine.Batch) error {
					timer := time.NewTimer(c.flight)
					defer timer.Stop()
					if c.deaf {
						ctx = context.Background()
					}
					select {
					case <-timer.C:
						return nil
					case <-ctx.Done():
						return engine.Retryable(ctx.Err())
					}
				})
				y.flight = 0
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{tenEach(y, schedule.NewSync(tens()))}})
				r.append(r.open(engine.Open{StreamID: "a"}), 1, numbered("a", 40)...)
				time.Sleep(10 * time.Second)
				if n := len(y.all()); n != 2 {
					t.Errorf("%d writes before it closes", n)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.closing)
				defer cancel()
				left, err := r.Close(ctx)
				if c.hung != (err != nil) || c.hung && c.closing > 0 && !strings.Contains(err.Error(), "1 writes have not returned") {
					t.Errorf("close: %v", err)
				}
				if len(left) != 1 || left[0].Records != int64(c.left) {
					t.Errorf("left %+v, want %d records", left, c.left)
				}
				if got := r.output("out").Attempts; fmt.Sprint(got) != fmt.Sprint(c.attempts) {
					t.Errorf("attempts %v, want %v", got, c.attempts)
				}
				time.Sleep(2 * time.Hour)
				y.wantFlown(t, "1-10/1")
				y.wantCalledOff(t, "11-20")
				if held := r.Stats().Held; held != 0 {
					t.Errorf("%d bytes are held in the end", held)
				}
			})
		})
	}
}

// What stands by is not dropped, as what flies is not. What was called off may be.
func TestDropOldestWhileOneStandsBy(t *testing.T) {
	for _, ahead := range []error{nil, engine.RetryAfter(time.Hour, errDown)} {
		t.Run(fmt.Sprint("the one ahead: ", ahead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newRelay(first("a-1", says(ahead)))
				y.key, y.flight = nil, time.Minute
				o := tail(y, 16*kib)
				o.Scheduler, o.FlushTimeout = schedule.NewSync(tens()), time.Hour
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o, keyed("main", &probe{})}})
				s, next := r.open(engine.Open{StreamID: "a"}), uint64(21)
				flood := func() {
					for range 45 {
						r.append(s, next, fmt.Sprint(strings.Repeat("x", 2*kib), "-", next))
						next++
						time.Sleep(time.Second)
					}
				}
				r.append(s, 1, numbered("a", 20)...)
				time.Sleep(2 * time.Second)
				flood()
				st := r.output("tail")
				dropped := st.Done[engine.DoneLabel{Result: "dropped", Reason: "drop_oldest"}].Records
				if n := len(y.all()); n != 2 || dropped < 30 || st.ShareUsed > 24*kib {
					t.Errorf("%d writes, %d dropped, %d of the share used while one flies", n, dropped, st.ShareUsed)
				}
				time.Sleep(20 * time.Second) // it has landed
				y.thenTake()
				flood()
				time.Sleep(4 * time.Hour)
				r.finish()
				got := y.bodies()
				if ahead != nil { // both were the oldest, then
					y.wantCalledOff(t, "11-20")
					if len(got) == 0 || slices.Contains(got, "a-1") || slices.Contains(got, "a-11") {
						t.Errorf("delivered %.20q", got)
					}
					return
				}
				wantBodies(t, "the oldest", got[:min(20, len(got))], numbered("a", 20))
				y.wantCalledOff(t)
			})
		})
	}
}
