package engine

import (
	"context"
	"sync"
	"time"
)

// gathering is a stream's chunk that still takes appends. The intake's lock guards it.
type gathering struct {
	slab    *Slab
	first   uint64
	count   int
	arrived time.Time
}

// A gatherer seals the chunks that have gathered long enough. All gather equally long, so the oldest is always the first in
// line, and a stream that trickles cannot push its own time back.
type gatherer struct {
	delay time.Duration
	bell  bell

	mu   sync.Mutex // guards what follows; taken last
	line []gatherDue
}

type gatherDue struct {
	in  *intake
	g   *gathering
	due time.Time
}

func (q *gatherer) add(in *intake, g *gathering) {
	q.mu.Lock()
	q.line = append(q.line, gatherDue{in, g, g.arrived.Add(q.delay)})
	first := len(q.line) == 1
	q.mu.Unlock()
	if first {
		q.bell.ring()
	}
}

func (q *gatherer) run(ctx context.Context) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for {
		ready, wait := q.ready(time.Now())
		for _, d := range ready {
			d.in.sealIf(d.g)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-q.bell.c:
		case <-timer.C:
		}
	}
}

// ready cuts what is due off the line, and says how long until the next is.
func (q *gatherer) ready(now time.Time) ([]gatherDue, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.line) && !q.line[n].due.After(now) {
		n++
	}
	ready := q.line[:n:n]
	q.line = q.line[n:]
	if len(q.line) == 0 {
		q.line = nil
		return ready, maxWait
	}
	return ready, min(q.line[0].due.Sub(now), maxWait)
}
