package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicelog/sluice/engine"
)

// A cursor is one output's way through the log.
type cursor struct {
	buffer   *Buffer
	name     string
	optional bool
	share    *engine.Meter // nil: not measured
	wake     chan struct{}

	// Guarded by the buffer's lock:
	needs   list           // in order of append; what is met is unlinked
	unread  *need          // the first of needs that Next has not given out; it and what is behind it have no Pos
	given   places         // those that Next has given out
	last    engine.Pos     // given out
	backlog engine.Backlog // but for Oldest
}

func newCursor(b *Buffer, o engine.BufferOutput) *cursor {
	return &cursor{buffer: b, name: o.Name, optional: o.Optional, share: o.Share, wake: make(chan struct{}, 1)}
}

// Next implements [engine.Cursor].
func (c *cursor) Next() (engine.Part, *engine.Chunk, bool) {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	n := c.unread
	if n == nil {
		return engine.Part{}, nil, false
	}
	c.unread = n.next
	c.last++
	n.pos = c.last
	c.given.put(n)
	n.node.chunk.Retain()
	return engine.Part{Pos: n.pos, Records: engine.SelectRange(0, n.left)}, n.node.chunk, true
}

// Wake implements [engine.Cursor]. It is signalled by every append that goes to this output, after Next can see it: a reader
// that takes the signal and then asks Next misses nothing.
func (c *cursor) Wake() <-chan struct{} { return c.wake }

func (c *cursor) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Load implements [engine.Cursor]. Memory has nothing to read back, so ctx is not looked at.
func (c *cursor) Load(_ context.Context, p engine.Pos) (*engine.Chunk, error) {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	if c.buffer.closed {
		return nil, errClosed
	}
	n := c.given.get(p)
	if n == nil {
		return nil, fmt.Errorf("output %s: load: no chunk at position %d", c.name, p)
	}
	n.node.chunk.Retain()
	return n.node.chunk, nil
}

// Done implements [engine.Cursor]. A part with an unknown position, or with more records than are left at it, is not taken;
// the others are. The errors of all those that were not are joined.
func (c *cursor) Done(parts []engine.Part) error {
	var s settled
	var errs []error
	c.buffer.mu.Lock()
	if c.buffer.closed {
		c.buffer.mu.Unlock()
		return errClosed
	}
	for i := range parts {
		if err := c.done(&parts[i], &s); err != nil {
			errs = append(errs, err)
		}
	}
	c.buffer.mu.Unlock()
	s.tell()
	return errors.Join(errs...)
}

func (c *cursor) done(p *engine.Part, s *settled) error {
	n, records := c.given.get(p.Pos), p.Records.Len()
	if n == nil {
		return fmt.Errorf("output %s: done: no chunk at position %d", c.name, p.Pos)
	}
	if records > n.left {
		return fmt.Errorf("output %s: done: %d records at position %d, where %d are left", c.name, records, p.Pos, n.left)
	}
	n.left -= records
	c.backlog.Records -= int64(records)
	if n.left == 0 {
		c.given.drop(n)
		c.needs.unlink(n)
		c.uncharge(n.node)
		n.node.met(c.optional, s)
	}
	return nil
}

// Backlog implements [engine.Cursor], in O(1). The oldest chunk is the first that was appended.
func (c *cursor) Backlog() engine.Backlog {
	c.buffer.mu.Lock()
	defer c.buffer.mu.Unlock()
	b := c.backlog
	if n := c.needs.first; n != nil {
		b.Oldest = n.node.chunk.Arrived
	}
	return b
}

// push adds a need behind all others. The buffer's lock is held.
func (c *cursor) push(n *need) {
	c.needs.push(n)
	if c.unread == nil {
		c.unread = n
	}
	c.backlog.Chunks++
	c.backlog.Records += int64(n.left)
	c.backlog.Bytes += n.node.charge
	if c.share != nil {
		c.share.Add(n.node.charge)
	}
}

func (c *cursor) uncharge(n *node) {
	c.backlog.Chunks--
	c.backlog.Bytes -= n.charge
	if c.share != nil {
		c.share.Add(-n.charge)
	}
}

// clear forgets all needs without meeting them. The buffer's lock is held.
func (c *cursor) clear(s *settled) {
	for n := c.needs.first; n != nil; n = n.next {
		c.uncharge(n.node)
		n.node.unneed(s)
	}
	c.needs, c.unread, c.given, c.backlog = list{}, nil, places{}, engine.Backlog{}
}
