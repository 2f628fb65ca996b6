package engine

import (
	"bytes"
	"container/list"
	"fmt"
	"sync"
	"time"
)

// streamName is what a stream is known by. The unsequenced stream of a tag is named by the tag.
type streamName struct {
	tenant, id string
	byTag      bool
}

// An intake is a stream's way in: it numbers, limits, charges, gathers and acks. Its lock is taken before the buffer's, the
// mailboxes', the gatherer's and the reviewer's, and nobody blocks while holding it.
type intake struct {
	engine *Engine
	name   streamName
	tenant *Meter
	made   bool          // the engine made the id up, for a producer without epochs: nobody can come back to it
	place  *list.Element // in the directory's list of those that may not be connected, whose lock guards it; nil

	mu       sync.Mutex // guards what follows
	stream   *Stream
	outputs  OutputSet
	resource []byte
	epoch    uint64
	naive    bool   // the epoch is the engine's own, and no producer will come back to it
	next     uint64 // the sequence expected next
	acked    uint64
	held     int64  // bytes admitted and not acked
	untold   int64  // bytes acked since the session was last asked for its status
	flushed  uint64 // the sequence that the producer asked to flush up to; 0 once it is acked
	ledger   ledger
	gather   *gathering
	state    State
	reason   Reason
	pausedAt time.Time
	// forFairness: it is paused for others want room in the buffer, too, and not for there is none.
	forFairness bool
	rejected    []Rejection // not yet passed on
	session     *Session    // attached now; nil
	blocked     int         // calls of Append that wait for room
	stopped     bool        // nothing is let in any more
	forgotten   bool        // no longer in the engine's map
}

// begin applies the rules of tags, epochs and sequences to a producer that attaches. The caller holds the lock.
func (in *intake) begin(o Open, outputs OutputSet) *Error {
	known := in.stream != nil
	epoch, first := o.Epoch, max(o.First, 1)
	if epoch == 0 {
		epoch = in.epoch + 1
	}
	switch {
	case !known || epoch > in.epoch:
		in.seal(false)
		in.epoch, in.naive = epoch, o.Epoch == 0
		in.next, in.acked, in.flushed = first, first-1, 0
		in.engine.count.skipped.Add(int64(first - 1))
		in.rejected = nil
	case epoch < in.epoch:
		return &Error{
			Code: CodeFailedPrecondition, Field: "open.epoch", Reason: "EPOCH_TOO_SMALL", Epoch: in.epoch,
			Msg: fmt.Sprintf("%d is older than the current epoch %d of stream %q", epoch, in.epoch, in.name.id),
		}
	case in.stream.Tag != o.Tag:
		return &Error{
			Code: CodeFailedPrecondition, Field: "open.tag", Reason: "TAG_CHANGED",
			Msg: fmt.Sprintf("stream %q has tag %q in this epoch, not %q: a new tag needs a greater epoch", in.name.id, in.stream.Tag, o.Tag),
		}
	default:
		in.skipTo(first)
	}
	in.attach(o, outputs)
	return nil
}

// attach takes the tag and the resource over. What is gathering keeps its own.
func (in *intake) attach(o Open, outputs OutputSet) {
	if in.stream == nil || in.stream.Tag != o.Tag {
		in.seal(false)
		in.stream = &Stream{Tenant: in.name.tenant, ID: in.name.id, Tag: o.Tag, meter: in.tenant}
	}
	if !bytes.Equal(in.resource, o.Resource) {
		in.seal(false)
		in.engine.streams.resources.Add(int64(len(o.Resource) - len(in.resource)))
		in.resource = bytes.Clone(o.Resource)
	}
	in.outputs = outputs
	in.stream.SetUrgent(in.state != StateActive)
}

// skipTo goes on from a sequence that lies ahead: the producer does not hold what is before it any more.
func (in *intake) skipTo(first uint64) {
	if first <= in.next {
		return
	}
	in.seal(false)
	in.engine.count.skipped.Add(int64(first - in.next))
	in.next = first
	in.settle(&pending{in: in, epoch: in.epoch, last: first - 1, safe: true})
}

// settle puts a pending in line and acks what it lets through.
func (in *intake) settle(p *pending) {
	in.ledger.push(p)
	in.ack()
}

// ack moves the ack over all that is safe at the head of the line, and looks at the limits again.
func (in *intake) ack() {
	moved := false
	for p := in.ledger.pop(); p != nil; p = in.ledger.pop() {
		moved = true
		in.held -= p.bytes
		in.untold += p.bytes
		in.engine.count.acked.Add(p.records)
		if p.epoch == in.epoch {
			in.acked = p.last
		}
		if p.acked != nil {
			close(p.acked)
		}
	}
	if !moved {
		return
	}
	in.judge()
	if s := in.session; s != nil {
		s.changed.ring()
		s.room.ring()
		if s.halfClosed {
			s.turned.ring()
		}
		in.press()
	}
}

// press tells the producer of an ack at once that it may be waiting for: of what it asked to flush, or of so much of the
// limit it was told that its window may be full of what was acked already.
func (in *intake) press() {
	done := in.flushed > 0 && in.acked >= in.flushed
	if done {
		in.flushed = 0
	}
	if s := in.session; s != nil && (done || 4*in.untold >= s.given.Limit) {
		s.pressing = true
		s.turned.ring()
	}
}

// isSafe is told by the buffer, with no lock held, that a chunk is safe.
func (p *pending) isSafe() {
	in := p.in
	in.mu.Lock()
	p.safe = true
	in.ack()
	forget := in.made && in.session == nil && in.atRest()
	in.mu.Unlock()
	if forget {
		in.engine.forget(in)
	}
}

// stop seals what is gathering and lets nothing in any more.
func (in *intake) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stopped = true
	in.seal(false)
	in.tell()
}

// end ends the session, for good. Its last status says what was acked until now.
func (in *intake) end(why *Error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.session != nil {
		in.session.end(why)
	}
}

// atRest reports whether all that was admitted is acked.
func (in *intake) atRest() bool { return in.ledger.empty() && in.gather == nil }

// now is the status for somebody who does not hold the lock.
func (in *intake) now() Status {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.status()
}

// status is the whole of it, but for the rejections.
func (in *intake) status() Status {
	limit, _ := in.effective()
	return Status{
		StreamID: in.name.id,
		State:    in.state, Reason: in.reason,
		Acked: in.acked, Next: in.next,
		Held: in.held, Limit: limit,
	}
}
