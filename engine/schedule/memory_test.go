package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// TestForgets checks that nothing is kept of keys and streams that came and went.
func TestForgets(t *testing.T) {
	limits := engine.BatchLimits{MaxRecords: 10, Linger: time.Second}
	for name, s := range map[string]*Scheduler{
		"keyed":      NewKeyed(limits, Fixed(100)),
		"concurrent": NewConcurrent(limits, Fixed(100)),
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(0, 0)
			for round := range 50 {
				for i := range 1000 {
					s.Add(now, engine.Span{
						Key:     fmt.Sprint(round, "/", i/2),
						Stream:  &engine.Stream{},
						Records: engine.SelectRange(0, 12),
						Arrived: now.Add(-time.Duration(i % 3)),
					})
				}
				now = now.Add(time.Second)
				for range 100 {
					s.Evict(now)
				}
				s.Take(now, fmt.Sprint(round, "/", 499))
				settle(s, now)
			}
			if len(s.lanes) != 0 || len(s.ties.byPair) != 0 || len(s.ties.byStream) != 0 {
				t.Errorf("keeps %d keys, %d ties, %d streams", len(s.lanes), len(s.ties.byPair), len(s.ties.byStream))
			}
			if len(s.standing) != 0 {
				t.Errorf("keeps %d batches that stood by", len(s.standing))
			}
			if s.ready.len() != 0 || s.timed.len() != 0 || s.oldest.len() != 0 || s.waiting != 0 {
				t.Errorf("keeps %d ready, %d timed, %d to evict, %d waiting",
					s.ready.len(), s.timed.len(), s.oldest.len(), s.waiting)
			}
			if len(s.spare) > maxSpareLanes {
				t.Errorf("keeps %d lanes to use again", len(s.spare))
			}
			for _, l := range s.spare {
				if l.records != 0 || l.bytes != 0 || l.dips.len() != 0 || l.spans.cap() > maxSpareSpans {
					t.Fatalf("keeps a lane %+v to use again", l)
				}
				for _, w := range l.spans.ring {
					if w.Stream != nil || w.Key != "" {
						t.Fatal("a lane to use again holds on to a span")
					}
				}
			}
		})
	}
}

// settle delivers all that flies, each batch after one failure. What stands by meanwhile flies or is put back.
func settle(s *Scheduler, now time.Time) {
	var b *engine.Batch
	for {
		if b == nil {
			b, _ = s.Next(now)
		}
		switch {
		case b == nil:
			return
		case b.Attempt == 0:
			b.Attempt++
			if f := s.Follow(now, b); f != nil {
				s.Done(now, f, engine.Result{Back: f.Spans, Unflown: true})
			}
			s.Done(now, b, engine.Result{Rest: []*engine.Batch{b}})
			b = nil
		default:
			f := s.Follow(now, b)
			s.Done(now, b, engine.Result{})
			if b = f; f != nil && !s.Launch(now, f) {
				panic("what stood by may not fly")
			}
		}
	}
}

// TestWrongCallsPanic has the delivery loop be wrong, so that no count goes astray unseen.
func TestWrongCallsPanic(t *testing.T) {
	now := time.Unix(0, 0)
	for name, wrong := range map[string]func(s *Scheduler, b, f *engine.Batch){
		"Done twice": func(s *Scheduler, _, f *engine.Batch) {
			s.Launch(now, f)
			s.Done(now, f, engine.Result{})
			s.Done(now, f, engine.Result{})
		},
		"Done twice of what stood by": func(s *Scheduler, _, f *engine.Batch) {
			s.Done(now, f, engine.Result{Back: f.Spans, Unflown: true})
			s.Done(now, f, engine.Result{Back: f.Spans, Unflown: true})
		},
		"Launch of what does not stand by": func(s *Scheduler, b, _ *engine.Batch) { s.Launch(now, b) },
		"Launch twice": func(s *Scheduler, _, f *engine.Batch) {
			s.Launch(now, f)
			s.Launch(now, f)
		},
		"Launch of what was put back": func(s *Scheduler, _, f *engine.Batch) {
			s.Done(now, f, engine.Result{Back: f.Spans, Unflown: true})
			s.Launch(now, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSync(engine.BatchLimits{MaxRecords: 1})
			for range 2 {
				s.Add(now, engine.Span{Key: "k", Stream: &engine.Stream{}, Records: engine.SelectRange(0, 1)})
			}
			b, _ := s.Next(now)
			f := s.Follow(now, b)
			s.Done(now, b, engine.Result{})
			defer func() {
				if recover() == nil {
					t.Error("it does not panic")
				}
			}()
			wrong(s, b, f)
		})
	}
}

func TestQueueShrinks(t *testing.T) {
	var q queue[int]
	next, want := 0, 0
	for _, length := range []int{0, 1, 1000, 3, 100_000, 0, 5} {
		for q.len() < length {
			q.push(next)
			next++
		}
		for q.len() > length {
			if got := q.pop(); got != want {
				t.Fatalf("gives %d, want %d", got, want)
			}
			want++
		}
		if q.cap() > max(4*length, minRing) {
			t.Errorf("a queue of %d occupies %d", length, q.cap())
		}
	}
	if *q.first() != want || *q.last() != next-1 || *q.at(2) != want+2 {
		t.Errorf("holds %d to %d, want %d to %d", *q.first(), *q.last(), want, next-1)
	}
	q.popLast()
	if q.len() != 4 || *q.last() != next-2 {
		t.Errorf("holds %d up to %d after popLast, want 4 up to %d", q.len(), *q.last(), next-2)
	}
}

func TestHeapShrinks(t *testing.T) {
	var h heap[int]
	for i := range 100_000 {
		h.push(turn{number: int64(i * 7919 % 100_000)}, i)
	}
	for i := range 99_990 {
		if got := h.turn().number; got != int64(i) {
			t.Fatalf("gives number %d, want %d", got, i)
		}
		h.pop()
	}
	if cap(h.entries) > 4*minHeap {
		t.Errorf("a heap of %d occupies %d", h.len(), cap(h.entries))
	}
}
