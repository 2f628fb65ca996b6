package schedule

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// A candidate is what a lane would send next.
type candidate struct {
	due  time.Time // when it may fly; long past: at once
	turn turn      // its place among those that may
	rest bool      // it is what came back, not what waits
}

// backOff has the candidate wait. From then on it is no older than that: by its true age, what fails for ever would go
// before all else whenever it is due.
func (c candidate) backOff(until time.Time) candidate {
	if until.After(c.due) {
		c.due = until
	}
	if until.After(c.turn.at) {
		c.turn.at = until
	}
	return c
}

// before reports whether c flies before d of the same lane: by age where both may fly, else by which may first.
func (c candidate) before(d candidate, now time.Time) bool {
	if c.due.After(now) || d.due.After(now) {
		return c.due.Before(d.due)
	}
	return c.turn.at.Before(d.turn.at)
}

// next is what the lane would send next, if it may send at all.
func (s *Scheduler) next(now time.Time, l *lane) (c candidate, ok bool) {
	if s.perKey && l.flying > 0 {
		return c, false
	}
	if l.rests.len() > 0 {
		r := l.rests.first()
		c = candidate{turn: turn{r.Arrived, r.number}, rest: true}.backOff(r.NotBefore).backOff(l.until)
		if s.perKey {
			return c, true
		}
		ok = true
	}
	if l.spans.len() > 0 {
		w := candidate{due: s.due(l), turn: l.turn()}.backOff(l.until)
		if !ok || w.before(c, now) {
			return w, true
		}
	}
	return c, ok
}

// due is when what waits in the lane may fly: the zero time when it is full or urgent, else when its oldest lingered out.
func (s *Scheduler) due(l *lane) time.Time {
	if s.linger == 0 || l.spans.first().number <= l.urgent || s.full(l) {
		return time.Time{}
	}
	return l.turn().at.Add(s.linger)
}

// full reports whether what waits in the lane fills a batch.
func (s *Scheduler) full(l *lane) bool {
	return l.records >= s.records || l.bytes >= s.bytes || l.pinned >= s.pinned
}

// place puts the lane where it belongs after a change, and forgets it when there is nothing left of it.
func (s *Scheduler) place(now time.Time, l *lane) {
	s.resting.remove(l)
	if l.spans.len() > 0 {
		s.oldest.set(l.turn(), l)
	} else {
		s.oldest.remove(l)
	}
	switch c, ok := s.next(now, l); {
	case !ok:
		s.ready.remove(l)
		s.timed.remove(l)
		if l.idle() && !l.until.After(now) {
			s.forget(l)
		} else if l.idle() {
			s.resting.set(turn{at: l.until}, l)
		}
	case c.due.After(now):
		s.ready.remove(l)
		s.timed.set(turn{c.due, c.turn.number}, l)
	default:
		s.timed.remove(l)
		s.ready.set(c.turn, l)
	}
}

// ripen makes ready what time has made ready, and forgets what it kept for its backoff alone.
func (s *Scheduler) ripen(now time.Time) {
	for s.timed.len() > 0 && !s.timed.turn().at.After(now) {
		s.place(now, s.timed.first())
	}
	for s.resting.len() > 0 && !s.resting.turn().at.After(now) {
		s.place(now, s.resting.first())
	}
}

// takeOff takes the next batch off a lane: what came back as it is, or as much of what waits as fits.
func (s *Scheduler) takeOff(now time.Time, l *lane) *engine.Batch {
	var b *engine.Batch
	if c, _ := s.next(now, l); c.rest {
		b = s.popRest(l).Batch
	} else {
		b = s.fill(l)
	}
	l.flying++
	s.waiting -= len(b.Spans)
	s.place(now, l)
	return b
}

// fill makes a batch of as much of what waits in a lane as fits.
func (s *Scheduler) fill(l *lane) *engine.Batch {
	whole, part := l.fit(s.records, s.bytes, s.pinned)
	spans := make([]engine.Span, 0, whole+min(part, 1))
	for range whole {
		spans = append(spans, s.pop(l))
	}
	if part > 0 {
		head := l.split(part)
		head.Urgent = head.Urgent || l.spans.first().number <= l.urgent
		spans = append(spans, head)
		s.waiting++ // the tail of it stays
	}
	b := engine.NewBatch(spans...)
	b.Attempt = l.attempt
	return b
}

// popRest takes the lane's first rest.
func (s *Scheduler) popRest(l *lane) *rest {
	r := l.rests.pop()
	s.rests.remove(r)
	return r
}

// pop takes the lane's first waiting span.
func (s *Scheduler) pop(l *lane) engine.Span {
	w := l.pop()
	w.Urgent = w.Urgent || w.number <= l.urgent // also should it come back
	if w.tie != nil {
		s.ties.untie(w.tie)
	}
	return w.Span
}

// Forgotten lanes are used again, so that keys which come and go cost no garbage. So many are kept, if they are small.
// Numbers only rise, so those that a lane keeps mean nothing under its next key.
const (
	maxSpareLanes = 256
	maxSpareSpans = 8
)

// lane finds the key's lane, or makes it.
func (s *Scheduler) lane(key string) *lane {
	l := s.lanes[key]
	if l != nil {
		return l
	}
	if last := len(s.spare) - 1; last >= 0 {
		l, s.spare[last] = s.spare[last], nil
		s.spare = s.spare[:last]
	} else {
		l = &lane{rests: heap[*rest]{slot: func(r *rest) *int { return &r.line }}}
	}
	l.key = key
	s.lanes[key] = l
	return l
}

func (s *Scheduler) forget(l *lane) {
	delete(s.lanes, l.key)
	l.until, l.attempt = time.Time{}, 0
	if len(s.spare) < maxSpareLanes && l.spans.cap() <= maxSpareSpans {
		l.key = ""
		s.spare = append(s.spare, l)
	}
}
