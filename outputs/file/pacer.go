package file

import (
	"context"
	"math"
	"sync"
	"time"
)

// A pacer holds writers to a rate by debt: whoever wrote makes the next one wait. A write larger than what a second allows
// is no special case to it. It is safe for concurrent use.
type pacer struct {
	rate int64 // bytes per second; 0: no bound

	mu   sync.Mutex // guards what follows
	free time.Time  // when what was spent is worked off
}

// piece is how much to write at once, in bytes, so that waits stay near a tenth of a second.
func (p *pacer) piece() int {
	if p.rate == 0 {
		return math.MaxInt
	}
	return int(p.rate/10) + 1
}

// wait returns when nothing is owed, or when ctx ends, with its error.
func (p *pacer) wait(ctx context.Context) error {
	for p.rate > 0 {
		p.mu.Lock()
		owed := time.Until(p.free)
		p.mu.Unlock()
		if owed <= 0 {
			break
		}
		timer := time.NewTimer(owed)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// spend owes n bytes.
func (p *pacer) spend(n int) {
	if p.rate == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
}
