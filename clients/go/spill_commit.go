package sluice

import (
	"context"
	"errors"
	"fmt"
)

// A commit is records that are written at once, by one of those who add them.
type commit struct {
	buf      []byte // as they come to lie in the file; the heads are filled in last
	runs     []commitRun
	records  int
	reports  int  // of the records
	reported Drop // what these tell of

	// Guarded by the spill's writing mutex.
	written bool
	err     error
}

// A commitRun is a run of a commit's.
type commitRun struct {
	at    int // where in buf it begins
	count int
}

// maxSpare is how much of a commit's memory is kept for the next one.
const maxSpare = 1 << 20

// add appends a record, to the last run if that takes it.
func (c *commit) add(record []byte, batchRecords, batchBytes int) {
	n := fieldBytes(len(record))
	last := len(c.runs) - 1
	if last < 0 || c.runs[last].count >= batchRecords || len(c.buf)-c.runs[last].at-runHead+n > batchBytes {
		last++
		c.runs = append(c.runs, commitRun{at: len(c.buf)})
		c.buf = append(c.buf, make([]byte, runHead)...)
	}
	c.buf = appendField(c.buf, record)
	c.runs[last].count++
	c.records++
}

// run is the i-th run, head and all.
func (c *commit) run(i int) []byte {
	if i+1 < len(c.runs) {
		return c.buf[c.runs[i].at:c.runs[i+1].at]
	}
	return c.buf[c.runs[i].at:]
}

// seal fills in the heads.
func (c *commit) seal(salt uint32, first uint64) {
	for i, r := range c.runs {
		sealRun(c.run(i), salt, first, r.count)
		first += uint64(r.count)
	}
}

// addSpilled is add for a stream with a spill.
func (s *Stream) addSpilled(ctx context.Context, record []byte) error {
	s.mu.Lock()
	c, err := s.join(ctx, record)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.carryOut(c)
}

// join adds a record to the commit that gathers, once there is room. The mutex is held.
func (s *Stream) join(ctx context.Context, record []byte) (*commit, error) {
	size := fieldBytes(len(record))
	if err := s.checkSize(size); err != nil {
		return nil, err
	}
	for !s.over() {
		if s.spill.fits(size) || s.isBare() {
			s.joinReport(size)
			return s.spill.gather(record, s.queue.batchRecords, s.queue.batchBytes), nil
		}
		if s.opts.WhenFull == Block {
			if err := s.await(ctx, s.room.wait()); err != nil {
				return nil, fmt.Errorf("wait for room: %w", err)
			}
			continue
		}
		if s.opts.WhenFull == DropNewest || !s.dropSegment() {
			s.dropUnsent(size)
			return nil, ErrQueueFull
		}
	}
	return nil, s.why()
}

// isBare tells whether the stream holds nothing at all: then a record is let in whatever its size.
func (s *Stream) isBare() bool { return s.unsent() == 0 && s.window.records == 0 }

func (s *Stream) ringIfBare() {
	if s.isBare() {
		s.room.ring()
	}
}

// joinReport adds a report of what was dropped behind all that is in the files, if there is something to report, and room
// for that and more bytes. Nil: it does not. The mutex is held.
func (s *Stream) joinReport(more int) *commit {
	if s.unreported.Records == 0 {
		return nil
	}
	s.unreported.Reason = DropQueueFull
	report := dropReport(s.unreported)
	if more > 0 && !s.spill.fits(fieldBytes(len(report))+runHead+more) {
		return nil
	}
	c := s.spill.gather(report, s.queue.batchRecords, s.queue.batchBytes)
	c.reports++
	c.reported.Records += s.unreported.Records
	c.reported.Bytes += s.unreported.Bytes
	s.unreported = Drop{}
	return c
}

// gather adds a record to the commit that gathers. The mutex is held.
func (sp *spill) gather(record []byte, batchRecords, batchBytes int) *commit {
	if sp.gathering == nil {
		sp.gathering = &commit{}
		if sp.spare != nil {
			sp.gathering.buf, sp.gathering.runs, sp.spare = sp.spare.buf[:0], sp.spare.runs[:0], nil
		}
	}
	c := sp.gathering
	before := len(c.buf)
	c.add(record, batchRecords, batchBytes)
	sp.pending++
	sp.pendingBytes += len(c.buf) - before
	return c
}

// carryOut writes the commit, unless somebody else of it has done so: whoever comes first writes for all who came while the
// one before was being written.
func (s *Stream) carryOut(c *commit) error {
	sp := s.spill
	sp.writing.Lock()
	defer sp.writing.Unlock()
	if c.written {
		return c.err
	}
	c.written = true
	s.mu.Lock()
	sp.gathering = nil
	c.err = s.err
	s.mu.Unlock()
	var seg *segment
	if c.err == nil {
		seg, c.err = sp.write(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sp.pending -= c.records
	sp.pendingBytes -= len(c.buf)
	if s.err == nil {
		sp.writeErr = c.err
	}
	if c.err == nil {
		s.publish(c, seg)
	} else if s.err == nil {
		s.refused(c)
	}
	sp.doomed = append(sp.doomed, sp.strays...)
	sp.strays = nil
	if cap(c.buf) <= maxSpare {
		sp.spare = &commit{buf: c.buf, runs: c.runs}
	}
	c.buf, c.runs = nil, nil
	if s.closing {
		s.settle()
		poke(s.wake)
	}
	return c.err
}

// write appends a commit to the newest segment, or begins a new one. Where it fails nothing of it is to be found again. The
// caller holds the writing mutex.
func (sp *spill) write(c *commit) (*segment, error) {
	if sp.active != nil && sp.active.end > sp.active.head && sp.active.end+int64(len(c.buf)) > sp.segmentBytes {
		if err := sp.leave(); err != nil {
			return nil, fmt.Errorf("%w: close segment: %w", ErrSpillFailed, err)
		}
	}
	if sp.active == nil {
		if err := sp.create(); err != nil {
			return nil, fmt.Errorf("%w: begin segment: %w", ErrSpillFailed, err)
		}
	}
	c.seal(sp.active.salt, sp.next)
	if _, err := sp.file.WriteAt(c.buf, sp.active.end); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpillFailed, sp.undo(err, false))
	}
	if sp.sync {
		if err := sp.file.Sync(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpillFailed, sp.undo(err, true))
		}
	}
	sp.next += uint64(c.records)
	return sp.active, nil
}

// leave closes the segment that is appended to.
func (sp *spill) leave() error {
	f := sp.file
	sp.active, sp.file = nil, nil
	return f.Close()
}

// undo takes back what has failed. A segment that cannot be cut, or was not synced, is not appended to any more: what the
// kernel made of it nobody knows. The next one begins with the sequence that failed, which makes that void.
func (sp *spill) undo(err error, unsynced bool) error {
	seg := sp.active
	cut := sp.file.Truncate(seg.end)
	if cut == nil && sp.sync {
		cut = sp.file.Sync()
	}
	if cut == nil && !unsynced && seg.end > seg.head {
		return err
	}
	err = errors.Join(err, cut, sp.leave())
	if seg.end == seg.head {
		err = errors.Join(err, sp.discard(seg))
	}
	return err
}

// publish hands on what was written: to the queue, if that has room and nothing is in the files alone, and to keep otherwise.
// The mutex is held, and the writing mutex.
func (s *Stream) publish(c *commit, seg *segment) {
	sp := s.spill
	if sp.newest() != seg {
		sp.segments = append(sp.segments, seg)
		sp.bytes += seg.charge
	}
	for i, r := range c.runs {
		data := c.run(i)[runHead:]
		if sp.unread == 0 {
			sp.pos = place{seg: seg, off: seg.end + int64(r.at), next: seg.next}
		}
		if sp.unread == 0 && s.queue.hasRoom(len(data)) {
			b := block{ticket: seg.next + seg.shift, life: seg.life, first: seg.next, count: r.count, data: data}
			if s.queue.addRun(&b) {
				poke(s.wake)
			}
		} else {
			sp.unread += r.count
			sp.unreadBytes += len(data)
			seg.unread += r.count
			seg.unreadBytes += len(data)
		}
		seg.next += uint64(r.count)
	}
	sp.bytes += seg.grow(seg.end + int64(len(c.buf)))
	s.queue.ticket = seg.lastTicket()
	if sp.unread == 0 {
		sp.pos = place{seg: seg, off: seg.end, next: seg.next}
	} else if s.queue.hasRoom(1) {
		poke(sp.wake)
	}
	s.stats.Reports += uint64(c.reports)
	s.stats.Added += uint64(c.records - c.reports)
}

// refused counts the records of a commit that could not be written. What was to be reported is to be reported still. The
// mutex is held.
func (s *Stream) refused(c *commit) {
	s.unreported.Records += c.reported.Records
	s.unreported.Bytes += c.reported.Bytes
	s.room.ring() // for what did not come to be
	s.drop(Drop{Reason: DropSpillFailed, Records: uint64(c.records - c.reports), Bytes: uint64(len(c.buf) - runHead*len(c.runs))})
}
