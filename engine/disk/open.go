package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Options say where a buffer is and how it is kept. A zero field means its default, given beside it.
type Options struct {
	Dir         string    // it is made where it is not there; one process at a time may have it
	FS          seglog.FS // the system's
	Room        int64     // of all segments together, in bytes: no bound but the disk's
	SegmentSize int64     // in bytes: 64 MiB, at most an eighth of Room
	Sync        seglog.SyncPolicy
	Interval    time.Duration // between syncs, with seglog.SyncInterval: 1 s
	Checkpoint  time.Duration // between writings of where the outputs are: 1 s
	Memory      int64         // of chunks that are safe and stay in memory, in bytes: 32 MiB
	StreamTTL   time.Duration // how long a stream is remembered that nothing comes of: 24 h
	Streams     int           // how many of those are remembered, at most: engine.DefaultStreams
	Log         *slog.Logger  // slog.DiscardHandler
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = seglog.OS()
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.Room > 0 {
		o.SegmentSize = min(o.SegmentSize, o.Room/8)
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = time.Second
	}
	if o.Memory == 0 {
		o.Memory = 32 << 20
	}
	if o.StreamTTL == 0 {
		o.StreamTTL = 24 * time.Hour
	}
	if o.Streams == 0 {
		o.Streams = engine.DefaultStreams
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// maxRecycle is how many files are kept for use again at most. Files are freed by the checkpoint, many at a time where much comes
// and goes, and are to be there until as much has come again.
const maxRecycle = 16

// recycle is how many: no more than an eighth of the room.
func (o Options) recycle() int {
	if o.Room == 0 {
		return maxRecycle
	}
	return int(min(max(o.Room/o.SegmentSize/8, 2), maxRecycle))
}

// Probe says why a buffer cannot be opened, and changes nothing: seglog.ErrLocked, or that something is of a version that it does not
// know. What else Open may find out it does not.
func Probe(o Options) error {
	o = o.withDefaults()
	found, err := seglog.Inspect(o.FS, o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("disk buffer: %w", err)
	}
	if err := errors.Join(o.probe(), found.Close()); err != nil {
		return fmt.Errorf("disk buffer: %w", err)
	}
	return nil
}

// probe looks at the checkpoint's version: before anything is changed.
func (o Options) probe() error {
	_, err := (&Buffer{Options: o}).readCheckpoint()
	return err
}

// Open opens a buffer for the outputs, whose order is that of OutputSet, or makes it: at most engine.MaxOutputs, of distinct names,
// with those that it knows from before. It goes on where the process before it was at its last checkpoint. An output that is new
// begins with what comes from now on.
func Open(o Options, outputs []engine.BufferOutput) (*Buffer, error) {
	if err := o.withDefaults().probe(); err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	b := &Buffer{
		Options: o.withDefaults(), holdings: map[uint64]*holding{}, failing: map[work]engine.Failure{}, losses: map[lossPlace]*loss{},
		spent: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		news: make(chan struct{}, 1), silent: make(chan struct{}),
	}
	log, recovery, err := seglog.Open(seglog.Options{
		FS: b.FS, Dir: b.Dir, SegmentSize: b.SegmentSize, Storage: b.Room, Recycle: b.recycle(), Sync: b.Sync, Interval: b.Interval, Log: b.Log,
		Committed: b.committed, Failing: func(err error) { b.report(committing, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	b.log = log
	for _, d := range recovery.Cut {
		b.Log.Warn("a commit that was under way is cut", "at", d)
	}
	for _, d := range recovery.Damage {
		b.damaged(d)
	}
	for _, d := range recovery.Dark {
		b.Log.Error("the disk does not give a part of the buffer; it is tried again for a while", "segment", d.Segment, "offset", d.Offset)
	}
	last, err := b.restore(outputs)
	if err == nil {
		b.found = b.summary(last)
		b.gone(last, recovery.Missing)
		b.absent()
		b.stored.Store(log.Stored())
		b.dirty = true // what was read may be in the system's memory alone
		err = b.save()
	}
	b.sayLosses()
	b.tell()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk buffer: %w", err), log.Close())
	}
	go b.keep()
	go b.speak()
	return b, nil
}

// gone tells of segments that are not there any more, though somebody needs them: those that the last checkpoint names, and gaps
// behind it. Other segments were freed, in any order.
func (b *Buffer) gone(last *checkpoint, gaps []seglog.Damage) {
	there, empty := map[uint64]bool{}, map[uint64]bool{}
	for _, s := range b.log.Segments() {
		there[s.Number], empty[s.Number] = true, s.First == s.Next
	}
	for _, number := range last.Needed {
		if !there[number] {
			b.Log.Error("a segment that outputs still needed is gone", "segment", number)
		}
	}
	for _, d := range gaps {
		if last.Number > 0 && d.From >= last.End.LSN || empty[d.Segment] && slices.Contains(last.Needed, d.Segment) {
			b.damaged(d)
		}
	}
}

// absent tells of outputs that are not configured any more and still need records: they keep their segments.
func (b *Buffer) absent() {
	for _, c := range b.cursors[b.known.Len():] {
		if c.backlog.Chunks == 0 {
			continue
		}
		b.Log.Warn("an output that is not configured still needs records; sluice buffer forget drops them", "output", c.Name,
			"records", c.backlog.Records, "bytes", c.backlog.Bytes, "dir", b.Dir)
	}
}
