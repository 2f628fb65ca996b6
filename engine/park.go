package engine

import "time"

// A parking is a key whose destination does not let us in. Its data is kept and tried again after each backoff; the key
// holds up its own streams at their limits, no others. Parked for longer than the park limit, what it holds and what comes
// goes to the dead letters, in order, where there are some; a probe now and then finds out whether it is let in again.
type parking struct {
	since     time.Time
	attempts  int
	message   string
	probe     time.Time // what comes before it is diverted, what comes then is tried
	diverting bool
}

func (p *parking) diverts(now time.Time) bool { return p.diverting && now.Before(p.probe) }

func (p *parking) deadLetter(now time.Time) DeadLetter {
	return DeadLetter{Reason: "parked", Message: p.message, Attempts: p.attempts, First: p.since, Last: now}
}

// park books a denial, or the end of one. It reports whether the key's data goes to the dead letters by now.
func (d *delivery) park(now time.Time, key string, v verdict, l *landing) bool {
	p := d.parked[key]
	if !v.denied {
		if p != nil && len(v.delivered)+len(v.rejected) > 0 {
			delete(d.parked, key)
			d.engine.log.Info("key is let in again", "output", d.Name, "key", key, "parked_for", now.Sub(p.since))
		}
		return false
	}
	if p == nil {
		p = &parking{since: now}
		d.parked[key] = p
		d.engine.log.Warn("key parked", "output", d.Name, "key", key, "err", l.err)
	}
	p.attempts++
	p.message = l.err.Error()
	p.probe = now.Add(v.wait)
	p.diverting = d.dead != nil && now.Sub(p.since) >= d.ParkLimit
	return p.diverting
}

// divert gives what was denied to the dead letters.
func (d *delivery) divert(now time.Time, rest []*Batch) []*Batch {
	for _, b := range rest {
		d.reject(b.Spans, d.parked[b.Key].deadLetter(now))
	}
	return nil
}
