package sluice

import (
	"errors"
	"fmt"
	"time"
)

const (
	// spillRetry is how long keep waits after the disk has failed.
	spillRetry = time.Second
	// spillTries is how often a place is read before what is there is given up: for a minute. A file that cannot be opened
	// is tried for ever, for the process may have too many of them open.
	spillTries = 60
)

// keep reads records back as the queue has room for them, notes what is acked and removes segments that nothing is needed
// of. It runs until the stream has ended, which waits for it.
func (s *Stream) keep() {
	sp := s.spill
	defer close(sp.kept)
	var back reader
	defer back.close()
	retry := time.NewTimer(spillRetry)
	defer retry.Stop()
	for {
		err := errors.Join(s.sweep(), s.readBack(&back))
		s.mu.Lock()
		sp.keepErr = err
		s.mu.Unlock()
		wake := sp.wake
		if err != nil {
			retry.Reset(spillRetry)
			wake = nil // the disk is left alone until then
		}
		select {
		case <-wake:
		case <-retry.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// sweep notes what is acked, and removes the segments that nothing is needed of.
func (s *Stream) sweep() error {
	sp := s.spill
	s.mu.Lock()
	held := s.heldTicket()
	for len(sp.segments) > 1 && sp.segments[0].lastTicket() < held && (sp.unread == 0 || sp.segments[0] != sp.pos.seg) {
		sp.doomed = append(sp.doomed, sp.segments[0])
		sp.segments = sp.segments[1:]
	}
	doomed := sp.doomed
	sp.doomed = nil
	s.mu.Unlock()
	// What is removed must be known to be acked also if the machine stops: it would be taken for lost.
	err := s.note(len(doomed) > 0)
	var freed int64
	var left []*segment
	for _, seg := range doomed {
		if err == nil {
			err = sp.disk.Remove(segmentName(sp.dir, seg.number))
		}
		if err != nil {
			left = append(left, seg)
			continue
		}
		freed += seg.charge
	}
	if err == nil && len(doomed) > 0 && sp.sync {
		err = sp.disk.SyncDir(sp.dir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sp.doomed = append(left, sp.doomed...)
	if freed > 0 {
		sp.bytes -= freed
		s.room.ring()
	}
	if err != nil {
		return fmt.Errorf("sweep spill: %w", err)
	}
	return nil
}

// note writes how far the stream is, and syncs it where that is asked for.
func (s *Stream) note(durable bool) error {
	sp := s.spill
	sp.marks.mu.Lock()
	defer sp.marks.mu.Unlock()
	s.mu.Lock()
	mark := spillMark{epoch: sp.life.epoch, sent: s.epoch, acked: s.window.told}
	s.mu.Unlock()
	return sp.marks.write(mark, durable)
}

// readBack fills the queue from the files.
func (s *Stream) readBack(r *reader) error {
	sp := s.spill
	for {
		s.mu.Lock()
		if sp.unread == 0 || !s.queue.hasRoom(1) {
			caughtUp := sp.unread == 0
			s.mu.Unlock()
			if caughtUp {
				r.close()
			}
			return nil
		}
		from := sp.pos
		r.end, r.until = from.seg.end, from.seg.next
		r.room = max(1, min(readAhead, s.queue.maxBytes-s.queue.bytes))
		r.roomRecords = max(1, s.queue.maxRecords-s.queue.records)
		r.batchRecords, r.batchBytes = s.queue.batchRecords, s.queue.batchBytes
		s.mu.Unlock()

		got, err := r.read(sp, from)
		if err != nil {
			if r.fails(err) {
				return fmt.Errorf("read spill back: %w", err)
			}
			got.giveUp(r)
		}
		r.failed = 0
		s.mu.Lock()
		if sp.pos == from { // nothing was dropped meanwhile
			s.requeue(got)
		}
		s.mu.Unlock()
	}
}

// requeue takes over what was read back. The mutex is held.
func (s *Stream) requeue(got readings) {
	sp := s.spill
	seg := got.to.seg
	for _, b := range got.blocks {
		s.queue.push(b)
		if b.report {
			s.stats.Reports++
		}
	}
	if got.lost > 0 {
		s.drop(Drop{Reason: DropSpillLost, Records: got.lost})
	}
	sp.pos = got.to
	records, size := got.records, got.bytes
	if sp.pos.off >= seg.end { // whatever else was in it is lost
		records, size = seg.unread, seg.unreadBytes
		for i, other := range sp.segments {
			if other == seg && i+1 < len(sp.segments) {
				sp.pos = sp.segments[i+1].start(seg)
			}
		}
	}
	seg.unread -= records
	seg.unreadBytes -= size
	sp.unread -= records
	sp.unreadBytes -= size
	s.moved.ring()
	s.ringIfBare()
	s.settle()
	poke(s.wake)
}
