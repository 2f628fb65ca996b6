package seglog

import (
	"fmt"
	"slices"
	"time"
)

// maxCommit is how much one commit takes, in bytes: as long as it is under way the rest waits.
const maxCommit = 8 << 20

// commit writes as much of what waits as goes into one write, syncs it, and tells of it. Where nothing waits it makes sure that
// something could be written.
func (l *Log) commit() error {
	if len(l.pending) == 0 {
		_, err := l.room(0)
		return err
	}
	s, err := l.room(l.pending[0].size())
	if err != nil {
		return err
	}
	batch := l.pending[:s.fits(l.pending)]
	l.encode(s, batch)
	if err := l.write(s); err != nil {
		l.abandon(s, err)
		return err
	}
	l.publish(s, batch)
	l.pending = slices.Delete(l.pending, 0, len(batch))
	l.release()
	return nil
}

// room gives the active segment, or a new one where the next entry does not fit.
func (l *Log) room(size int64) (*segment, error) {
	if s := l.active; s != nil {
		if s.end+size <= s.limit() {
			return s, nil
		}
		l.retire(s)
	}
	return l.begin()
}

// fits is how many of the entries make a commit: the first one fits.
func (s *segment) fits(batch []*Entry) int {
	room := min(s.limit()-s.end, max(maxCommit, batch[0].size()))
	for i, e := range batch {
		if room -= e.size(); room < 0 {
			return i
		}
	}
	return len(batch)
}

// encode makes the frames of one commit.
func (l *Log) encode(s *segment, batch []*Entry) {
	l.draft.begin(batch)
	for i, e := range batch {
		e.Place = Place{LSN: s.next + LSN(i), Segment: s.number, Offset: s.end + l.draft.size}
		h := header{salt: s.salt, lsn: e.Place.LSN, commit: s.commits, kind: kindEntry, Label: e.Label}
		h.first, h.last = i == 0, i == len(batch)-1
		l.draft.add(h, e)
		e.After = Place{LSN: e.Place.LSN + 1, Segment: s.number, Offset: s.end + l.draft.size}
	}
}

// write writes what was encoded behind all that is committed.
func (l *Log) write(s *segment) error {
	if err := l.draft.write(s.file, s.end); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	switch l.Sync {
	case SyncAlways:
		return l.syncFile(s)
	case SyncInterval:
		if l.wrote.IsZero() {
			l.wrote = time.Now()
			l.timer.Reset(l.Interval)
		} else if time.Since(l.wrote) >= l.Interval { // the timer rings in vain while commits follow each other
			return l.syncFile(s)
		}
	case SyncNever:
	}
	return nil
}

func (l *Log) syncFile(s *segment) error {
	l.wrote = time.Time{}
	l.timer.Stop()
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", s.name, err)
	}
	return nil
}

// syncOld syncs what was written since the last time, with SyncInterval.
func (l *Log) syncOld() {
	if s := l.active; s != nil {
		if err := l.syncFile(s); err != nil {
			l.abandon(s, err)
			l.tell(err)
		}
	}
}

// publish makes a commit count, and tells of it.
func (l *Log) publish(s *segment, batch []*Entry) {
	l.mu.Lock()
	s.end += l.draft.size
	s.commits++
	s.next += LSN(len(batch))
	l.next = s.next
	for _, e := range batch {
		s.totals.add(e.Label)
	}
	l.mu.Unlock()
	l.Committed(batch)
}

// retire ends a segment that is full. It is synced with its seal, so that it need not be read should the machine stop. Where that
// fails what it holds may be lost with the machine if its entries were not synced one by one; so it is told.
func (l *Log) retire(s *segment) {
	err := l.seal(s)
	if err == nil {
		err = l.syncFile(s)
	}
	if err != nil {
		l.abandon(s, err)
		l.tell(err)
		return
	}
	l.settle(s)
}

// abandon ends a segment whose file failed, at its last good commit. It is never synced again: after a sync that failed a file
// system may take what was lost for written. What of the failed commit is in it is void, as the next segment begins with the same
// entries.
func (l *Log) abandon(s *segment, err error) {
	l.Log.Error("segment abandoned", "segment", s.name, "err", err)
	if s.end > framesAt {
		_ = l.seal(s) // only saves time
		l.settle(s)
		return
	}
	l.settle(s) // nothing is in it
	l.mu.Lock()
	l.segments = slices.DeleteFunc(l.segments, func(other *segment) bool { return other == s })
	l.mu.Unlock()
	if err := l.discard(s.file, s.name, s.size); err != nil {
		l.Log.Warn("remove segment", "segment", s.name, "err", err)
	}
}

func (l *Log) settle(s *segment) {
	l.wrote = time.Time{}
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed = true
	l.active = nil
}

// seal writes a segment's seal.
func (l *Log) seal(s *segment) error {
	l.mu.Lock()
	damaged := len(s.damage) > 0
	l.mu.Unlock()
	return s.writeSeal(damaged)
}
