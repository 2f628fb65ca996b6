package sluice

import (
	"errors"
	"fmt"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// resume has the stream begin where the spill is, and starts keep.
func (s *Stream) resume() {
	sp := s.spill
	s.epoch = sp.epoch()
	s.window = window{numbered: true, next: 1, cursor: 1}
	s.queue.ticket = sp.shift
	if sp.unread > 0 {
		acked := sp.ackedOf(sp.life)
		s.window = window{numbered: true, next: sp.pos.next, cursor: sp.pos.next, acked: acked, told: acked}
	}
	if sp.unreadable > 0 {
		s.drop(Drop{Reason: DropSpillLost, Records: uint64(sp.unreadable)})
	}
	go s.keep()
}

// unsent is how many records are held and were not sent. The mutex is held.
func (s *Stream) unsent() int {
	if s.spill == nil {
		return s.queue.records
	}
	return s.queue.records + s.spill.unread + s.spill.pending
}

// unsentTicket is the lowest ticket that was not sent; false: all were. The mutex is held.
func (s *Stream) unsentTicket() (uint64, bool) {
	if b := s.queue.front(); b != nil {
		return b.ticket, true
	}
	if s.spill != nil && s.spill.unread > 0 {
		return s.spill.pos.ticket(), true
	}
	return 0, false
}

// breaks tells whether what is to be sent next does not follow on: it is of the next life, or something is missing before it.
// A gateway takes that where the stream is opened anew, with what comes next as the lowest sequence; so all before it must be
// acked. The mutex is held.
func (s *Stream) breaks() bool {
	if s.spill == nil {
		return false
	}
	b := s.queue.front()
	return b != nil && (b.life != s.spill.life || b.first != s.window.next)
}

// advance goes over to what does not follow on. The mutex is held.
func (s *Stream) advance() {
	if !s.breaks() || s.window.records > 0 {
		return
	}
	b := s.queue.front()
	if b.life != s.spill.life {
		s.spill.life = b.life
		s.epoch = max(s.epoch+1, b.life.epoch)
		s.window = window{numbered: true}
	}
	s.window.next, s.window.cursor = b.first, b.first
}

// opening is what a call begins with. Its epoch is on the disk before the gateway hears of it, or the next start would not
// know how far this one has come, and send again what is acked.
func (s *Stream) opening() (*sluicev1.Open, error) {
	s.mu.Lock()
	if s.spill == nil {
		defer s.mu.Unlock()
		return &sluicev1.Open{
			StreamId: s.id, Tag: s.opts.Tag, Resource: s.opts.Resource, Epoch: s.epoch, FirstSequence: s.window.lowest(),
		}, nil
	}
	s.advance()
	open := s.spill.life.opening(s.epoch, s.window.lowest())
	s.mu.Unlock()
	if err := s.note(false); err != nil {
		poke(s.spill.wake) // which tries again, and tells
		if !s.spill.marks.isSafe(open.GetEpoch()) {
			return nil, fmt.Errorf("open stream: %w", err)
		}
	}
	return open, nil
}

// isForeign tells whether a gateway knows, of the own life, sequences that were never sent: somebody else is at work under
// the same ID and epoch. Of a life before it may know more than was found in the files, if the machine stopped. The mutex is
// held.
func (s *Stream) isForeign(next uint64) bool {
	sp := s.spill
	return sp != nil && sp.life == sp.own && next > s.window.next && next <= maxSequence
}

// isResuming tells whether the stream is in a life before its own. There a gateway may take what the process of that life has
// left behind, a connection whose Open arrives late, for a newer one. Whether there is a successor the epoch tells: it is
// refused then, and that is final.
func (s *Stream) isResuming() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spill != nil && s.spill.life != s.spill.own
}

// dropSegment drops the oldest segment that nothing was sent of, and all that is unsent before it. False: there is none. The
// mutex is held.
func (s *Stream) dropSegment() bool {
	sp := s.spill
	i := s.droppable()
	if i < 0 {
		return false
	}
	victim, after := sp.segments[i], sp.segments[i+1]
	d := Drop{Reason: DropQueueFull}
	if front := s.queue.front(); front != nil && front == sp.standIn {
		d = sp.told // and is told with the rest
	}
	records, size, reports := s.queue.cut(victim.lastTicket())
	s.stats.Reports -= uint64(reports)
	for _, seg := range sp.segments[:i+1] {
		if seg == sp.pos.seg {
			sp.pos = after.start(victim)
		}
		records += seg.unread
		size += seg.unreadBytes
		sp.unread -= seg.unread
		sp.unreadBytes -= seg.unreadBytes
		seg.unread, seg.unreadBytes = 0, 0
	}
	s.drop(Drop{Reason: DropQueueFull, Records: uint64(records), Bytes: uint64(size)})
	d.Records += uint64(records)
	d.Bytes += uint64(size)
	if d.Records > 0 {
		sp.told, sp.standIn = d, victim.report(victim.next-1, d)
		s.queue.unshift(sp.standIn)
		s.stats.Reports++
	}
	sp.segments = append(sp.segments[:i:i], sp.segments[i+1:]...)
	sp.bytes -= victim.charge
	victim.charge = 0
	sp.doomed = append(sp.doomed, victim)
	poke(sp.wake)
	poke(s.wake)
	s.moved.ring()
	return true
}

// droppable is the place of the segment to drop; -1: there is none. The newest is being written.
func (s *Stream) droppable() int {
	unsent, ok := s.unsentTicket()
	if !ok {
		return -1
	}
	for i, seg := range s.spill.segments[:max(0, len(s.spill.segments)-1)] {
		sent, held := s.window.lastTicket()
		if seg.lastTicket() >= unsent && (!held || seg.ticket() > sent) {
			return i
		}
	}
	return -1
}

// finish ends the spill, once the stream has ended. Where nothing is left, nothing stays but the mark.
func (s *Stream) finish() {
	sp := s.spill
	<-sp.kept
	sp.writing.Lock() // nobody writes any more
	defer sp.writing.Unlock()
	s.mu.Lock()
	if s.isBare() {
		sp.doomed = append(sp.doomed, sp.segments...)
		sp.segments = nil
	}
	s.mu.Unlock()
	var left error
	if sp.file != nil { // not every system removes a file that is open
		left = sp.leave()
	}
	err := errors.Join(left, s.sweep(), sp.release())
	s.mu.Lock()
	sp.keepErr = err
	s.mu.Unlock()
}

// kept is how many records are in the spill and not acked. The mutex is held, and the stream has ended.
func (s *Stream) kept() int {
	n := s.spill.unread
	for _, blocks := range [][]*block{s.window.blocks, s.queue.blocks} {
		for _, b := range blocks {
			if !b.report {
				n += b.count
			}
		}
	}
	return n
}
