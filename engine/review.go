package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// reviewEvery is how often, at most, paused streams are looked at again when memory was released by others.
const reviewEvery = 100 * time.Millisecond

// A reviewer looks at paused and blocked streams again when memory was released that is not their own: their thresholds
// have moved. What a stream releases itself it looks at itself, at once.
type reviewer struct {
	bell    bell
	every   time.Duration // it looks this often, whoever rings
	waiting atomic.Int64  // how many streams are in the set, for a cheap poke

	mu  sync.Mutex // guards what follows; taken last
	set map[*intake]struct{}
}

// add rings: what was released between the stream's own look and now was not told to it.
func (r *reviewer) add(in *intake) {
	r.mu.Lock()
	r.set[in] = struct{}{}
	r.waiting.Store(int64(len(r.set)))
	r.mu.Unlock()
	r.bell.ring()
}

func (r *reviewer) remove(in *intake) {
	r.mu.Lock()
	delete(r.set, in)
	r.waiting.Store(int64(len(r.set)))
	r.mu.Unlock()
}

// poke says that memory was released.
func (r *reviewer) poke() {
	if r.waiting.Load() > 0 {
		r.bell.ring()
	}
}

func (r *reviewer) members() []*intake {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*intake, 0, len(r.set))
	for in := range r.set {
		all = append(all, in)
	}
	return all
}

func (r *reviewer) run(ctx context.Context) {
	timer := time.NewTimer(r.every)
	defer timer.Stop()
	pause := time.NewTimer(reviewEvery)
	defer pause.Stop()
	for {
		for _, in := range r.members() {
			in.review()
		}
		pause.Reset(reviewEvery)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		timer.Reset(r.every)
		select {
		case <-ctx.Done():
			return
		case <-r.bell.c:
		case <-timer.C:
		}
	}
}
