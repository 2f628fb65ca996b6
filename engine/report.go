package engine

import (
	"math/bits"
	"time"
)

// tellEvery bounds how often one output's failures, drops and dead letters are logged. Metrics count every one.
const tellEvery = time.Second

// report tells the observer of every flight, and people of failures: of a batch's first, second, fourth ... one, and of the
// success after them, but not more often than tellEvery.
func (d *delivery) report(now time.Time, l *landing, v verdict) {
	b := l.batch
	if o := d.engine.observer; o != nil {
		o.Flew(Flight{Output: d.Name, Records: b.Records, Bytes: b.Bytes, Latency: l.latency, Result: v.result})
	}
	switch {
	case v.taken && b.Attempt > 1 && now.Sub(d.toldSuccess) >= tellEvery:
		d.toldSuccess = now
		d.engine.log.Info("flushed after retries", "output", d.Name, "key", b.Key, "records", b.Records,
			"attempt", b.Attempt, "after", now.Sub(b.First).Round(time.Millisecond))
	case !v.taken && bits.OnesCount(uint(b.Attempt)) == 1 && now.Sub(d.toldFailure) >= tellEvery:
		d.toldFailure = now
		d.engine.log.Warn("flush failed", "output", d.Name, "key", b.Key, "result", v.result, "records", b.Records,
			"attempt", b.Attempt, "retry_in", max(v.wait, v.cool).Round(time.Millisecond), "err", l.err)
	}
}

// A refusal is why an output's records were dropped, or became dead letters.
type refusal struct{ output, reason string }

// reportRefused tells what was dropped, and what became a dead letter here, since it was last told.
func (d *delivery) reportRefused(now time.Time) {
	if len(d.dropped)+len(d.interred) == 0 || now.Sub(d.toldRefused) < tellEvery {
		return
	}
	d.toldRefused = now
	d.tellRefused()
}

func (d *delivery) tellRefused() {
	for reason, records := range d.dropped {
		d.engine.log.Warn("records dropped", "output", d.Name, "reason", reason, "records", records)
	}
	for r, records := range d.interred {
		d.engine.log.Warn("records became dead letters", "output", r.output, "reason", r.reason, "records", records, "dead_letter", d.Name)
	}
	clear(d.dropped)
	clear(d.interred)
}
