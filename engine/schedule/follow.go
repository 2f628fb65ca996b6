package schedule

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// Follow implements [engine.Scheduler]. Where keys have no order what could follow flies already, or waits for a slot in no
// order either, and there is none.
func (s *Scheduler) Follow(now time.Time, b *engine.Batch) *engine.Batch {
	limit := s.limit.Now()
	if !s.perKey || s.flying > limit || now.Before(s.cool) {
		return nil
	}
	s.ripen(now)
	l := s.lanes[b.Key]
	if l.flying > 1 || !s.followable(now, l) {
		l = nil
	}
	if s.flying == limit && s.ready.len() > 0 && (l == nil || s.ready.turn().compare(l.turn()) < 0) {
		if l = s.ready.first(); !s.followable(now, l) {
			l = nil
		}
	}
	if l == nil {
		return nil
	}
	f := s.takeOff(now, l)
	s.standing[f] = struct{}{}
	return f
}

// followable reports whether the lane has a full batch for its next, one that was not attempted: what is not full may grow,
// and what is frozen has to stay in front.
func (s *Scheduler) followable(now time.Time, l *lane) bool {
	return l.rests.len() == 0 && s.full(l) && !l.until.After(now)
}

// Launch implements [engine.Scheduler].
func (s *Scheduler) Launch(now time.Time, b *engine.Batch) bool {
	if _, ok := s.standing[b]; !ok {
		panic("schedule: Launch of a batch that does not stand by")
	}
	l := s.lanes[b.Key]
	if l.flying > 1 || s.flying >= s.limit.Now() || now.Before(s.cool) {
		return false
	}
	delete(s.standing, b)
	s.flying++
	b.Attempt = l.attempt // what was delivered before it may have forgotten them
	return true
}

// crowded reports whether a batch stands by for want of a slot, and not for its key.
func (s *Scheduler) crowded() bool {
	for b := range s.standing {
		if s.lanes[b.Key].flying == 1 {
			return true
		}
	}
	return false
}
