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

// next is what the lane would send next, if it may send at all.
func (s *Scheduler) next(now time.Time, l *lane) (c candidate, ok bool) {
	if s.perKey && l.flying > 0 {
		return c, false
	}
	if l.rests.len() > 0 {
		r := l.rests.first()
		c = candidate{due: r.NotBefore, turn: turn{r.Arrived, r.number}, rest: true}
		if s.perKey || !c.due.After(now) {
			return c, true
		}
		ok = true
	}
	if l.spans.len() > 0 {
		if due := s.due(l); !ok || due.Before(c.due) {
			return candidate{due: due, turn: l.turn()}, true
		}
	}
	return c, ok
}

// due is when what waits in the lane may fly: the zero time when it is full or urgent, else when its oldest lingered out.
func (s *Scheduler) due(l *lane) time.Time {
	if s.linger == 0 || l.spans.first().number <= l.urgent || l.records >= s.records || l.bytes >= s.bytes {
		return time.Time{}
	}
	return l.turn().at.Add(s.linger)
}

// place puts the lane where it belongs after a change, and forgets it when there is nothing left of it.
func (s *Scheduler) place(now time.Time, l *lane) {
	if l.spans.len() > 0 {
		s.oldest.set(l.turn(), l)
	} else {
		s.oldest.remove(l)
	}
	switch c, ok := s.next(now, l); {
	case !ok:
		s.ready.remove(l)
		s.timed.remove(l)
		if l.idle() {
			s.forget(l)
		}
	case c.due.After(now):
		s.ready.remove(l)
		s.timed.set(turn{c.due, c.turn.number}, l)
	default:
		s.timed.remove(l)
		s.ready.set(c.turn, l)
	}
}

// ripen makes ready what time has made ready.
func (s *Scheduler) ripen(now time.Time) {
	for s.timed.len() > 0 && !s.timed.turn().at.After(now) {
		s.place(now, s.timed.first())
	}
}

// takeOff takes the next batch off a lane that is ready: what came back as it is, or as much of what waits as fits.
func (s *Scheduler) takeOff(now time.Time, l *lane) *engine.Batch {
	if c, _ := s.next(now, l); c.rest {
		return l.rests.pop().Batch
	}
	whole, part := l.fit(s.records, s.bytes)
	spans := make([]engine.Span, 0, whole+min(part, 1))
	for range whole {
		spans = append(spans, s.pop(l))
	}
	if part > 0 {
		spans = append(spans, l.split(part))
		s.waiting++ // the tail of it stays
	}
	return engine.NewBatch(spans...)
}

// pop takes the lane's first waiting span.
func (s *Scheduler) pop(l *lane) engine.Span {
	w := l.pop()
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
		l = new(lane)
	}
	l.key = key
	s.lanes[key] = l
	return l
}

func (s *Scheduler) forget(l *lane) {
	delete(s.lanes, l.key)
	if len(s.spare) < maxSpareLanes && l.spans.cap() <= maxSpareSpans {
		l.key = ""
		s.spare = append(s.spare, l)
	}
}
