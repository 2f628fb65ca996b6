package engine

import (
	"sync/atomic"
	"time"
)

// counters are the engine's own; they only rise.
type counters struct {
	records, bytes, acked, repeated, skipped atomic.Int64

	rejected  [FaultTooDeep + 1]atomic.Int64
	refused   [CodeUnavailable + 1]atomic.Int64
	pauses    [ReasonShutdown + 1]atomic.Int64
	pausedFor [ReasonShutdown + 1]atomic.Int64 // nanoseconds, of pauses that have ended
}

// Stats is a snapshot. It costs a look at every paused stream and every output.
func (e *Engine) Stats() Stats {
	now := time.Now()
	c := &e.count
	st := Stats{
		Held: e.meter.Used(), StreamState: e.streams.charge(), Limit: e.limits.Engine, Ceiling: e.ceiling,
		TenantHeld: e.streams.tenantsHeld(), Streams: int(e.streams.size.Load()), Sessions: int(e.sessions.Load()),
		Paused:  map[Reason]int{},
		Records: c.records.Load(), Bytes: c.bytes.Load(), Acked: c.acked.Load(),
		Repeated: c.repeated.Load(), Skipped: c.skipped.Load(),
		Rejected: map[FaultCode]int64{}, Refused: map[Code]int64{},
		Pauses: map[Reason]int64{}, PausedFor: map[Reason]time.Duration{},
		Draining: e.draining.Load(),
		Buffer:   e.bufferStats(),
	}
	for code := FaultMalformed; code <= FaultTooDeep; code++ {
		st.Rejected[code] = c.rejected[code].Load()
	}
	for code := CodeInvalidArgument; code <= CodeUnavailable; code++ {
		st.Refused[code] = c.refused[code].Load()
	}
	for reason := ReasonStreamLimit; reason <= ReasonShutdown; reason++ {
		st.Pauses[reason] = c.pauses[reason].Load()
		st.PausedFor[reason] = time.Duration(c.pausedFor[reason].Load())
	}
	for _, in := range e.reviews.members() {
		if reason, since, ok := in.pausedNow(); ok {
			st.Paused[reason]++
			st.PausedFor[reason] += now.Sub(since)
		}
	}
	for _, d := range e.outputs {
		st.Outputs = append(st.Outputs, d.snapshot(now))
	}
	return st
}

func (in *intake) pausedNow() (Reason, time.Time, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.reason, in.pausedAt, in.state == StatePaused
}

func (d *delivery) snapshot(now time.Time) OutputStats {
	st := d.books.snapshot(now)
	st.Backlog = d.cursor.Backlog()
	if l, ok := d.cursor.(Loser); ok && l.Lost() > 0 {
		lost := DoneLabel{Result: "dropped", Reason: "lost"}
		t := st.Done[lost]
		t.Records += l.Lost()
		st.Done[lost] = t
	}
	st.ShareUsed, st.ShareLimit = d.shareUsed(), d.share.Limit()
	return st
}
