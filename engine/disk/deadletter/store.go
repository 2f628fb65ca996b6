// Package deadletter keeps dead letters on a disk until somebody removes them: a log in segment files (package seglog), one
// entry a letter, and beside it what was removed. FORMAT.md says how it lies on the disk.
package deadletter

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var (
	_ engine.Output      = (*Store)(nil)
	_ engine.Batcher     = (*Store)(nil)
	_ engine.Measurer    = (*Store)(nil)
	_ engine.LetterStore = (*Store)(nil)
)

// Options say where a store is and how large it may be. A zero field means its default, given beside it.
type Options struct {
	Dir string    // it is made where it is not there; one process at a time may have it
	FS  seglog.FS // the system's
	// Room is for all segments together, in bytes: 1 GiB, and at least MinRoom. A batch is let in as long as a segment is
	// left of it, so the files may take one segment more.
	Room        int64
	SegmentSize int64        // in bytes: 16 MiB, at most an eighth of Room. A letter takes at most half of one
	Spare       bool         // a file is kept ready from the start: what is refused must not wait for space that only it can free
	Log         *slog.Logger // slog.DiscardHandler
}

// MinRoom is the least room that a store can do with, in bytes.
const MinRoom = 8 * minSegment

// minSegment leaves room for a letter of half of it besides the log's own pages.
const minSegment = 32 << 10

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = seglog.OS()
	}
	if o.Room == 0 {
		o.Room = 1 << 30
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 16 << 20
	}
	o.SegmentSize = min(o.SegmentSize, o.Room/8)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Room < MinRoom:
		return fmt.Errorf("room of %d bytes, the least is %d", o.Room, MinRoom)
	case o.SegmentSize < minSegment:
		return fmt.Errorf("segments of %d bytes, the least is %d", o.SegmentSize, minSegment)
	}
	return nil
}

var errClosed = fmt.Errorf("dead letters: %w", engine.ErrClosed)

// readers are those of the log: there is one.
const readers = 1

// A Store is open from Open to Close. Its methods may be called concurrently.
type Store struct {
	Options
	log    *seglog.Log
	opened uint64        // the last segment that was there at Open: nothing is added to it
	turn   chan struct{} // held, of capacity 1, by who removes or tidies up. It is taken before mu
	quit   chan struct{} // closed when nothing is stored any more
	shut   func() error

	mu       sync.Mutex // guards what follows
	closed   bool
	failing  error      // why the disk takes nothing; nil: it does
	segments []*segment // by number, which is by LSN
	removed  runs       // and what never comes back for other reasons; who has the turn changes it
	untidy   bool       // a segment has ended since somebody tidied up
	pending  int64      // bytes that wait for the disk
	moved    chan struct{}
	left     leftBehind
}

// A segment is what is known of one.
type segment struct {
	number      uint64
	first, next seglog.LSN
	end         int64 // of what is in it
	size        int64 // of its file; where letters are still added only what is in it
	live        int64 // letters that are not removed
}

// Stats is cheap.
func (s *Store) Stats() engine.LetterStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := engine.LetterStats{Bytes: s.stored(), Room: s.Room, Failing: s.failing}
	for _, g := range s.segments {
		st.Letters += g.live
	}
	if st.Failing == nil {
		st.Failing = s.full()
	}
	return st
}

// stored is how many bytes the segments take. The lock is held.
func (s *Store) stored() (n int64) {
	for _, g := range s.segments {
		n += g.size
	}
	return n
}

// full says that there is no room for another batch. The lock is held.
func (s *Store) full() error {
	if n := s.stored() + s.pending; n >= s.Room-s.SegmentSize {
		return fmt.Errorf("dead letters take %d of %d bytes, and segments of %d: %w", n, s.Room, s.SegmentSize, seglog.ErrFull)
	}
	return nil
}

// committed is told by the log, in order.
func (s *Store) committed(entries []*seglog.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		g := s.holding(e.Place)
		g.next, g.end, g.size = e.After.LSN, e.After.Offset, e.After.Offset
		g.live++
		s.pending -= cost(e)
		e.Owner.(*letter).commit(e.Place.LSN) //nolint:forcetypeassert // it is ours
	}
	close(s.moved)
	s.moved = make(chan struct{})
}

// holding gives the segment that a letter came into. The one before it, where it is new, has ended.
func (s *Store) holding(at seglog.Place) *segment {
	if n := len(s.segments); n > 0 {
		last := s.segments[n-1]
		if last.number == at.Segment {
			return last
		}
		if last.number > s.opened {
			last.size = s.SegmentSize
		}
		s.untidy = true
	}
	g := &segment{number: at.Segment, first: at.LSN}
	s.segments = append(s.segments, g)
	return g
}

// failed is told by the log of every attempt that fails, and with nil when one succeeds again.
func (s *Store) failed(err error) {
	s.mu.Lock()
	before := s.failing
	s.failing = err
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.Log.Error("dead letters cannot be stored", "err", err)
	case err == nil && before != nil:
		s.Log.Info("dead letters can be stored again")
	}
}

// damaged is told of what cannot be read.
func (s *Store) damaged(d seglog.Damage) {
	s.Log.Error("damage in the dead letters", "segment", d.Segment, "offset", d.Offset, "from", d.From, "to", d.To, "reason", d.Reason)
}

// Close closes the store. Writes and Letters that are under way end with engine.ErrClosed; it waits for a Remove.
func (s *Store) Close() error { return s.shut() }

func (s *Store) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	err := s.log.Close()
	close(s.quit)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return nil
}

// isClosed reports whether an error of the log's is that it was closed.
func isClosed(err error) bool { return errors.Is(err, seglog.ErrClosed) }
