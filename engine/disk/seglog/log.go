// Package seglog is a log in segment files: entries are appended by many at once, and all that waits is committed with one
// write and one sync. FORMAT.md says how it lies on the disk.
package seglog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Options say where a log is and how it is kept. A zero field means its default, given beside it.
type Options struct {
	FS          FS     // OS()
	Dir         string // it is made where it is not there
	SegmentSize int64  // of a file, in bytes: 64 MiB; from 16 KiB to 1 GiB
	Storage     int64  // of all files together, in bytes: no bound but the disk's; what is in quarantine does not count
	Spare       bool   // a file is kept ready from the start, so that the first segment needs no space when it is begun
	Recycle     int    // files that are kept for use again: 2, negative: none. What is overwritten is written faster
	Sync        SyncPolicy
	Interval    time.Duration // between syncs, with SyncInterval: 1 s
	Log         *slog.Logger  // slog.DiscardHandler
	// Committed is told of every commit, in order, from the log's goroutine. It may call the log, but not Close, and must not
	// keep the slice.
	Committed func([]*Entry)
	// Failing is told of every attempt to commit that fails, and with nil when one succeeds again. The log tries until it is
	// closed. It may call the log, but not Close.
	Failing func(error)
}

// A SyncPolicy says when what was written is synced.
type SyncPolicy int

// The policies. Whichever it is, a segment is synced when it ends.
const (
	SyncAlways   SyncPolicy = iota // before it counts as committed
	SyncInterval                   // in the background; a crash of the machine costs what came since
	SyncNever                      // when the system sees fit
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = OS()
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.Recycle == 0 {
		o.Recycle = 2
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Committed == nil {
		o.Committed = func([]*Entry) {}
	}
	if o.Failing == nil {
		o.Failing = func(error) {}
	}
	return o
}

// The bounds of a segment: a smaller one holds hardly anything, and in a larger one a length might not fit into 32 bits.
const (
	minSegment = 16 << 10
	maxSegment = 1 << 30
)

func (o Options) check() error {
	switch {
	case o.SegmentSize < minSegment || o.SegmentSize > maxSegment:
		return fmt.Errorf("a segment has from %d to %d bytes, not %d", minSegment, maxSegment, o.SegmentSize)
	case o.Storage < 0 || o.Storage > 0 && o.Storage < o.SegmentSize:
		return fmt.Errorf("storage of %d bytes has no room for a segment of %d", o.Storage, o.SegmentSize)
	case o.Interval < 0:
		return fmt.Errorf("the interval between syncs is %v", o.Interval)
	case o.Sync < SyncAlways || o.Sync > SyncNever:
		return fmt.Errorf("there is no sync policy %d", o.Sync)
	}
	return nil
}

// An Entry is what is appended. Its payload is Head and Body, one after the other; both belong to the log until it is committed.
type Entry struct {
	Label
	Head, Body []byte
	Owner      any // whatever the appender wants back

	Place Place // where it lies, once it is committed
	After Place // where the next one lies, if it is of the same segment

	sum    uint32 // checksum of the payload
	summed bool
}

// Sum works out the entry's checksum, so that Append need not: for who calls that with a lock held. The payload does not change from
// then on.
func (e *Entry) Sum() {
	if !e.summed {
		e.sum, e.summed = checksum(e.Head, e.Body), true
	}
}

func (e *Entry) size() int64 { return frameSize(int64(len(e.Head)) + int64(len(e.Body))) }

// A Place is where an entry lies. It is valid until its segment is freed.
type Place struct {
	LSN     LSN    `json:"lsn"`
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
}

var (
	// ErrClosed is answered by a log that was closed.
	ErrClosed = errors.New("log is closed")
	// ErrTooLarge is answered where an entry does not fit into a segment.
	ErrTooLarge = errors.New("entry is larger than a segment takes")
	// ErrFull says that the log has all the storage that it may have.
	ErrFull = errors.New("storage limit reached")
)

// A Log is open until Close. Its methods may be called concurrently.
type Log struct {
	Options
	lock  io.Closer // of the directory
	bell  chan struct{}
	freed chan struct{}
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when the committer has ended
	shut  func() error

	// freeing is held while files that are not the active one's change hands, which may take long: the committer does not wait for it.
	// It is taken before mu.
	freeing sync.Mutex

	mu       sync.Mutex // guards what follows
	queue    []*Entry
	closed   bool
	segments []*segment // by number; the last is the active one, where there is one
	active   *segment   // nil: the next commit begins one
	kept     *segment   // the newest, where it was freed: as long as it is there, numbers go on after a restart
	spent    []*segment // were kept, until something was committed behind them; see release
	idle     []spare
	next     LSN
	used     int64 // bytes of all files

	// The committer's own:
	pending []*Entry // taken from the queue, and not committed
	draft   draft
	number  uint64 // of the last segment
	failing bool
	wrote   time.Time   // when the oldest was written that is not synced, with SyncInterval
	timer   *time.Timer // rings when that is due
}

// Append queues entries, which are committed in the order of the calls, those of a call next to each other. It does not block.
// It fails with ErrClosed, and with ErrTooLarge where one of them is; then it queues none.
func (l *Log) Append(entries ...*Entry) error {
	for _, e := range entries {
		if most := l.SegmentSize - framesAt - indexRoom; e.size() > most {
			return fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, e.size(), most)
		}
		e.Sum() // here, where many do it at once, and not in the committer
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.queue = append(l.queue, entries...)
	ring(l.bell)
	return nil
}

// ring rings a bell, unless it rings already.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Close commits what was appended, if the disk takes it at the first attempt, and closes the files. What is not committed was
// never told to be. It waits for whoever frees segments, and not for readers, who get ErrClosed.
func (l *Log) Close() error { return l.shut() }

func (l *Log) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	<-l.done

	l.freeing.Lock()
	defer l.freeing.Unlock()
	l.freeSpent()
	l.mu.Lock()
	active := l.active
	l.mu.Unlock()
	var errs []error
	if active != nil {
		if err := l.seal(active); err != nil {
			errs = append(errs, fmt.Errorf("seal %s: %w", active.name, err))
		}
		errs = append(errs, l.syncFile(active))
	}
	return errors.Join(append(errs, l.closeFiles(), l.lock.Close())...)
}

func (l *Log) closeFiles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	for _, s := range l.idle {
		errs = append(errs, s.file.Close())
	}
	if l.kept != nil {
		errs = append(errs, l.kept.file.Close())
	}
	return errors.Join(errs...)
}
