package deadletter

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Remove implements [engine.LetterStore]. It writes down all that was removed and is not the beginning of the store, in runs: so
// calls with many IDs cost less than many calls. Where it fails the letters are still there, but after a crash may be not. A letter
// that cannot be read is removed as any other; its segment is kept apart when it is freed.
func (s *Store) Remove(ctx context.Context, ids []uint64) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("remove dead letters: %w", context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	s.mu.Lock()
	closed, before := s.closed, s.removed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	after := before.union(runsOf(ids).within(1, s.log.End().LSN))
	if slices.Equal(before, after) {
		return nil
	}
	if err := writeRemoved(s.FS, s.Dir, after); err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	s.mu.Lock()
	s.removed = after
	s.count()
	s.mu.Unlock()
	s.tidy()
	return nil
}

// tidy frees the segments of which all letters are removed. The caller has the turn. What fails is tried again, by this process or the
// next one.
func (s *Store) tidy() {
	s.mu.Lock()
	if s.closed { // the directory may be another process's by now
		s.mu.Unlock()
		return
	}
	s.untidy = false
	var empty []uint64
	for i, g := range s.segments {
		if g.live == 0 && s.ended(i) {
			empty = append(empty, g.number)
		}
	}
	s.mu.Unlock()
	if len(empty) > 0 {
		if err := s.log.Free(empty...); err != nil {
			s.Log.Warn("free segments of dead letters", "err", err)
		}
	}
	held := s.log.Segments()
	s.mu.Lock()
	s.segments = slices.DeleteFunc(s.segments, func(g *segment) bool {
		return slices.Contains(empty, g.number) && find(held, g.number) == nil
	})
	s.mu.Unlock()
}

// ended reports whether no letter comes into a segment any more: it is of a life before this one, or there are letters behind it.
// Of the last one it is not enough that the log has sealed it by now, for letters may have come since it was looked at. The lock is
// held.
func (s *Store) ended(i int) bool { return s.segments[i].number <= s.opened || i < len(s.segments)-1 }

func find(segments []seglog.Segment, number uint64) *seglog.Segment {
	i := slices.IndexFunc(segments, func(g seglog.Segment) bool { return g.Number == number })
	if i < 0 {
		return nil
	}
	return &segments[i]
}
