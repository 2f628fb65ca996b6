package sluice

import "time"

// A step is what the sender does next.
type step int

const (
	stepWait step = iota
	stepSend
	stepHalfClose
	stepAdvance
)

// send sends what there is to send, until the call has ended, its gateway drains, or the stream is closing and all is
// sent. It alone sends on the call, and it alone waits for HTTP/2's flow control.
func (c *call) send() {
	defer close(c.sent)
	linger := time.NewTimer(c.s.opts.Linger)
	linger.Stop() // until there is something to linger for
	defer linger.Stop()
	var lingering *block // the open block that the timer runs for
	for {
		f, open, todo := c.next()
		switch todo {
		case stepSend:
			if c.rpc.SendMsg(f) != nil {
				return // the receiver gets to know why
			}
			continue
		case stepHalfClose:
			_ = c.rpc.CloseSend() // always nil
			return
		case stepAdvance:
			close(c.advance)
			return
		case stepWait:
		}
		if open != nil && open != lingering {
			lingering = open
			linger.Reset(c.s.opts.Linger)
		}
		select {
		case <-c.s.wake:
		case <-linger.C:
			c.s.lingered(lingering)
			lingering = nil
		case <-c.ctx.Done():
			return
		}
	}
}

// lingered seals the block that has waited for company long enough, if it is open still.
func (s *Stream) lingered(b *block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b != nil && s.queue.front() == b {
		s.queue.seal()
	}
}

// next decides what the sender does: resend first, then send what is queued as far as the window allows, then a flush on
// its own. While it waits, open is the block that gathers.
func (c *call) next() (f *frame, open *block, todo step) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.leaving:
		return nil, nil, stepHalfClose
	case s.paused:
		return nil, nil, stepWait
	}
	limit := s.maxAppend - appendOverhead
	if s.closing || s.opts.Linger == 0 {
		s.queue.seal()
	}
	b := s.window.take(limit)
	if b != nil {
		s.stats.Resent += uint64(b.count)
	}
	for b == nil && s.mayPop(limit) {
		b = s.pop(limit)
	}
	if b != nil {
		if len(b.data) > limit && b.count == 1 {
			s.replaceTooLarge(b)
		}
		return &frame{first: b.first, records: b.data, flush: c.flushes(b)}, nil, stepSend
	}
	if s.breaks() {
		last, held := s.window.lastTicket()
		if !held {
			return nil, nil, stepAdvance
		}
		s.flushTo = max(s.flushTo, last)
	}
	if c.flushes(nil) {
		return &frame{first: s.window.next, flush: true}, nil, stepSend
	}
	if s.closing && s.unsent() == 0 {
		return nil, nil, stepHalfClose
	}
	if !s.queue.ready() {
		open = s.queue.front()
	}
	return nil, open, stepWait
}

// mayPop tells whether a block is ready, follows on, and the window has room for it. An empty window has room for one.
func (s *Stream) mayPop(limit int) bool {
	if !s.queue.ready() || s.breaks() {
		return false
	}
	return s.window.records == 0 || s.window.bytes+min(limit, len(s.queue.front().data)) <= s.windowLimit()
}

// pop moves the next block from the queue to the window, after a report of what was dropped before it.
func (s *Stream) pop(limit int) *block {
	if s.spill != nil {
		return s.popSpilled(limit)
	}
	if s.opts.WhenFull == DropOldest {
		s.reportDrops(false)
	}
	b := s.window.push(s.queue.pop(limit))
	s.stats.Sent += uint64(b.count)
	s.reportDrops(false)
	s.room.ring()
	return b
}

// popSpilled is pop for a stream with a spill. It gives what is to be sent of the block: not what the gateway knows, which it
// may have acked; nil: nothing.
func (s *Stream) popSpilled(limit int) *block {
	b := s.window.push(s.queue.pop(limit))
	if b != nil {
		s.stats.Sent += uint64(b.count)
	}
	s.ack(s.window.told)
	if s.spill.unread > 0 {
		poke(s.spill.wake)
	}
	return b
}

// flushes tells whether the append of b, nil for an empty one, is to carry a flush: it completes what Flush was called for,
// and this gateway was not asked yet.
func (c *call) flushes(b *block) bool {
	s := c.s
	if s.flushTo <= c.flushed || s.heldTicket() > s.flushTo {
		return false
	}
	if b != nil && b.lastTicket() < s.flushTo {
		return false
	}
	if t, ok := s.unsentTicket(); b == nil && ok && t <= s.flushTo {
		return false // its own append will carry it
	}
	c.flushed = s.flushTo
	return true
}
