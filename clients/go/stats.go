package sluice

import (
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A State says how a stream stands.
type State int

const (
	// Connecting: no gateway has the stream at the moment. Records are queued.
	Connecting State = iota
	// Active: records are sent.
	Active
	// Paused: the gateway takes no more for now. Records are queued.
	Paused
	// Draining: the gateway is going away, and what it holds is waited for before another one is sent to.
	Draining
	// Ended: see [Stream.Err].
	Ended
)

// String gives the state's name in lower case.
func (s State) String() string {
	return [...]string{"connecting", "active", "paused", "draining", "ended"}[s]
}

// Stats is a stream's state at one moment. Bytes are of the records' encoding. Added and Reports together, with what was
// resumed from a spill, are always what is acked, unacked, queued, or was dropped after it had been queued.
type Stats struct {
	State State
	ID    string // as given, or as the gateway made it up
	Epoch uint64

	QueuedRecords, QueuedBytes   int // waiting to be sent, in the queue or the spill
	UnackedRecords, UnackedBytes int // sent, not acked
	WindowBytes                  int // what UnackedBytes may grow to

	Added        uint64 // records queued, by Add, Log or a handler
	Reports      uint64 // records of the stream's own: what was dropped
	Sent         uint64 // records sent for the first time
	Resent       uint64 // records sent again
	Acked        uint64 // records acked, rejected ones among them
	LastAcked    uint64 // the highest sequence acked
	Rejected     uint64 // records that the gateway refused
	Dropped      Drops
	Spill        SpillStats
	Pauses       uint64
	PausedFor    time.Duration // in all, the present pause included
	Reconnects   uint64        // times that the stream was opened again
	OpenAttempts int           // failed attempts to connect since the last success

	// What the gateway told last.
	Reason                sluicev1.Reason
	HeldBytes, LimitBytes uint64
	MaxAppendBytes        int
	Durable               bool                // an ack outlives the gateway's process
	Durability            sluicev1.Durability // what it outlives, in full
}

// Drops counts dropped records by reason.
type Drops struct {
	QueueFull uint64 // see [Policy]; reported in the stream
	TooLarge  uint64 // did not fit into the largest append that the gateway takes
	Malformed uint64 // could not be encoded
	// SpillFailed could not be written to the spill; who added them was told.
	SpillFailed uint64
	// SpillLost were in the spill and cannot be read: bytes went bad, or files are gone. A producer before this one may have
	// dropped some of them. Reported in the stream. A file whose beginning cannot be read counts as one.
	SpillLost uint64
}

// Total is the sum over all reasons.
func (d Drops) Total() uint64 {
	return d.QueueFull + d.TooLarge + d.Malformed + d.SpillFailed + d.SpillLost
}

// Stats gives a snapshot. It is cheap: one lock, no allocation unless the disk of a spill fails.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.ID, st.Epoch = s.id, s.epoch
	st.QueuedRecords, st.QueuedBytes = s.queue.records, s.queue.bytes
	st.UnackedRecords, st.UnackedBytes = s.window.records, s.window.bytes
	st.WindowBytes, st.LastAcked = s.windowLimit(), s.window.acked
	st.LimitBytes, st.MaxAppendBytes, st.OpenAttempts = s.limit, s.maxAppend, s.attempts
	if sp := s.spill; sp != nil {
		st.Spill = sp.stats()
		st.QueuedRecords += sp.unread
		st.QueuedBytes += sp.unreadBytes
	}
	if s.paused {
		st.PausedFor += time.Since(s.pausedAt)
	}
	switch {
	case s.err != nil:
		st.State = Ended
	case st.State == Active && s.paused:
		st.State = Paused
	}
	return st
}
