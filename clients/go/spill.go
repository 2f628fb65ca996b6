package sluice

import (
	"errors"
	"io"
	"sync"
)

// DefaultSpillBytes is how much a spill holds at most, unless [SpillOptions] say otherwise.
const DefaultSpillBytes = 256 << 20

const (
	minSpillBytes = 64 << 10
	// spillSegments is how many segments a full spill has, at least: space is freed, and the oldest dropped, by the segment.
	spillSegments   = 16
	maxSegmentBytes = 16 << 20
)

// A SyncPolicy says when a spill is synced to the disk. It matters where the machine stops: a process that is killed loses
// nothing in either case, for what it wrote is the kernel's.
type SyncPolicy int

const (
	// SyncNever leaves it to the kernel, which as a rule writes within 30 s. If the machine stops, what it had not written
	// is lost, where Add returned nil too; what is left is sent.
	SyncNever SyncPolicy = iota
	// SyncAlways syncs before Add returns, once for all records that are added at that time. It costs as much as the disk
	// takes for an fsync: from some 20 us to 10 ms.
	SyncAlways
)

// SpillOptions give a stream files in which its records are until they are acked, for a producer that must neither wait nor
// lose records while the gateway is away, paused or slow.
//
// Each record is written before Add returns, and sent after that. So a producer that is killed and started again with the same
// ID and Path goes on where it was: first it sends what is not acked, in order, with the epoch and the sequences that the
// records had, by which a gateway that has them already knows them; once that is acked, what is new. Close leaves in the
// files what is not acked by then.
type SpillOptions struct {
	// Path is a directory for this stream alone, which is made if it is not there. It is a directory, and not a file, so that
	// space is given back by removing files. A second stream with the same Path is refused: [ErrSpillLocked].
	Path string
	// MaxBytes bounds the files, but for a record that is larger, which is let into an empty spill, and for a moment while
	// a file is removed. When they are full, WhenFull says what happens: [Block] waits until the gateway has acked enough,
	// [DropNewest] drops the record that came, and [DropOldest] drops the oldest file that nothing was sent of, about a
	// 16th of all, and what is unsent before it. 0: [DefaultSpillBytes]. At least 64 KiB.
	MaxBytes int64
	// Sync says when the files are synced. The zero value does not, which is enough unless the machine stops.
	Sync SyncPolicy

	disk disk // nil: the system's
}

// SpillStats are a part of [Stats].
type SpillStats struct {
	Records int    // waiting to be sent, in the files alone: there was no room in the queue
	Bytes   int64  // of the files, of which MaxBytes is the bound
	Resumed uint64 // records found at the start, not acked
	Err     error  // why the files cannot be written, read or removed at the moment; nil: they can
}

func (o *SpillOptions) withDefaults() *SpillOptions {
	filled := *o
	if filled.MaxBytes == 0 {
		filled.MaxBytes = DefaultSpillBytes
	}
	if filled.disk == nil {
		filled.disk = osDisk{}
	}
	return &filled
}

func (o *SpillOptions) check(id string) error {
	var faults []error
	if id == "" {
		faults = append(faults, errors.New("no ID, which Spill needs: a stream is found again by it"))
	}
	if o.Path == "" {
		faults = append(faults, errors.New("Spill.Path is empty"))
	}
	if o.MaxBytes != 0 && o.MaxBytes < minSpillBytes {
		faults = append(faults, errors.New("Spill.MaxBytes is less than 64 KiB"))
	}
	if o.Sync < SyncNever || o.Sync > SyncAlways {
		faults = append(faults, errors.New("Spill.Sync is no policy"))
	}
	return errors.Join(faults...)
}

// A spill is the files of a stream. Its records are of lives, the own one and those before it that were not acked to the end;
// the stream goes through them in order. What is read and written lies in segments. Records get their sequences when they
// are written.
//
// Who adds writes, one at a time and for all who wait; a goroutine of the stream's own, keep, does all else with the files
// while the stream runs.
type spill struct {
	dir          string
	disk         disk
	lock         io.Closer
	sync         bool
	maxBytes     int64
	segmentBytes int64 // a segment that is longer is not appended to
	own          *life
	headSize     int64 // of the own life's segments, at most
	unreadable   int   // segments that were there and had no head, though more than a head
	marks        markFile

	writing sync.Mutex // one writes at a time; guards what follows, and is taken before the stream's mutex
	active  *segment   // what is appended to; nil: a new one is begun
	file    diskFile   // of active
	number  uint64     // of the newest segment
	next    uint64     // the sequence of the next record
	shift   uint64     // of the own life's segments
	strays  []*segment // without a record, and not removed, for the disk failed

	wake chan struct{} // capacity 1: keep has something to look at
	kept chan struct{} // closed when keep has returned

	// Guarded by the stream's mutex, which is taken after the spill's own two: writing, marks.mu.
	gathering           *commit // nil: the next record begins one
	spare               *commit // whose memory is used again
	pending             int     // records of commits that are not written
	pendingBytes        int
	segments            []*segment // oldest first; the newest stays until there is a newer one
	life                *life      // that the stream is in
	pos                 place      // behind which records are in the files alone
	unread, unreadBytes int        // of these
	bytes               int64      // that all segments are charged
	doomed              []*segment // taken off the list, and not removed yet
	standIn             *block     // the report at the front of the queue of what was dropped there; told
	told                Drop
	resumed             uint64
	writeErr, keepErr   error // of the last time
}

// A place is where to read on.
type place struct {
	seg  *segment
	off  int64
	next uint64 // the sequence that is expected there
}

// ticket is that of the record at the place.
func (p place) ticket() uint64 { return p.next + p.seg.shift }

// newest is the segment that may be appended to, nil if there is none.
func (sp *spill) newest() *segment {
	if len(sp.segments) == 0 {
		return nil
	}
	return sp.segments[len(sp.segments)-1]
}

// fits tells whether there is room for a record of so many bytes.
func (sp *spill) fits(size int) bool {
	return sp.bytes+int64(sp.pendingBytes)+int64(runHead+size)+sp.headSize <= sp.maxBytes
}

// stats gives what users see.
func (sp *spill) stats() SpillStats {
	return SpillStats{
		Records: sp.unread, Bytes: sp.bytes, Resumed: sp.resumed, Err: errors.Join(sp.writeErr, sp.keepErr),
	}
}
