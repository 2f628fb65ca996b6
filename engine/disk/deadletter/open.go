package deadletter

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Open opens a store, or makes it. It fails with seglog.ErrLocked where another process has it. A store that has more in it than
// there is room for is full.
func Open(o Options) (*Store, error) {
	s := &Store{
		Options: o.withDefaults(), turn: make(chan struct{}, 1), quit: make(chan struct{}), moved: make(chan struct{}),
	}
	s.shut = sync.OnceValue(s.close)
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	// Full is what this package says, before it appends: an entry that waits for room could not be taken back. Files are not
	// used again: what is on the disk is what the letters take.
	log, recovery, err := seglog.Open(seglog.Options{
		FS: s.FS, Dir: s.Dir, SegmentSize: s.SegmentSize, Spare: s.Spare, Recycle: -1, Sync: seglog.SyncAlways, Log: s.Log,
		Committed: s.committed, Failing: s.failed,
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	s.log = log
	if err := s.restore(); err != nil {
		return nil, errors.Join(fmt.Errorf("dead letters: %w", err), log.Close())
	}
	for _, d := range recovery.Cut {
		s.Log.Warn("a commit of dead letters that was under way is cut", "at", d)
	}
	for _, d := range recovery.Damage {
		if d.From >= d.To || s.removed.count(d.From, d.To) < int64(d.To-d.From) { // nobody misses what was removed
			s.damaged(d)
		}
	}
	s.tidy()
	return s, nil
}

// restore finds out which letters are there.
func (s *Store) restore() error {
	removed, known, err := readRemoved(s.FS, s.Dir)
	if err != nil {
		return err
	}
	end := s.log.End().LSN
	if kept := removed.within(1, end); kept.size() < removed.size() {
		// The log has lost its end, and gives these IDs again: whoever gets them is not removed.
		s.Log.Error("letters that were removed are not in the log", "end", end)
		if err := writeRemoved(s.FS, s.Dir, kept); err != nil {
			return err
		}
		removed = kept
	}
	held := runs{}
	for _, g := range s.log.Segments() {
		held = held.union(runs{{g.First, g.Next}}.within(1, end))
		s.segments = append(s.segments, &segment{number: g.Number, first: g.First, next: g.Next, end: g.End, size: g.Size})
		s.opened = g.Number
	}
	s.removed = removed.union(s.missing(held, removed, known))
	s.count()
	return nil
}

// missing gives what no segment holds. Where it was not removed first it is lost, which is told.
func (s *Store) missing(held, removed runs, known bool) (gaps runs) {
	if !known {
		s.Log.Error("which dead letters were removed cannot be read: all that the segments hold are back")
	}
	for lsn, end := seglog.LSN(1), s.log.End().LSN; lsn < end; {
		to := min(held.start(lsn), end)
		if lost := int64(to-lsn) - removed.count(lsn, to); lost > 0 && known {
			s.Log.Error("dead letters are missing", "from", lsn, "to", to, "letters", lost)
		}
		if to > lsn {
			gaps = append(gaps, run{lsn, to})
		}
		lsn = held.skip(to)
	}
	return gaps
}

// count counts the letters in each segment. The lock is held, or nobody else has the store.
func (s *Store) count() {
	for _, g := range s.segments {
		g.live = int64(g.next-g.first) - s.removed.count(g.first, g.next)
	}
}
