package sluice

import (
	"math"
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// receive reads statuses until the call has ended. It never waits for anything else.
func (c *call) receive() {
	defer close(c.done)
	resp := new(sluicev1.StreamLogsResponse)
	for {
		if err := c.rpc.RecvMsg(resp); err != nil {
			c.err = timedOut(c.ctx, err)
			return
		}
		if st := resp.GetStatus(); st != nil {
			c.status(st)
		}
	}
}

// status takes in what the gateway says. Each status says everything, so nothing depends on having seen the last one, and
// whatever it says, the worst is that records are sent in vain.
func (c *call) status(st *sluicev1.StreamStatus) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Reason, s.stats.HeldBytes, s.stats.Durable = st.GetReason(), st.GetHeldBytes(), st.GetDurable()
	s.stats.Durability = st.GetDurability()
	s.limit = st.GetLimitBytes()
	if n := st.GetMaxAppendBytes(); n > 0 {
		s.setMaxAppend(int(min(max(n, minMaxAppend), math.MaxInt32)))
	}
	if !c.open {
		c.begin(st)
	}
	if c.foreign {
		return
	}
	s.rejected(st.GetRejections())
	s.ack(st.GetAckedSequence())
	s.setState(c, st)
	poke(s.wake)
}

// begin takes in the first status of a call: the gateway has taken the stream. The mutex is held.
func (c *call) begin(st *sluicev1.StreamStatus) {
	s := c.s
	c.open = true
	close(c.opened)
	if s.isForeign(st.GetNextSequence()) {
		c.foreign = true
		s.epoch++ // which is nobody else's
		return
	}
	s.window.resend(st.GetNextSequence())
	s.queue.seal() // it has lingered while away
	if s.id == "" {
		s.id = st.GetStreamId()
	}
	if s.everOpen {
		s.stats.Reconnects++
	} else {
		s.everOpen = true
		close(s.opened)
	}
	if s.lastErr != nil {
		r := Reconnect{Open: true, Attempts: s.attempts, Err: s.lastErr}
		s.notes.post(func(m *mailbox) { m.addReconnect(r) })
		s.lastErr = nil
	}
}

// setState follows the gateway's state. One that this SDK does not know is taken for ACTIVE: going on is what it can do.
// The mutex is held.
func (s *Stream) setState(c *call, st *sluicev1.StreamStatus) {
	switch st.GetState() {
	case sluicev1.State_STATE_DRAINING:
		s.stats.State = Draining
		if !c.leaving {
			c.leaving, c.upTo = true, s.window.cursor
			close(c.draining)
		}
	case sluicev1.State_STATE_PAUSED:
		s.stats.State = Active
		if !s.paused {
			s.paused, s.pausedAt = true, time.Now()
			s.stats.Pauses++
			p := Pause{
				Reason: st.GetReason(), HeldBytes: st.GetHeldBytes(), LimitBytes: st.GetLimitBytes(),
				RetryAfter: st.GetRetryAfter().AsDuration(),
			}
			s.notes.post(func(m *mailbox) { m.addPause(p) })
		}
	default:
		s.stats.State = Active
		if s.paused {
			r := Resume{HeldBytes: st.GetHeldBytes(), LimitBytes: st.GetLimitBytes(), Paused: time.Since(s.pausedAt)}
			s.paused = false
			s.queue.seal() // it has lingered while paused
			s.stats.PausedFor += r.Paused
			s.notes.post(func(m *mailbox) { m.addResume(r) })
		}
	}
}

// ack releases what is acked. The mutex is held.
func (s *Stream) ack(seq uint64) {
	n := s.window.ack(seq)
	if n == 0 {
		return
	}
	s.stats.Acked += uint64(n)
	s.attempts = 0
	s.moved.ring()
	s.settle()
	if s.spill != nil {
		poke(s.spill.wake)
		s.ringIfBare()
	}
}

// rejected counts refused records; they are acked like the others. The mutex is held.
func (s *Stream) rejected(rejections []*sluicev1.Rejection) {
	for _, r := range rejections {
		first, last := max(r.GetFirstSequence(), 1), min(r.GetLastSequence(), s.window.next-1)
		if first > last {
			continue // of records that were never sent
		}
		width := last - first + 1
		told := Rejection{First: first, Last: last, Count: width, Code: r.GetCode(), Message: r.GetMessage()}
		if n := r.GetCount(); n > 0 {
			told.Count = min(n, width)
		}
		s.stats.Rejected += told.Count
		s.notes.post(func(m *mailbox) { m.addRejection(told) })
	}
}

// settle notes that nothing is held any more, once the stream is closing. The mutex is held.
func (s *Stream) settle() {
	if !s.closing || s.unsent() > 0 || s.window.records > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
	if s.dialing != nil {
		s.dialing()
	}
}

// setMaxAppend follows what the gateway takes. Records that are queued already are cut when they are sent. The mutex is
// held.
func (s *Stream) setMaxAppend(n int) {
	s.maxAppend = n
	s.queue.batchBytes = max(1, min(s.opts.BatchBytes-frameOverhead, n)-appendOverhead)
}

// windowLimit is how many bytes may be unacked. The mutex is held.
func (s *Stream) windowLimit() int {
	limit := int(min(s.limit, math.MaxInt/2)) + s.maxAppend
	return max(limit, s.opts.WindowBytes)
}
