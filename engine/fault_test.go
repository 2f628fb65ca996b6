package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A faulty output beside a sound one that takes the same streams, with dead letters.
type faulty struct {
	*rig
	out, sound, letters *probe
	a, b                *engine.Session // streams, each a key of its own
}

func newFaulty(t *testing.T, answer answer) *faulty {
	f := &faulty{out: &probe{key: byStream, answer: answer}, sound: &probe{}, letters: &probe{}}
	o := keyed("out", f.out)
	o.DeadLetter = "dead"
	f.rig = newRig(t, engine.Options{
		Outputs: []engine.OutputOptions{o, keyed("sound", f.sound), keyed("dead", f.letters)},
		Routes:  []engine.Route{{Match: "**", Outputs: []string{"out", "sound"}}},
	})
	f.a, f.b = f.open(engine.Open{StreamID: "a"}), f.open(engine.Open{StreamID: "b"})
	return f
}

// A panic fails its batch alone: two retries, then it is bisected as if it were refused.
func TestAnOutputPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, func(_ context.Context, b *engine.Batch) error {
			for _, body := range bodiesIn(b) {
				if body == "a-7" {
					panic("seven")
				}
			}
			return nil
		})
		f.append(f.a, 1, numbered("a", 16)...)
		f.append(f.b, 1, numbered("b", 16)...)
		time.Sleep(time.Minute)
		if st := status(f.a); st.Acked != 16 {
			t.Errorf("acked %d", st.Acked)
		}
		f.finish()
		all := numbered("a", 16)
		wantBodies(t, "the key that made it panic", f.out.ofStream("a"), append(all[:6:6], all[7:]...))
		wantBodies(t, "the other key", f.out.ofStream("b"), numbered("b", 16))
		wantBodies(t, "the other output", f.sound.ofStream("a"), all)
		wantBodies(t, "dead letters", f.letters.bodies(), []string{"a-7"})
		if d := f.letters.taken()[0].dead; d == nil || d.Reason != "panic" || !strings.Contains(d.Message, "seven") {
			t.Errorf("dead letter %+v", d)
		}
		// Three times whole, then 16 are halved four times: eight pieces, of which four panic.
		if n := f.output("out").Attempts["panic"]; n != 3+4 {
			t.Errorf("it panicked %d times", n)
		}
	})
}

// A panic that goes away within two retries costs nothing.
func TestAnOutputPanicsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := 2
		f := newFaulty(t, nil)
		f.out.will(func(context.Context, *engine.Batch) error {
			if panics--; panics >= 0 {
				panic("not yet")
			}
			return nil
		})
		f.append(f.a, 1, numbered("a", 16)...)
		f.finish()
		wantBodies(t, "delivered", f.out.bodies(), numbered("a", 16))
	})
}

// keyPanics is an output whose keys cannot be told for some records.
type keyPanics struct{ probe }

func (k *keyPanics) PerRecord(*engine.Chunk) bool { return true }

func (k *keyPanics) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	if strings.HasPrefix(enginetest.Body(r), "bad") {
		panic("no key for this")
	}
	return append(dst, c.Stream.ID...)
}

// An output that panics when it is asked for keys loses what it was asked about, not the process.
func TestAnOutputPanicsOnKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, letters := &keyPanics{}, &probe{}
		o := keyed("out", out)
		o.DeadLetter = "dead"
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "1", "2")
		time.Sleep(time.Second)
		r.append(s, 3, "bad 3")
		time.Sleep(time.Second)
		r.append(s, 4, "4")
		r.finish()
		wantBodies(t, "delivered", out.bodies(), []string{"1", "2", "4"})
		wantBodies(t, "dead letters", letters.bodies(), []string{"bad 3"})
		r.wantDone("out", map[string]int64{"delivered": 3, "dead_lettered panic": 1})
	})
}

// hanging takes what it is given and does not return for one key until it is let go, whatever becomes of its context.
type hanging struct {
	letGo chan struct{}
	mu    sync.Mutex // guards what follows
	read  []string
}

func (h *hanging) write(_ context.Context, b *engine.Batch) error {
	if b.Key != "a" {
		return nil
	}
	<-h.letGo
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read = append(h.read, bodiesIn(b)...)
	return nil
}

// A Write that ignores its context keeps its slot, its key and its memory until it returns; all else goes on.
func TestAnOutputHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{letGo: make(chan struct{})}
		f := newFaulty(t, h.write)
		f.append(f.a, 1, "a-1", "a-2")
		time.Sleep(time.Second)
		f.append(f.a, 3, "a-3")
		for i := range uint64(120) {
			f.append(f.b, i+1, fmt.Sprint("b-", i+1, strings.Repeat("x", 64<<i%8)))
			time.Sleep(time.Second)
		}
		st := f.output("out")
		if st.Overdue != 1 || st.InFlight != 1 || st.Backlog.Records != 3 {
			t.Errorf("while it hangs: %d overdue, %d in flight, %d records to deliver", st.Overdue, st.InFlight, st.Backlog.Records)
		}
		if st := status(f.b); st.Acked != 120 {
			t.Errorf("the other key: acked %d", st.Acked)
		}
		if st := status(f.a); st.Acked != 0 || st.Held == 0 {
			t.Errorf("the stream that hangs: %+v", st)
		}
		wantBodies(t, "the other output", f.sound.ofStream("a"), numbered("a", 3))
		close(h.letGo)
		f.finish()
		wantBodies(t, "what it read when it was let go", h.read, numbered("a", 3))
		if n := f.output("out").Overdue; n != 0 {
			t.Errorf("%d overdue at the end", n)
		}
	})
}

// Close does not wait for a Write that hangs: it names the output, how many writes and what was not delivered. The memory
// of those writes is theirs until they return.
func TestCloseWithAHungWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{letGo: make(chan struct{})}
		f := newFaulty(t, h.write)
		f.append(f.a, 1, "a-1", "a-2")
		f.append(f.b, 1, "b-1")
		time.Sleep(time.Second)
		f.append(f.a, 3, "a-3")
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		left, err := f.Close(ctx)
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("closed in %v, want by the end of its context", took)
		}
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"out"`) || !strings.Contains(err.Error(), "1 write") ||
			strings.Contains(err.Error(), `"sound"`) {
			t.Errorf("close: %v", err)
		}
		if len(left) != 1 || left[0].Output != "out" || left[0].Stream.ID != "a" || left[0].Records != 3 {
			t.Errorf("undelivered %+v", left)
		}
		for range 100 { // whoever takes a slab now must not get that of the hung write
			s := f.Slabs().Get(kib)
			s.B = append(s.B, strings.Repeat("!", kib)...)
		}
		close(h.letGo)
		synctest.Wait()
		wantBodies(t, "what it read when it was let go", h.read, []string{"a-1", "a-2"})
		f.atRest()
	})
}

// A dead letter that is written while Close waits for its output was delivered, and is not told as left.
func TestCloseAsksOnceAllHaveLanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, onKeyA(engine.Permanent("no", errors.New("no"))))
		f.letters.will(func(context.Context, *engine.Batch) error { time.Sleep(10 * time.Second); return nil })
		f.append(f.a, 1, "a-1")
		time.Sleep(time.Second)
		left, err := f.Close(t.Context())
		if err != nil || len(left) > 0 {
			t.Errorf("close: %v, undelivered %+v", err, left)
		}
		wantBodies(t, "dead letters", f.letters.bodies(), []string{"a-1"})
		f.wantDone("out", map[string]int64{"dead_lettered no": 1})
		f.atRest()
	})
}

// closing is a probe that notes whether it was closed.
type closing struct {
	probe
	closed int
}

func (c *closing) Close() error {
	c.closed++
	return nil
}

// Close that may not wait still closes the outputs that have nothing in flight.
func TestCloseAtOnceClosesOutputs(t *testing.T) {
	for range 20 { // of two things that are ready select takes either
		synctest.Test(t, func(t *testing.T) {
			out := &closing{}
			r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
			if out.closed != 1 {
				t.Errorf("the output was closed %d times", out.closed)
			}
		})
	}
}

// silent is an error that panics when it is asked what is wrong.
type silent struct{}

func (silent) Error() string { panic("will not say") }

// Whatever an output answers, records are delivered once it comes to its senses, and no other output notices. An answer
// that contradicts itself, or says nothing, is tried again, but not at once for ever.
func TestAnOutputAnswersGarbage(t *testing.T) {
	partial := func(err error, delivered ...engine.Range) error {
		return &engine.Partial{Delivered: delivered, Err: err}
	}
	rejected := func(from, to int) []engine.Rejected {
		return []engine.Rejected{{Range: engine.Range{From: from, To: to}, Reason: "bad"}}
	}
	tests := map[string]error{
		"an unknown error":         errors.New("what?"),
		"a kind that there is not": &engine.WriteError{Kind: 99, Err: errors.New("what?")},
		"a negative kind":          &engine.WriteError{Kind: -1, Err: errors.New("what?")},
		"an error without a cause": engine.Retryable(nil),
		"a throttle in the past":   engine.RetryAfter(-time.Hour, errors.New("slow down")),
		"outside":                  partial(nil, engine.Range{From: 0, To: 5}),
		"far outside":              partial(nil, engine.Range{From: 100, To: 200}),
		"negative":                 partial(nil, engine.Range{From: -1, To: 2}),
		"backwards":                partial(nil, engine.Range{From: 3, To: 1}),
		"twice":                    partial(nil, engine.Range{From: 0, To: 2}, engine.Range{From: 1, To: 3}),
		"in both lists":            &engine.Partial{Delivered: []engine.Range{{From: 0, To: 4}}, Rejected: rejected(2, 3)},
		"rejected outside":         &engine.Partial{Rejected: rejected(3, 9)},
		"nothing":                  partial(nil),
		"nothing, in words":        partial(nil, engine.Range{From: 0, To: 0}, engine.Range{From: 2, To: 2}, engine.Range{From: 4, To: 4}),
		"a partial in a partial":   partial(partial(errDown, engine.Range{From: 0, To: 4})),
		"a nil of a type":          (*engine.WriteError)(nil),
		"no partial":               (*engine.Partial)(nil),
		"a partial with a nil":     partial((*engine.WriteError)(nil)),
		"a wrapped nil of a type":  fmt.Errorf("write: %w", (*engine.WriteError)(nil)),
		"an error that panics":     silent{},
	}
	for name, garbage := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var writes atomic.Int64
				f := newFaulty(t, nil)
				f.out.will(func(_ context.Context, b *engine.Batch) error {
					if b.Key != "a" {
						return nil
					}
					if writes.Add(1) <= 2 {
						return garbage
					}
					return nil
				})
				f.append(f.a, 1, numbered("a", 4)...)
				f.append(f.b, 1, numbered("b", 4)...)
				time.Sleep(time.Minute)
				if st := status(f.a); st.Acked != 4 || writes.Load() != 3 {
					t.Errorf("acked %d after %d writes", st.Acked, writes.Load())
				}
				f.finish()
				f.wantDone("out", map[string]int64{"delivered": 8})
				wantBodies(t, "the other output", f.sound.ofStream("a"), numbered("a", 4))
			})
		})
	}
}

// Garbage for ever is not asked for without a pause, and holds up nothing but its key.
func TestGarbageForEverBacksOff(t *testing.T) {
	for name, garbage := range map[string]error{
		"nothing":           &engine.Partial{},
		"nothing, in words": &engine.Partial{Delivered: []engine.Range{{From: 0, To: 0}, {From: 2, To: 2}}},
		"rejected, none":    &engine.Partial{Rejected: []engine.Rejected{{Range: engine.Range{From: 1, To: 1}}}},
		"outside":           &engine.Partial{Delivered: []engine.Range{{From: 0, To: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var writes atomic.Int64
				f := newFaulty(t, func(ctx context.Context, b *engine.Batch) error {
					if b.Key != "a" {
						return nil
					}
					if writes.Add(1) > 10_000 {
						return nil // else this test would never end
					}
					return garbage
				})
				f.append(f.a, 1, numbered("a", 4)...)
				f.append(f.b, 1, numbered("b", 4)...)
				time.Sleep(time.Hour)
				if n := writes.Load(); n < 120 || n > 500 {
					t.Errorf("%d writes in an hour", n)
				}
				if st := status(f.b); st.Acked != 4 {
					t.Errorf("the other key: acked %d", st.Acked)
				}
				f.out.will(nil)
				f.finish()
			})
		})
	}
}
