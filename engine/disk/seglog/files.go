package seglog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"
)

// A spare is a file that is not a segment: it is empty, or kept for use again. It has the size of a segment.
type spare struct {
	file File
	name string
}

// idleSuffix is behind a spare's name.
const idleSuffix = ".idle"

// begin begins a segment: in a file that was used before where there is one. It gets its name once its head is safe.
func (l *Log) begin() (*segment, error) {
	l.number++
	f, err := l.spare()
	if err != nil {
		return nil, err
	}
	s := &segment{
		number: l.number, name: segmentName(l.Dir, l.number), salt: rand.Uint64(), file: f.file, size: l.SegmentSize,
		first: l.next, next: l.next, end: framesAt, totals: totals{},
	}
	if err := l.install(&f, s); err != nil {
		return nil, errors.Join(fmt.Errorf("begin %s: %w", s.name, err), l.discard(f.file, f.name, s.size))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	l.active = s
	return s, nil
}

func (l *Log) install(f *spare, s *segment) error {
	if err := s.writeHead(time.Now()); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := l.FS.Rename(f.name, s.name); err != nil {
		return err
	}
	f.name = s.name
	return l.FS.SyncDir(l.Dir)
}

// spare gives a file with space.
func (l *Log) spare() (spare, error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		f := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return f, nil
	}
	used := l.used
	if l.kept != nil {
		used -= l.kept.size // it goes when there is a newer one
	}
	l.mu.Unlock()
	if l.Storage > 0 && used+l.SegmentSize > l.Storage {
		return spare{}, fmt.Errorf("%d of %d bytes are used: %w", used, l.Storage, ErrFull)
	}
	name := segmentName(l.Dir, l.number) + idleSuffix
	f, err := l.FS.Create(name)
	if err != nil {
		return spare{}, fmt.Errorf("create %s: %w", name, err)
	}
	l.count(l.SegmentSize)
	if err := f.Allocate(l.SegmentSize); err != nil {
		return spare{}, errors.Join(fmt.Errorf("allocate %s: %w", name, err), l.discard(f, name, l.SegmentSize))
	}
	return spare{f, name}, nil
}

// discard gives up a file whose content nobody needs. One that cannot be removed still takes its space.
func (l *Log) discard(f File, name string, size int64) error {
	closed, removed := f.Close(), l.FS.Remove(name)
	if removed == nil {
		l.count(-size)
	}
	return errors.Join(closed, removed)
}

func (l *Log) count(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used += n
}

// Free gives segments up that nobody needs: their files are used again, or removed, and those with damage kept apart. Whoever
// still reads them gets ErrGone. The active segment is not freed. A segment that could not be freed is back when the log is opened
// again, and so may be one that was freed, after a crash.
func (l *Log) Free(numbers ...uint64) error {
	var errs []error
	l.exclusively(func() {
		segments, err := l.withdraw(numbers)
		errs = append(errs, err)
		for _, s := range segments {
			errs = append(errs, l.free(s))
		}
		ring(l.freed) // there may be room now for what the committer waits with
	})
	return errors.Join(errs...)
}

// exclusively does what nobody else may do at the same time to files that are not the active one's.
func (l *Log) exclusively(work func()) {
	l.freeing.Lock()
	work()
	l.freeing.Unlock()
	l.sweep()
}

// withdraw takes segments off the list. The newest one is kept aside.
func (l *Log) withdraw(numbers []uint64) (out []*segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	var newest *segment
	if n := len(l.segments); n > 0 && l.kept == nil {
		newest = l.segments[n-1]
	}
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool {
		switch {
		case s == l.active || !slices.Contains(numbers, s.number):
			return false
		case s == newest:
			l.kept = s
		default:
			out = append(out, s)
		}
		return true
	})
	return out, nil
}

// release has what was kept aside freed, when something is committed behind it. Where somebody frees just now he does that, too: no
// commit waits for him.
func (l *Log) release() {
	l.mu.Lock()
	s := l.kept
	if l.kept = nil; s != nil {
		l.spent = append(l.spent, s)
	}
	l.mu.Unlock()
	if s != nil {
		l.sweep()
	}
}

// sweep frees what is spent, unless somebody has the lock: he sweeps when he gives it back.
func (l *Log) sweep() {
	for l.isSpent() && l.freeing.TryLock() {
		l.freeSpent()
		l.freeing.Unlock()
	}
}

func (l *Log) isSpent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.spent) > 0
}

// freeSpent frees what is spent. The caller has the lock for it.
func (l *Log) freeSpent() {
	l.mu.Lock()
	segments := l.spent
	l.spent = nil
	l.mu.Unlock()
	for _, s := range segments {
		if err := l.free(s); err != nil {
			l.Log.Warn("free segment", "segment", s.name, "err", err)
		}
		ring(l.freed)
	}
}

func (l *Log) free(s *segment) error {
	l.mu.Lock()
	damaged, recycle := len(s.damage) > 0, s.size == l.SegmentSize && len(l.idle) < l.Recycle
	if l.Storage > 0 && l.used > l.Storage { // the limit was lowered, or the segment was kept beside a newer one
		recycle = false
	}
	l.mu.Unlock()
	if damaged {
		return l.quarantine(s)
	}
	if name := s.name + idleSuffix; recycle && l.FS.Rename(s.name, name) == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle = append(l.idle, spare{s.file, name})
		return nil
	}
	return l.discard(s.file, s.name, s.size)
}

// quarantineDir holds the segments that nobody needs and that could not be read whole, for people to look at.
const quarantineDir = "quarantine"

func (l *Log) quarantine(s *segment) error {
	dir := filepath.Join(l.Dir, quarantineDir)
	err := errors.Join(s.file.Close(), l.FS.MkdirAll(dir))
	moved := l.FS.Rename(s.name, filepath.Join(dir, filepath.Base(s.name)))
	if moved == nil {
		l.count(-s.size)
	}
	return errors.Join(err, moved)
}
