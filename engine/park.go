package engine

import (
	"maps"
	"time"
)

// A parking is a key whose destination does not let us in. Its data is kept and tried again after each backoff; the key
// holds up its own streams at their limits, no others. Parked for longer than the park limit, what it holds and what comes
// goes to the dead letters, in order, where there are some; a probe now and then finds out whether it is let in again, one
// at a time, whatever else of the key could fly: slots are for those who are let in.
type parking struct {
	key       string
	since     time.Time
	attempts  int
	message   string
	request   string    // the destination's ID of the last attempt
	probe     time.Time // when the next one is due
	flying    int       // probes
	diverting bool
}

// heldBack is how long a batch of a parked key waits where a probe flies already.
const heldBack = time.Second

// diverts reports whether what comes goes to the dead letters. What comes when a probe is due, or flies, waits for it.
func (p *parking) diverts(now time.Time) bool {
	return p.diverting && p.flying == 0 && now.Before(p.probe)
}

// holds reports whether a batch of the key may not fly.
func (p *parking) holds(now time.Time) bool { return p.flying > 0 || now.Before(p.probe) }

func (p *parking) deadLetter(now time.Time) DeadLetter {
	return DeadLetter{
		Target: p.key, Reason: "parked", Message: p.message, RequestID: p.request, Attempts: p.attempts, First: p.since, Last: now,
	}
}

// park books a denial, or the end of one. It gives the parking whose next probe the rest has to wait for; nil: none.
func (d *delivery) park(now time.Time, key string, v verdict, l *landing) *parking {
	p := d.parked[key]
	switch {
	case v.denied && p == nil:
		p = &parking{key: key, since: now}
		d.parked[key] = p
		d.engine.log.Warn("key parked", "output", d.Name, "key", key, "err", l.err)
	case v.denied:
	case p == nil:
		return nil
	case len(v.delivered) > 0: // an output may refuse records for good without asking anybody
		delete(d.parked, key)
		d.engine.log.Info("key is let in again", "output", d.Name, "key", key, "parked_for", now.Sub(p.since))
		return nil
	case v.wait == 0: // it is being bisected, which goes on at once
		return nil
	}
	if v.denied {
		p.message, p.request = l.err.Error(), AsWriteError(l.err).RequestID
		p.diverting = d.dead != nil && now.Sub(p.since) >= d.ParkLimit
	}
	p.attempts++
	wait := d.Retry.Base + d.Retry.backoff(p.attempts) // never at once
	if d.draining {
		wait = min(wait, drainBackoff)
	}
	p.probe = now.Add(max(wait, v.cool))
	return p
}

// holdBack puts down a batch that the scheduler would let fly.
func (d *delivery) holdBack(now time.Time, b *Batch, p *parking) {
	b.NotBefore = p.probe
	if !b.NotBefore.After(now) {
		b.NotBefore = now.Add(heldBack)
	}
	d.Scheduler.Done(now, b, Result{Rest: []*Batch{b}, Unflown: true})
}

// forgetParked forgets the keys that nothing came to probe with for a park limit: whoever wrote under them is gone.
func (d *delivery) forgetParked(now time.Time) {
	if len(d.parked) == 0 || now.Sub(d.lookedAtParked) < maxWait {
		return
	}
	d.lookedAtParked = now
	maps.DeleteFunc(d.parked, func(_ string, p *parking) bool { return now.Sub(p.probe) >= d.ParkLimit })
}

// divert gives what was denied to the dead letters.
func (d *delivery) divert(now time.Time, rest []*Batch) {
	for _, b := range rest {
		d.reject(b.Spans, d.parked[b.Key].deadLetter(now))
	}
}
