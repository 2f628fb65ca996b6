// Package disk is a buffer that survives crashes: a log in segment files (package seglog), written once, and read by every
// output through a cursor of its own. FORMAT.md says how it lies on the disk.
//
// What is appended is safe once its commit is synced. Its chunk stays in memory while there is room for it, as the outputs are
// likely to want it soon; what was put out is read back.
package disk

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var (
	_ engine.Buffer  = (*Buffer)(nil)
	_ engine.Storer  = (*Buffer)(nil)
	_ engine.Resumer = (*Buffer)(nil)
	_ engine.Failer  = (*Buffer)(nil)
	_ engine.Syncer  = (*Buffer)(nil)
	_ engine.Cursor  = (*cursor)(nil)
	_ engine.Giver   = (*cursor)(nil)
	_ engine.Pinner  = (*cursor)(nil)
)

var errClosed = fmt.Errorf("disk buffer: %w", engine.ErrClosed)

// A Buffer is a log on a disk. Make it with Open. Its methods may be called concurrently.
type Buffer struct {
	Options
	log      *seglog.Log
	known    engine.OutputSet // the outputs that are configured
	optional engine.OutputSet
	slabs    engine.SlabPool // of what is read back
	names    names
	roster   *roster
	cursors  []*cursor // those that are configured, by index, and behind them those that are not
	found    *Summary

	stored     atomic.Int64 // bytes of segments
	absentRoom atomic.Int64 // of those, what is kept for outputs alone that are not configured

	spent chan struct{} // of capacity 1, signalled when nobody needs a segment any more
	quit  chan struct{}
	done  chan struct{} // closed when the checkpointer has ended

	news   chan struct{} // of capacity 1, signalled when there is something to log
	silent chan struct{} // closed when nobody logs that any more

	saving   sync.Mutex // held while a checkpoint is written; taken before mu
	reserved bool       // there is space for one in the reserve; guarded by saving

	mu       sync.Mutex // guards what follows, the cursors' fields that say so, and all that is live or given
	closed   bool
	recent   recent
	end      seglog.Place            // behind all that is committed
	opened   seglog.Place            // what it was as the buffer was opened
	holdings map[uint64]*holding     // by segment
	progress bool                    // something was done since it was opened
	dirty    bool                    // since the last checkpoint
	number   uint64                  // of the last checkpoint
	failing  map[work]engine.Failure // what does not go now
	unread   int                     // what could not be read the last time, and was not given up
	losses   map[lossPlace]*loss     // that are not told
	notices  []notice                // that are not logged
	unsaid   int                     // lines that there was no room for among them
}

// Append implements [engine.Buffer]. Besides ErrClosed its errors are faults of the caller's: a chunk without records, one that is
// larger than a segment, or one for an output that there is not.
func (b *Buffer) Append(cs []*engine.Chunk, safe func()) (already bool, err error) {
	entries, err := b.entries(cs, safe)
	if err != nil {
		releaseAll(cs)
		return false, err
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		releaseAll(cs)
		return false, errClosed
	}
	if err := b.log.Append(entries...); err != nil {
		b.mu.Unlock()
		releaseAll(cs)
		return false, fmt.Errorf("disk buffer: append: %w", err)
	}
	already = true
	for _, e := range entries {
		l := e.Owner.(*live) //nolint:forcetypeassert // it is ours
		b.recent.queue = append(b.recent.queue, l)
		for o := range l.needs.All() {
			b.cursors[o].charge(e.Label)
		}
		already = already && l.safe == nil
	}
	b.mu.Unlock()
	for _, c := range cs {
		if c.Outputs == 0 {
			c.Release()
		}
	}
	return already, nil
}

// entries makes what goes into the log, outside the lock.
func (b *Buffer) entries(cs []*engine.Chunk, safe func()) ([]*seglog.Entry, error) {
	p := &promise{safe: safe}
	entries := make([]*seglog.Entry, 0, len(cs))
	for _, c := range cs {
		if unknown := c.Outputs &^ b.known; unknown != 0 {
			return nil, fmt.Errorf("disk buffer: append: sequence %d goes to outputs %#b of %d", c.First, unknown, b.known.Len())
		}
		if c.Outputs == 0 {
			continue
		}
		if c.Count <= 0 {
			return nil, fmt.Errorf("disk buffer: append: chunk at sequence %d has no records", c.First)
		}
		l := &live{chunk: c, stream: c.Stream, needs: c.Outputs, label: b.label(c)}
		if c.Outputs&^b.optional != 0 {
			l.safe = p
			p.open++
		}
		b.names.know(c.Stream)
		e := &seglog.Entry{Label: l.label, Head: appendHead(nil, c), Body: c.Data, Owner: l}
		e.Sum()
		entries = append(entries, e)
	}
	return entries, nil
}

func (b *Buffer) label(c *engine.Chunk) seglog.Label {
	var readers uint64
	for o := range c.Outputs.All() {
		readers |= 1 << b.cursors[o].id
	}
	return seglog.Label{Readers: readers, Records: uint32(c.Count), Bytes: uint32(c.Charge()), Time: c.Arrived.UnixNano()}
}

// committed is told by the log, in order.
func (b *Buffer) committed(entries []*seglog.Entry) {
	var told []*promise
	var wake engine.OutputSet
	b.mu.Lock()
	for _, e := range entries {
		l := e.Owner.(*live) //nolint:forcetypeassert // it is ours
		l.place, l.after, l.written = e.Place, e.After, true
		b.recent.committed(l)
		b.roster.commit(l.chunk, nameOf(l.stream), l.label, l.place.LSN, l.needs)
		if l.place.Segment != b.end.Segment {
			b.pin(l.place.Segment)
			if before := b.holdings[b.end.Segment]; before != nil && before.empty() { // all of it was done as it came
				b.spend()
			}
		}
		b.end = l.after
		h := b.holding(l.place.Segment)
		for o := range l.needs.All() {
			h.unread[o].Add(l.label)
		}
		wake |= l.needs
		if p := l.safe; p != nil {
			if p.open--; p.open == 0 {
				told = append(told, p)
			}
		}
	}
	b.dirty = true
	chunks := b.recent.trim(nil)
	b.mu.Unlock()
	b.stored.Store(b.log.Stored())
	releaseAll(chunks)
	for o := range wake.All() {
		b.cursors[o].signal()
	}
	for _, p := range told {
		p.safe()
	}
}

// charge books what an output needs from now on.
func (c *cursor) charge(l seglog.Label) {
	c.backlog.Chunks++
	c.backlog.Records += int64(l.Records)
	c.backlog.Bytes += int64(l.Bytes)
	if c.Share != nil {
		c.Share.Add(int64(l.Bytes))
	}
}

// holding gives a segment's. The lock is held.
func (b *Buffer) holding(segment uint64) *holding {
	h := b.holdings[segment]
	if h == nil {
		h = &holding{
			size:   b.SegmentSize,
			unread: make([]seglog.Total, len(b.cursors)), given: make([]int64, len(b.cursors)), pins: make([]int64, len(b.cursors)),
		}
		b.holdings[segment] = h
	}
	return h
}

// memory gives the chunk of an entry, retained, where it is in memory. The lock is held.
func (b *Buffer) memory(lsn seglog.LSN) *engine.Chunk {
	l := b.recent.get(lsn)
	if l == nil || l.chunk == nil {
		return nil
	}
	l.chunk.Retain()
	return l.chunk
}

// readBack reads a chunk from the disk.
func (b *Buffer) readBack(at seglog.Place, label seglog.Label) (*engine.Chunk, error) {
	var slab *engine.Slab
	entry, err := b.log.Read(at, func(n int) []byte {
		slab = b.slabs.Get(n)
		slab.B = slab.B[:n]
		return slab.B
	})
	if err != nil {
		b.slabs.Put(slab)
		return nil, err
	}
	c, name, err := parseChunk(entry)
	if err != nil {
		b.slabs.Put(slab)
		return nil, fmt.Errorf("segment %d at offset %d: %w", at.Segment, at.Offset, err)
	}
	for _, cur := range b.cursors[:b.known.Len()] {
		if label.Readers&(1<<cur.id) != 0 {
			c.Outputs = c.Outputs.With(cur.index)
		}
	}
	c.Stream = b.names.stream(name)
	c.Own(slab, func(*engine.Chunk) { b.slabs.Put(slab) })
	return c, nil
}

// headRoom is more than the flags, the time and the names of a stream take at the beginning of most entries.
const headRoom = 512

// streamOf reads whose an entry is.
func (b *Buffer) streamOf(at seglog.Place) (streamName, error) {
	for n := headRoom; ; n *= 16 {
		entry, err := b.log.Peek(at, n)
		if err != nil {
			return streamName{}, err
		}
		name, ok := parseStream(entry)
		if ok {
			return name, nil
		} else if len(entry) < n {
			return streamName{}, errNoChunk
		}
	}
}

// Cursor implements [engine.Buffer].
func (b *Buffer) Cursor(output string) (engine.Cursor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.cursors, func(c *cursor) bool { return c.Name == output && b.known.Has(c.index) })
	if i < 0 {
		return nil, fmt.Errorf("disk buffer: no output %q", output)
	}
	return b.cursors[i], nil
}

// Storage implements [engine.Storer]: what segments hold, and how much they may before the last one is begun. That one is for what
// is under way when all producers are paused. What is kept for outputs that are not configured is not room at all: it is not free
// again while they are not.
func (b *Buffer) Storage() (used, limit int64) {
	if b.Room == 0 {
		return 0, 0
	}
	absent := b.absentRoom.Load()
	return max(b.stored.Load()-absent, 0), max(b.Room-b.SegmentSize-absent, b.SegmentSize)
}

// Stored implements [engine.Storer].
func (b *Buffer) Stored(tenant, stream string) (ofStream, ofTenant int64) {
	return b.roster.stored(tenant, stream)
}

// Resumable implements [engine.Resumer].
func (b *Buffer) Resumable() []engine.Resumption { return b.roster.resumable() }

// know notes which stream a chunk that is given out belongs to, as it was read.
func (b *Buffer) know(g *given, s *engine.Stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g.stream = s
	b.attempt(&g.unread, nil)
}

// Durable implements [engine.Buffer]: yes.
func (b *Buffer) Durable() bool { return true }

// Synced implements [engine.Syncer].
func (b *Buffer) Synced() bool { return b.Sync == seglog.SyncAlways }

// Close implements [engine.Buffer]. It commits what was appended, where the disk takes it at once, and writes a last checkpoint.
func (b *Buffer) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	close(b.quit)
	<-b.done
	<-b.silent
	err := errors.Join(b.save(), b.log.Close())
	b.sayLosses()
	b.tell()
	b.mu.Lock()
	chunks := b.recent.clear()
	for _, c := range b.cursors {
		c.settle(seglog.Total{Entries: int64(c.backlog.Chunks), Records: c.backlog.Records, Bytes: c.backlog.Bytes})
	}
	b.mu.Unlock()
	releaseAll(chunks)
	return err
}

func releaseAll(cs []*engine.Chunk) {
	for _, c := range cs {
		c.Release()
	}
}
