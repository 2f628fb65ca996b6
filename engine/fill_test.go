package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// measuring is a probe that counts 100 for every record, whatever its size.
type measuring struct{ probe }

func (*measuring) Measure(*engine.Chunk, engine.Record) int { return 100 }

// An output that measures its own way gets batches that its measure fills; its dead letters go by their wire bytes again.
func TestBatchesAreFilledAsTheOutputMeasures(t *testing.T) {
	for name, key := range map[string]func(*engine.Chunk, engine.Record) string{"one key": nil, "a key for each stream": byStream} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sizes, bytes []int
				out := &measuring{}
				out.key = key
				out.answer = func(_ context.Context, b *engine.Batch) error {
					sizes, bytes = append(sizes, b.Records), append(bytes, b.Bytes)
					return nil
				}
				o := keyed("out", out)
				o.Linger = 10 * time.Second
				o.Scheduler = schedule.NewSync(engine.BatchLimits{MaxBytes: 1000, Linger: o.Linger})
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
				s := r.open(engine.Open{StreamID: "s"})
				all := numbered(strings.Repeat("x", 200), 95)
				for i := 0; i < 95; i += 5 { // appends that gather apart
					r.append(s, uint64(i+1), all[i:i+5]...)
					time.Sleep(100 * time.Millisecond)
				}
				r.finish()
				want := append(slices.Repeat([]int{10}, 9), 5)
				if !slices.Equal(sizes, want) || bytes[0] != 1000 || bytes[9] != 500 {
					t.Errorf("batches of %v records, %v bytes, want %v", sizes, bytes, want)
				}
				wantBodies(t, "delivered", out.bodies(), all)
			})
		})
	}
}

func TestDeadLettersAreMeasuredAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, letters := &measuring{}, &probe{}
		out.answer = func(context.Context, *engine.Batch) error { return engine.Permanent("no", errors.New("no")) }
		o, dead := keyed("out", out), keyed("dead", letters)
		o.DeadLetter = "dead"
		var bytes int
		letters.answer = func(_ context.Context, b *engine.Batch) error { bytes += b.Bytes; return nil }
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{o, dead},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, strings.Repeat("x", 5000), strings.Repeat("y", 5000))
		r.finish()
		if bytes < 10_000 || bytes > 10_200 {
			t.Errorf("the dead letters have %d bytes", bytes)
		}
	})
}

// What an output did not try goes first into its next batch, which is filled up with what follows: batches stay full where
// the output's own limit is another than ours.
func TestWhatWasNotTriedFillsTheNextBatch(t *testing.T) {
	const takes, most = 7, 10
	limits := engine.BatchLimits{MaxRecords: most, Linger: time.Minute}
	for name, s := range map[string]engine.Scheduler{
		"sync": schedule.NewSync(limits), "keyed": schedule.NewKeyed(limits, schedule.Fixed(4)),
		"concurrent": schedule.NewConcurrent(limits, schedule.Fixed(1)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var sizes []int
				out := &probe{answer: func(_ context.Context, b *engine.Batch) error {
					mu.Lock()
					sizes = append(sizes, b.Records)
					mu.Unlock()
					if b.Attempt != 1 {
						t.Errorf("attempt %d of what was not tried before", b.Attempt)
					}
					time.Sleep(time.Second)
					return &engine.Partial{Delivered: []engine.Range{{From: 0, To: min(takes, b.Records)}}}
				}}
				o := engine.OutputOptions{Name: "out", Output: out, Scheduler: s, Linger: limits.Linger}
				r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
				s := r.open(engine.Open{StreamID: "s"})
				all := numbered("r", 73)
				r.append(s, 1, all...)
				time.Sleep(30 * time.Second)
				// Ten batches take seventy; what is left is not full, and lingers.
				mu.Lock()
				if want := slices.Repeat([]int{most}, 10); !slices.Equal(sizes, want) {
					t.Errorf("batches of %v, want %v", sizes, want)
				}
				mu.Unlock()
				time.Sleep(33 * time.Second)
				wantBodies(t, "delivered when it had lingered", out.bodies(), all)
				r.finish()
			})
		})
	}
}

// An output that takes what fits, each time, is well.
func TestTakingWhatFitsIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		out.will(func(_ context.Context, b *engine.Batch) error {
			if b.Records == 1 {
				return nil
			}
			return &engine.Partial{Delivered: []engine.Range{{From: 0, To: b.Records - 1}}}
		})
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		s := r.open(engine.Open{StreamID: "s"})
		time.Sleep(time.Second)
		r.append(s, 1, "a", "b", "c")
		time.Sleep(time.Second)
		if st := r.output("out"); st.LastSuccess.IsZero() || st.LastError != "" || st.Attempts["partial"] == 0 {
			t.Errorf("last success %v, last error %q, attempts %v", st.LastSuccess, st.LastError, st.Attempts)
		}
		r.finish()
	})
}

// What comes back untried after it was hurried does not linger anew.
func TestWhatComesBackStaysUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		out.will(func(_ context.Context, b *engine.Batch) error {
			if b.Records == 1 {
				return nil
			}
			return &engine.Partial{Delivered: []engine.Range{{From: 0, To: 1}}}
		})
		o := keyed("out", out)
		o.Linger = time.Hour
		o.Scheduler = lingering(o.Linger)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a", "b", "c")
		time.Sleep(time.Second)
		flush := r.records(4)
		flush.Flush = true
		if err := s.Append(t.Context(), flush); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if st := status(s); st.Acked != 3 {
			t.Errorf("a second after the flush: %+v", st)
		}
		r.finish()
	})
}
