package disk

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A cursor is one output's way through the log. One that is not configured any more has no reader, and keeps what it needs.
type cursor struct {
	buffer *Buffer
	id     int // its bit in the log
	index  int // in OutputSet, and in the buffer's list; behind those of OutputSet where it is not configured
	engine.BufferOutput
	wake chan struct{}

	// Guarded by the buffer's lock:
	read    seglog.Place          // all before it was given out, or is not for this output
	since   seglog.LSN            // what is older does not say in its frame that it is for this output: its tag does
	given   map[seglog.LSN]*given // out, and not done
	order   list.List             // of *given, in order
	behind  uint64                // what was to be read of the segments before this one is read, or lost
	unread  unread                // what comes next could not be looked for
	again   []*given              // what a process before this one had given out, and was not done: it is given out once more
	backlog engine.Backlog        // but for Oldest
	out     int64                 // bytes of what is given
	pinned  atomic.Int64          // bytes of segments that are kept for it
	lost    int64                 // records that could not be read any more
	adrift  bool                  // the streams' accounts are not told of some that were lost
}

func newCursor(b *Buffer, index int, o engine.BufferOutput) *cursor {
	if o.Takes == nil { // its routes are not known
		o.Takes = func(string) bool { return true }
	}
	return &cursor{buffer: b, index: index, BufferOutput: o, wake: make(chan struct{}, 1), given: map[seglog.LSN]*given{}}
}

// Next implements [engine.Cursor]. What is not in memory is read from the disk.
func (c *cursor) Next() (engine.Part, *engine.Chunk, bool) {
	for {
		g, chunk := c.advance()
		if g == nil {
			return engine.Part{}, nil, false
		}
		if chunk == nil {
			var err error
			if chunk, err = c.buffer.readBack(g.place, g.label); err != nil && !c.lose(g, err) {
				return engine.Part{}, nil, false
			} else if err != nil {
				continue
			}
			c.buffer.know(g, chunk.Stream)
		} else if g.stream == nil {
			c.buffer.know(g, chunk.Stream)
		}
		return engine.Part{Pos: engine.Pos(g.place.LSN), Records: g.done.rest(int(g.label.Records))}, chunk, true
	}
}

// advance gives the next entry, with its chunk, retained, where that is in memory.
func (c *cursor) advance() (*given, *engine.Chunk) {
	b := c.buffer
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, nil
	case len(c.again) > 0:
		g := c.again[0]
		c.again = c.again[1:]
		return g, b.memory(g.place.LSN)
	}
	for {
		if c.read.LSN < b.recent.first {
			if g := c.search(); g != nil {
				return g, b.memory(g.place.LSN)
			}
			if c.read.LSN < b.recent.first {
				return nil, nil
			}
		}
		l := b.recent.get(c.read.LSN)
		if l == nil || !l.written {
			return nil, nil
		}
		c.pass(l.after)
		if l.needs.Has(c.index) {
			g := c.give(l.place, l.label)
			g.stream = l.stream
			return g, b.memory(l.place.LSN)
		}
	}
}

// search looks in the log for what is not in memory any more. The buffer's lock is held, but for while it reads.
func (c *cursor) search() *given {
	b := c.buffer
	from := c.read
	b.mu.Unlock()
	step, ok, err := c.find(from)
	b.mu.Lock()
	if b.closed {
		return nil
	}
	if b.attempt(&c.unread, err); err != nil {
		return nil
	}
	var g *given
	if ok {
		g = c.give(step.Place, step.Label)
	}
	c.pass(step.After)
	return g
}

// find gives the first entry from a place on that is for this output, like the log's Next.
func (c *cursor) find(from seglog.Place) (step seglog.Step, ok bool, err error) {
	b := c.buffer
	for from.LSN < c.since {
		step, ok, err = b.log.Next(from, ^uint64(0), b.damaged)
		if err != nil {
			return step, false, err
		}
		if !ok || step.LSN >= c.since {
			break // what is younger is looked for by its bit
		}
		name, bad := b.streamOf(step.Place)
		if errors.Is(bad, seglog.ErrGone) { // the output that it was for is done with it
			from = step.After
			continue
		}
		if bad != nil && !isLost(bad) {
			step.After = step.Place
			return step, false, bad
		}
		if bad != nil || c.Takes(name.tag) { // what cannot be read is told by whoever loads it
			return step, true, nil //nolint:nilerr // it is
		}
		from = step.After
	}
	return b.log.Next(from, 1<<c.id, b.damaged)
}

// pass moves on in the log. What was to be read of the segments behind is lost.
func (c *cursor) pass(to seglog.Place) {
	b := c.buffer
	c.read = to
	behind := to.Segment
	if to.LSN >= b.opened.LSN { // nothing was added to the segments that were there then
		behind = max(behind, b.opened.Segment+1)
	}
	if behind <= c.behind {
		return
	}
	for number, h := range b.holdings {
		if number < behind {
			c.forgive(number, h)
		}
	}
	c.behind = behind
}

// forgive takes off the books what of a segment could not be read.
func (c *cursor) forgive(number uint64, h *holding) {
	t := h.unread[c.index]
	if t == (seglog.Total{}) {
		return
	}
	if t.Records > 0 { // else it was not read whether there was something for this output
		c.loses(number, 0, t.Entries, t.Records, "they were passed over")
	}
	h.unread[c.index] = seglog.Total{}
	c.lost += t.Records
	c.adrift, c.buffer.dirty = true, true
	c.unpin(h)
	c.settle(t)
}

// settle takes off the backlog what is done, or lost.
func (c *cursor) settle(t seglog.Total) {
	c.backlog.Chunks -= int(t.Entries)
	c.backlog.Records -= t.Records
	c.backlog.Bytes -= t.Bytes
	if c.Share != nil {
		c.Share.Add(-t.Bytes)
	}
	if c.adrift && c.backlog.Chunks == 0 {
		c.adrift = false
		c.buffer.roster.clear(c.index)
	}
}

// give notes that an entry is given out.
func (c *cursor) give(at seglog.Place, label seglog.Label) *given {
	g := &given{place: at, left: int(label.Records), label: label}
	h := c.buffer.holding(at.Segment)
	c.expect(h, h.short(c.index, label))
	h.give(c.index, label)
	c.put(g)
	return g
}

// expect books what the cursor has to read of a segment, besides what it is known to have.
func (c *cursor) expect(h *holding, t seglog.Total) {
	u := &h.unread[c.index]
	*u = seglog.Total{Entries: u.Entries + t.Entries, Records: u.Records + t.Records, Bytes: u.Bytes + t.Bytes}
	if t != (seglog.Total{}) {
		c.settle(seglog.Total{Entries: -t.Entries, Records: -t.Records, Bytes: -t.Bytes})
	}
}

func (c *cursor) put(g *given) {
	c.given[g.place.LSN] = g
	c.out += int64(g.label.Bytes)
	g.element = c.order.PushBack(g)
}

// lose gives up what is damaged, and reports whether it was that. What may be read later is given out by the next call.
func (c *cursor) lose(g *given, err error) bool {
	b := c.buffer
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if !isLost(err) {
		b.attempt(&g.unread, err)
		c.again = append([]*given{g}, c.again...)
		return false
	}
	c.loses(g.place.Segment, g.place.Offset, 1, int64(g.left), err.Error())
	c.lost += int64(g.left)
	c.backlog.Records -= int64(g.left)
	c.finish(g, nil)
	b.dirty = true
	return true
}

// Given implements [engine.Giver].
func (c *cursor) Given() int64 {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	return c.out
}

// Lost implements [engine.Loser].
func (c *cursor) Lost() int64 {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	return c.lost
}

// Wake implements [engine.Cursor].
func (c *cursor) Wake() <-chan struct{} { return c.wake }

func (c *cursor) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Load implements [engine.Cursor].
func (c *cursor) Load(_ context.Context, p engine.Pos) (*engine.Chunk, error) {
	b := c.buffer
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errClosed
	}
	g := c.given[seglog.LSN(p)]
	if g == nil {
		b.mu.Unlock()
		return nil, fmt.Errorf("output %s: load: no chunk at position %d", c.Name, p)
	}
	place, label, chunk := g.place, g.label, b.memory(g.place.LSN)
	b.mu.Unlock()
	if chunk != nil {
		return chunk, nil
	}
	chunk, err := b.readBack(place, label)
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := err != nil && isLost(err)
	if !b.closed && c.given[place.LSN] == g {
		if lost {
			b.attempt(&g.unread, nil)
		} else {
			b.attempt(&g.unread, err)
		}
	}
	switch {
	case err == nil:
		return chunk, nil
	case b.closed:
		return nil, errClosed
	case lost:
		return nil, fmt.Errorf("output %s: load: %w: %w", c.Name, engine.ErrLost, err)
	}
	return nil, fmt.Errorf("output %s: load: %w", c.Name, err)
}

// Done implements [engine.Cursor]. A part with an unknown position, with a record that is not there, or with more records than are left
// at it, is not taken; the others are. A record that is told once more counts once.
func (c *cursor) Done(parts []engine.Part) error {
	b := c.buffer
	var errs []error
	var chunks []*engine.Chunk
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return errClosed
	}
	for i := range parts {
		var err error
		if chunks, err = c.done(&parts[i], chunks); err != nil {
			errs = append(errs, err)
		}
	}
	b.dirty = true
	if !b.progress { // the first checkpoint comes soon: or a process that dies young again and again never gets on
		b.progress = true
		b.spend()
	}
	chunks = b.recent.trim(chunks)
	b.mu.Unlock()
	releaseAll(chunks)
	return errors.Join(errs...)
}

func (c *cursor) done(p *engine.Part, chunks []*engine.Chunk) ([]*engine.Chunk, error) {
	g, records := c.given[seglog.LSN(p.Pos)], p.Records.Len()
	if g == nil {
		return chunks, fmt.Errorf("output %s: done: no chunk at position %d", c.Name, p.Pos)
	}
	if records > g.left {
		return chunks, fmt.Errorf("output %s: done: %d records at position %d, where %d are left", c.Name, records, p.Pos, g.left)
	}
	of := int(g.label.Records)
	if records > 0 && p.Records.At(records-1) >= of {
		return chunks, fmt.Errorf("output %s: done: record %d at position %d, which has %d", c.Name, p.Records.At(records-1), p.Pos, of)
	}
	if records < of { // else it is all of them
		g.done, records = g.done.with(p.Records, of)
	}
	c.backlog.Records -= int64(records)
	if g.left -= records; g.left > 0 {
		return chunks, nil
	}
	return c.finish(g, chunks), nil
}

// finish ends an entry for this output. It appends its chunk where no other one needs it, for the caller to release.
func (c *cursor) finish(g *given, chunks []*engine.Chunk) []*engine.Chunk {
	b := c.buffer
	b.attempt(&g.unread, nil)
	delete(c.given, g.place.LSN)
	c.out -= int64(g.label.Bytes)
	c.order.Remove(g.element)
	if g.stream != nil {
		b.roster.done(nameOf(g.stream), c.index, int64(g.label.Bytes))
	} else {
		c.adrift = true
	}
	c.settle(seglog.Total{Entries: 1, Bytes: int64(g.label.Bytes)})
	h := b.holding(g.place.Segment)
	h.given[c.index]--
	c.unpin(h)
	if h.empty() && g.place.Segment != b.end.Segment {
		b.spend()
	}
	if l := b.recent.get(g.place.LSN); l != nil {
		if l.needs &^= engine.OutputSet(0).With(c.index); l.needs == 0 {
			if chunk := b.recent.unload(l); chunk != nil {
				chunks = append(chunks, chunk)
			}
		}
	}
	return chunks
}

// Backlog implements [engine.Cursor].
func (c *cursor) Backlog() engine.Backlog {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	backlog := c.backlog
	backlog.Oldest = c.oldest()
	return backlog
}

// oldest is when the first arrived of what is not done, as far as that is known without a look at the disk.
func (c *cursor) oldest() time.Time {
	if first := c.order.Front(); first != nil {
		return time.Unix(0, first.Value.(*given).label.Time) //nolint:forcetypeassert // it holds nothing else
	}
	b := c.buffer
	for lsn := max(c.read.LSN, b.recent.first); lsn < b.recent.next(); lsn++ {
		if l := b.recent.get(lsn); l.needs.Has(c.index) {
			return time.Unix(0, l.label.Time)
		}
	}
	return time.Time{}
}
