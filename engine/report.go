package engine

import (
	"math/bits"
	"time"
)

// tellEvery bounds how often one output's failures and drops are logged. Metrics count every one.
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

// reportDrops tells what was dropped since it was last told.
func (d *delivery) reportDrops(now time.Time) {
	if len(d.dropped) == 0 || now.Sub(d.toldDrops) < tellEvery {
		return
	}
	d.toldDrops = now
	d.tellDrops()
}

func (d *delivery) tellDrops() {
	for reason, records := range d.dropped {
		d.engine.log.Warn("records dropped", "output", d.Name, "reason", reason, "records", records)
	}
	clear(d.dropped)
}
