// Package schedule has the schedulers of an output: Sync, Keyed and Concurrent, which are one struct, and the limits on
// how many batches fly, fixed or adaptive.
package schedule

import (
	"math"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
)

var _ engine.Scheduler = (*Scheduler)(nil)

// A Scheduler decides what flies next. What waits under one key stands in a lane; the lanes stand in three heaps: those
// whose next batch may fly, those that time alone will make ready, and all with something that was never attempted. What
// came back stands in one too, over all lanes, so that the oldest of either is found. Adding, sending
// and evicting cost O(log keys), and O(log of what came back). A
// key with nothing waiting and nothing in flight is forgotten.
type Scheduler struct {
	perKey  bool // at most one batch of a key flies, and what came back goes before what waits
	records int  // of a batch, at most
	bytes   int
	pinned  int
	linger  time.Duration
	limit   Limit

	lanes   map[string]*lane
	ready   heap[*lane] // by the age of what they would send
	timed   heap[*lane] // by when they become ready
	resting heap[*lane] // nothing left of them, by when what comes next may fly
	oldest  heap[*lane] // by the age of what waits in them and was never attempted
	rests   heap[*rest] // of all lanes, by age
	ties    ties
	spare   []*lane
	cool    time.Time // nothing flies before
	number  int64     // the last that was given to a span or to what came back
	waiting int       // spans
	flying  int       // batches

	standing map[*engine.Batch]struct{} // batches that Follow gave, until they fly or come back
}

// NewSync keeps one batch in flight, and order per key. While a batch backs off other keys fly, its own waits; for an
// output with a single key that is total order.
func NewSync(limits engine.BatchLimits) *Scheduler {
	return NewKeyed(limits, Fixed(1))
}

// NewKeyed keeps at most one batch of a key in flight, and as many in all as the limit lets. It keeps order per key: a
// key whose batch backs off waits alone.
func NewKeyed(limits engine.BatchLimits, limit Limit) *Scheduler {
	s := NewConcurrent(limits, limit)
	s.perKey = true
	return s
}

// NewConcurrent keeps as many batches in flight as the limit lets, whatever their keys, and gives up order.
func NewConcurrent(limits engine.BatchLimits, limit Limit) *Scheduler {
	return &Scheduler{
		records:  bound(limits.MaxRecords),
		bytes:    bound(limits.MaxBytes),
		pinned:   bound(limits.MaxPinned),
		linger:   max(limits.Linger, 0),
		limit:    limit,
		lanes:    make(map[string]*lane),
		standing: make(map[*engine.Batch]struct{}),
		ties:     makeTies(),
		ready:    heap[*lane]{slot: func(l *lane) *int { return &l.ready }},
		timed:    heap[*lane]{slot: func(l *lane) *int { return &l.timed }},
		resting:  heap[*lane]{slot: func(l *lane) *int { return &l.resting }},
		oldest:   heap[*lane]{slot: func(l *lane) *int { return &l.oldest }},
		rests:    heap[*rest]{slot: func(r *rest) *int { return &r.age }},
	}
}

func bound(n int) int {
	if n <= 0 {
		return math.MaxInt
	}
	return n
}

// Add implements [engine.Scheduler].
func (s *Scheduler) Add(now time.Time, span engine.Span) {
	l := s.lane(span.Key)
	if l.idle() && !l.until.After(now) { // or time would have forgotten it
		l.until, l.attempt = time.Time{}, 0
	}
	s.number++
	l.push(s.enlist(l, span, s.number))
	s.place(now, l)
}

// enlist makes a span one that waits in the lane under a number.
func (s *Scheduler) enlist(l *lane, span engine.Span, number int64) waiting {
	s.waiting++
	w := waiting{Span: span, number: number}
	switch {
	case s.linger == 0: // all is ready at once: nothing to hurry
	case span.Urgent || span.Stream.Urgent():
		l.urgent = max(l.urgent, number)
	default:
		w.tie = s.ties.tie(l, span.Stream, number)
	}
	return w
}

// Next implements [engine.Scheduler].
func (s *Scheduler) Next(now time.Time) (*engine.Batch, time.Duration) {
	s.ripen(now)
	if s.flying >= s.limit.Now() {
		return nil, -1
	}
	if s.ready.len() == 0 || now.Before(s.cool) {
		return nil, s.wait(now)
	}
	s.flying++
	return s.takeOff(now, s.ready.first()), 0
}

// wait is how long time alone needs to make a batch ready, or negative when it will not.
func (s *Scheduler) wait(now time.Time) time.Duration {
	at := s.cool
	if s.ready.len() == 0 {
		if s.timed.len() == 0 {
			return -1
		}
		if due := s.timed.turn().at; due.After(at) {
			at = due
		}
	}
	return at.Sub(now)
}

// Done implements [engine.Scheduler].
func (s *Scheduler) Done(now time.Time, b *engine.Batch, r engine.Result) {
	l := s.lanes[b.Key]
	if l == nil || l.flying == 0 {
		panic("schedule: Done with a batch that does not fly")
	}
	s.ripen(now)
	bound := s.flying >= s.limit.Now() && (s.ready.len() > 0 || s.crowded()) && !now.Before(s.cool)
	l.flying--
	if _, ok := s.standing[b]; ok {
		delete(s.standing, b)
	} else {
		s.flying--
	}
	if !r.Unflown {
		s.limit.Landed(Landing{
			Latency:  r.Latency,
			Pushback: r.Pushback,
			Failed:   mustWait(now, r.Rest),
			Bound:    bound,
			Flying:   s.flying,
		})
	}
	if r.Cool.After(s.cool) {
		s.cool = r.Cool
	}
	if len(r.Rest) == 0 && !r.Unflown {
		l.until, l.attempt = time.Time{}, 0
	}
	s.takeBack(l, r.Rest)
	s.giveBack(l, r.Back)
	s.place(now, l)
}

// mustWait tells a failure from a destination that took what fitted, or that is being bisected: that goes on at once.
func mustWait(now time.Time, rest []*engine.Batch) bool {
	for _, b := range rest {
		if b.NotBefore.After(now) {
			return true
		}
	}
	return false
}

// takeBack puts what is to be tried again at the head of its lane's line, or, where there is no order to keep, in its
// place by when it is due.
func (s *Scheduler) takeBack(l *lane, batches []*engine.Batch) {
	l.front -= int64(len(batches))
	for i, b := range batches {
		s.number++
		t := turn{number: l.front + int64(i)}
		if !s.perKey {
			t = turn{at: b.NotBefore, number: s.number}
		}
		r := &rest{Batch: b, lane: l, number: s.number}
		l.rests.push(t, r)
		s.rests.push(turn{b.Arrived, r.number}, r)
		s.waiting += len(b.Spans)
	}
}

// giveBack puts what was not tried in front of what waits in its lane. Its numbers lie below those that wait there. Where
// these linger, the number up to which the lane's spans do not goes below them too: it is that of a span which is gone.
func (s *Scheduler) giveBack(l *lane, spans []engine.Span) {
	n := int64(len(spans))
	before := s.number
	if l.spans.len() == 0 {
		s.number += n
	} else {
		first := l.spans.first().number
		before = first - n - 1
		if l.urgent < first {
			l.urgent = min(l.urgent, before)
		}
	}
	for i, span := range slices.Backward(spans) {
		l.pushFront(s.enlist(l, span, before+1+int64(i)))
	}
}

// Hurry implements [engine.Scheduler].
func (s *Scheduler) Hurry(now time.Time, stream *engine.Stream) {
	if s.linger == 0 {
		return
	}
	for t := s.ties.of(stream); t != nil; t = t.next {
		if t.last > t.lane.urgent {
			t.lane.urgent = t.last
			s.place(now, t.lane)
		}
	}
}

// Drain implements [engine.Scheduler]. What waits out a backoff or a cool-down now goes at once; the NotBefore and Cool of
// later results are kept to, as they come from somebody who knows of the drain.
func (s *Scheduler) Drain(now time.Time) {
	s.linger = 0
	s.cool = time.Time{}
	for _, l := range s.lanes { // in any order: a lane's place depends on itself alone
		l.until = time.Time{}
		for i := range l.rests.entries {
			e := &l.rests.entries[i]
			e.at, e.value.NotBefore = time.Time{}, time.Time{}
		}
		l.rests.sort()
		s.place(now, l)
	}
}

// Evict implements [engine.Scheduler].
func (s *Scheduler) Evict(now time.Time) []engine.Span {
	switch {
	case s.rests.len() > 0 && (s.oldest.len() == 0 || !s.oldest.turn().at.Before(s.rests.turn().at)):
		return s.evictRest(now, s.rests.first())
	case s.oldest.len() > 0:
		l := s.oldest.first()
		span := s.pop(l)
		s.waiting--
		s.place(now, l)
		return []engine.Span{span}
	}
	return nil
}

// evictRest removes what came back. What is behind it in a lane with order waits as long as it would have: else its key
// would be tried without a pause for as long as there is something to evict.
func (s *Scheduler) evictRest(now time.Time, r *rest) []engine.Span {
	l := r.lane
	if s.perKey && l.rests.first() == r {
		l.attempt = max(l.attempt, r.Attempt)
		if r.NotBefore.After(l.until) {
			l.until = r.NotBefore
		}
	}
	l.rests.remove(r)
	s.rests.remove(r)
	s.waiting -= len(r.Spans)
	s.place(now, l)
	return r.Spans
}

// Take implements [engine.Scheduler].
func (s *Scheduler) Take(now time.Time, key string) []engine.Span {
	l := s.lanes[key]
	if l == nil {
		return nil
	}
	spans := make([]engine.Span, 0, l.rests.len()+l.spans.len())
	for l.rests.len() > 0 {
		spans = append(spans, s.popRest(l).Spans...)
	}
	for l.spans.len() > 0 {
		spans = append(spans, s.pop(l))
	}
	s.waiting -= len(spans)
	s.place(now, l)
	return spans
}

// Waiting implements [engine.Scheduler].
func (s *Scheduler) Waiting() int { return s.waiting }

// InFlight implements [engine.Scheduler]. More may fly than the limit allows just after an adaptive limit fell.
func (s *Scheduler) InFlight() (now, limit int) { return s.flying, s.limit.Now() }
