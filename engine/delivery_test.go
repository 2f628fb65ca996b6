package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/schedule"
)

// byStream is a key for each stream.
func byStream(c *engine.Chunk, _ engine.Record) string { return c.Stream.ID }

// onKeyA answers err to the key a, and nothing to the others.
func onKeyA(err error) answer {
	return func(_ context.Context, b *engine.Batch) error {
		if b.Key == "a" {
			return err
		}
		return nil
	}
}

// bodiesIn are the bodies of a batch's records, in order.
func bodiesIn(b *engine.Batch) []string {
	var all []string
	for _, r := range b.All() {
		all = append(all, enginetest.Body(r.Record))
	}
	return all
}

// refusing refuses a batch that holds a record of which bad is true, and answers err for it.
func refusing(bad func(body string) bool, err error) answer {
	return func(_ context.Context, b *engine.Batch) error {
		if slices.ContainsFunc(bodiesIn(b), bad) {
			return err
		}
		return nil
	}
}

// times notes when its batches are written, by key, before it answers.
type times struct {
	mu sync.Mutex // guards what follows
	at map[string][]time.Time
}

func (n *times) note(then answer) answer {
	return func(ctx context.Context, b *engine.Batch) error {
		n.mu.Lock()
		if n.at == nil {
			n.at = map[string][]time.Time{}
		}
		n.at[b.Key] = append(n.at[b.Key], time.Now())
		n.mu.Unlock()
		return then(ctx, b)
	}
}

func (n *times) of(key string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.at[key])
}

// count is how many batches the probe was given.
func (p *probe) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

// output is the stats of an output.
func (r *rig) output(name string) engine.OutputStats {
	r.t.Helper()
	for _, st := range r.Stats().Outputs {
		if st.Name == name {
			return st
		}
	}
	r.t.Fatalf("no output %q", name)
	return engine.OutputStats{}
}

// wantDone checks how an output's records ended, given as "result reason" to a number of records.
func (r *rig) wantDone(output string, want map[string]int64) {
	r.t.Helper()
	got := map[string]int64{}
	for label, tally := range r.output(output).Done {
		got[strings.TrimSpace(label.Result+" "+label.Reason)] = tally.Records
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("output %q: records ended as %v, want %v", output, got, want)
	}
}

func wantBodies(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d records\n%.400s\nwant %d\n%.400s", what, len(got), fmt.Sprintf("%.40q", got), len(want), fmt.Sprintf("%.40q", want))
	}
}

func (p *probe) ofStream(stream string) []string {
	var all []string
	for _, t := range p.taken() {
		if t.stream == stream {
			all = append(all, t.body)
		}
	}
	return all
}

// A key whose batch fails backs off alone, and comes in order when it is taken.
func TestAFailingKeyWaitsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: onKeyA(errDown)}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
		for i := range uint64(60) {
			r.append(a, i+1, fmt.Sprint("a-", i+1))
			r.append(b, i+1, fmt.Sprint("b-", i+1))
			time.Sleep(time.Second)
		}
		if st := status(b); st.Acked != 60 {
			t.Errorf("while the other key fails: acked %d of 60", st.Acked)
		}
		if st := status(a); st.Acked != 0 || st.State != engine.StateActive {
			t.Errorf("the failing key's stream: %+v", st)
		}
		// Sixty seconds of full jitter, base 0.5 s, cap 30 s: some ten tries, and never more than one a batch's backoff.
		if n := r.output("out").Attempts["retryable"]; n < 4 || n > 40 {
			t.Errorf("%d tries in a minute", n)
		}
		out.will(nil)
		time.Sleep(31 * time.Second)
		wantBodies(t, "the key that failed", out.ofStream("a"), numbered("a", 60))
		wantBodies(t, "the other", out.ofStream("b"), numbered("b", 60))
		r.finish()
	})
}

// Keys that time out over and over take turns with the others: what is tried again is as old as when it fell due.
func TestKeysThatTimeOutStarveNoOther(t *testing.T) {
	limits := engine.BatchLimits{MaxRecords: 1000}
	for name, c := range map[string]struct {
		scheduler engine.Scheduler
		hanging   int
	}{
		"sync":       {schedule.NewSync(limits), 2},
		"keyed":      {schedule.NewKeyed(limits, schedule.Fixed(16)), 40},
		"concurrent": {schedule.NewConcurrent(limits, schedule.Fixed(16)), 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &probe{key: byStream, answer: func(ctx context.Context, b *engine.Batch) error {
					if strings.HasPrefix(b.Key, "hangs") {
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				}}
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{{
					Name: "out", Output: out, Scheduler: c.scheduler,
					FlushTimeout: 10 * time.Second, Retry: engine.Retry{Base: time.Millisecond, Cap: time.Second},
				}}})
				for i := range c.hanging {
					r.append(r.open(engine.Open{StreamID: fmt.Sprint("hangs-", i)}), 1, "x")
				}
				time.Sleep(time.Second)
				sound := r.open(engine.Open{StreamID: "sound"})
				for i := range uint64(600) {
					r.append(sound, i+1, fmt.Sprint("s-", i+1))
					time.Sleep(time.Second)
				}
				if st := status(sound); st.Acked < 540 {
					t.Errorf("acked %d of 600 while others time out", st.Acked)
				}
				out.will(nil)
				time.Sleep(time.Minute)
				r.finish()
			})
		})
	}
}

// Throttling cools the whole output: nothing flies before its time, of no key, however the output says it.
func TestThrottleCoolsTheWholeOutput(t *testing.T) {
	throttled := engine.RetryAfter(10*time.Second, errors.New("slow down"))
	answers := map[string]error{
		"all of a batch": throttled,
		"its end":        &engine.Partial{Delivered: []engine.Range{{From: 0, To: 1}}, Err: throttled},
		"its middle":     &engine.Partial{Delivered: []engine.Range{{From: 0, To: 1}, {From: 2, To: 3}}, Err: throttled},
	}
	for name, err := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { throttle(t, err) })
		})
	}
}

func throttle(t *testing.T, err error) {
	var n times
	out := &probe{key: byStream, answer: n.note(onKeyA(err))}
	r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
	a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
	start := time.Now()
	r.append(a, 1, numbered("a", 4)...)
	time.Sleep(time.Second)
	r.append(b, 1, "b-1")
	out.will(n.note(func(context.Context, *engine.Batch) error { return nil }))
	time.Sleep(time.Minute)
	if at := n.of("a"); len(at) < 2 || at[1].Sub(start) < 10*time.Second || at[1].Sub(start) > 11*time.Second {
		t.Errorf("the throttled batch flew at %v after %v, want again after 10 s", at, start)
	}
	if at := n.of("b"); len(at) != 1 || at[0].Sub(start) < 10*time.Second || at[0].Sub(start) > 11*time.Second {
		t.Errorf("another key flew at %v after %v, want after 10 s", at, start)
	}
	r.finish()
	got := out.ofStream("a")
	slices.Sort(got) // an output that takes what lies behind a gap has chosen the order
	wantBodies(t, "throttled", got, numbered("a", 4))
}

// While the engine drains nobody waits long: neither a batch that backs off nor an output that cools.
func TestDrainingCapsBackoffAndCooling(t *testing.T) {
	for name, err := range map[string]error{
		"backoff": errDown, "cooling": engine.RetryAfter(0, errors.New("slow down")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &probe{answer: func(context.Context, *engine.Batch) error { return err }}
				o := keyed("out", out)
				o.Retry = engine.Retry{Base: time.Hour, Cap: time.Hour}
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
				s := r.open(engine.Open{StreamID: "s"})
				r.append(s, 1, "a")
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("drain: %v", err)
				}
				// A second at most between two tries, a half on average.
				if n := out.count(); n < 15 || n > 100 {
					t.Errorf("%d tries in 20 s of draining", n)
				}
				out.will(nil)
				r.finish()
			})
		})
	}
}

// What is not taken for too long is given up: it is a dead letter where there are some, and counted either way.
func TestGiveUp(t *testing.T) {
	for _, dead := range []string{"", "dead"} {
		t.Run("dead letters: "+dead, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, letters := &probe{answer: alwaysDown}, &probe{}
				o := keyed("out", out)
				o.Retry.GiveUpAfter, o.DeadLetter = time.Minute, dead
				r := newRig(t, engine.Options{
					Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
					Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
				})
				s := r.open(engine.Open{StreamID: "s"})
				r.append(s, 1, "a", "b")
				time.Sleep(59 * time.Second)
				if st := status(s); st.Acked != 0 {
					t.Errorf("acked %d before the time to give up", st.Acked)
				}
				time.Sleep(32 * time.Second)
				if st := status(s); st.Acked != 2 || st.Held != 0 {
					t.Errorf("after giving up: %+v", st)
				}
				out.will(nil)
				r.append(s, 3, "c")
				r.finish()
				wantBodies(t, "after giving up", out.bodies(), []string{"c"})
				if dead == "" {
					r.wantDone("out", map[string]int64{"delivered": 1, "dropped gave_up": 2})
					return
				}
				r.wantDone("out", map[string]int64{"delivered": 1, "dead_lettered gave_up": 2})
				wantBodies(t, "dead letters", letters.bodies(), []string{"a", "b"})
				for _, l := range letters.taken() {
					if d := l.dead; d == nil || d.Output != "out" || d.Reason != "gave_up" || !strings.Contains(d.Message, "down") ||
						d.Attempts < 2 || d.Last.Sub(d.First) < time.Minute {
						t.Errorf("dead letter %+v", l.dead)
					}
				}
			})
		})
	}
}

// A batch that is refused for good is cut down to the records that are at fault. Only those are lost.
func TestBisecting(t *testing.T) {
	const records = 1000
	tests := map[string][]int{
		"the first": {1}, "the last": {records}, "one": {417}, "two": {417, 418}, "far apart": {3, 500, 999},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				isBad := func(body string) bool {
					return slices.ContainsFunc(bad, func(i int) bool { return body == fmt.Sprint("r-", i) })
				}
				out := &probe{answer: refusing(isBad, engine.Permanent("http_400", errors.New("no")))}
				letters := &probe{}
				o := keyed("out", out)
				o.DeadLetter = "dead"
				r := newRig(t, engine.Options{
					Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
					Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
				})
				s := r.open(engine.Open{StreamID: "s"})
				all := numbered("r", records)
				r.append(s, 1, all...)
				r.finish()
				wantBodies(t, "delivered", out.bodies(), slices.DeleteFunc(slices.Clone(all), isBad))
				wantBodies(t, "dead letters", letters.bodies(), slices.DeleteFunc(slices.Clone(all), func(b string) bool { return !isBad(b) }))
				r.wantDone("out", map[string]int64{"delivered": records - int64(len(bad)), "dead_lettered http_400": int64(len(bad))})
				if n, most := out.count(), 1+2*len(bad)*bits.Len(records); n > most {
					t.Errorf("%d writes to find %d records in %d, want at most %d", n, len(bad), records, most)
				}
			})
		})
	}
}

// A destination that refuses everything is asked a bounded number of times a batch, and nothing of it is lost untold.
func TestRefusingEverythingIsBounded(t *testing.T) {
	const records = 10_000
	for name, err := range map[string]error{
		"permanent": engine.Permanent("http_400", errors.New("no")), "too_large": engine.TooLarge(errors.New("413")),
		"no reason": engine.Permanent("", errors.New("no")),
	} {
		for _, dead := range []string{"", "dead"} {
			t.Run(name+", dead letters: "+dead, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					out, letters := &probe{answer: func(context.Context, *engine.Batch) error { return err }}, &probe{}
					o := keyed("out", out)
					o.DeadLetter, o.Scheduler = dead, lingering(0)
					r := newRig(t, engine.Options{
						Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
						Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
					})
					s := r.open(engine.Open{StreamID: "s"})
					r.append(s, 1, numbered("r", records)...)
					r.finish()
					if n := out.count(); n > 300 {
						t.Errorf("%d writes of one batch", n)
					}
					reason := map[string]string{"permanent": "http_400", "too_large": "too_large", "no reason": "permanent"}[name]
					if dead == "" {
						r.wantDone("out", map[string]int64{"dropped " + reason: records})
						return
					}
					r.wantDone("out", map[string]int64{"dead_lettered " + reason: records})
					wantBodies(t, "dead letters", letters.bodies(), numbered("r", records))
				})
			})
		}
	}
}

// A destination that takes less at once than we thought gets it in pieces, however many; only the record that is too large
// for it by itself is lost.
func TestTooLargeIsCutToWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 2000
		out := &probe{answer: func(_ context.Context, b *engine.Batch) error {
			if b.Records > 3 || slices.Contains(bodiesIn(b), "r-999") {
				return engine.TooLarge(errors.New("413"))
			}
			return nil
		}}
		o := keyed("out", out)
		o.Scheduler = lingering(0)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "s"})
		all := numbered("r", records)
		r.append(s, 1, all...)
		r.finish()
		wantBodies(t, "delivered", out.bodies(), slices.Delete(slices.Clone(all), 998, 999))
		r.wantDone("out", map[string]int64{"delivered": records - 1, "dropped too_large": 1})
	})
}

// A batch that was attempted is frozen: its retries carry the same records, what came later goes in another.
func TestARetryIsTheSameBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		out := &probe{}
		out.will(func(_ context.Context, b *engine.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(b.Attempt, bodiesIn(b)))
			switch len(seen) {
			case 1:
				return errDown
			case 2:
				return &engine.Partial{
					Delivered: []engine.Range{{From: 0, To: 1}}, Rejected: []engine.Rejected{{Range: engine.Range{From: 2, To: 3}, Reason: "bad"}},
				}
			}
			return nil
		})
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a", "b", "c", "d")
		time.Sleep(60 * time.Millisecond) // it has gathered, and was tried
		r.append(s, 5, "e")
		r.finish()
		want := []string{"1 [a b c d]", "2 [a b c d]", "1 [b d]", "1 [e]"}
		if !slices.Equal(seen, want) {
			t.Errorf("writes %v, want %v", seen, want)
		}
		r.wantDone("out", map[string]int64{"delivered": 4, "dropped bad": 1})
	})
}

// A long-waiting backoff stays within its cap, whatever its base, for as many attempts as it takes.
func TestBackoffNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		o := keyed("out", out)
		o.Retry = engine.Retry{Base: time.Minute, Cap: time.Hour}
		o.Scheduler = schedule.NewSync(engine.BatchLimits{})
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a")
		time.Sleep(48 * time.Hour)
		if n := out.count(); n < 50 {
			t.Errorf("%d tries in two days", n)
		}
		out.will(nil)
		r.finish()
		wantBodies(t, "after two days", out.bodies(), []string{"a"})
	})
}
