package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A bystander is a producer that has done nothing wrong: it logs a record every quarter of a second, and waits for its ack.
type bystander struct {
	*app
	id      string
	stop    context.CancelFunc
	logging sync.WaitGroup

	// What follows is for when logging is done.
	bodies  []string
	slowest time.Duration // from Log to ack
	err     error
}

func newBystander(t testing.TB, n *network, id, tag string) *bystander {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b := &bystander{app: n.app(t, "gateway", sluice.StreamOptions{ID: id, Tag: tag}), id: id, stop: stop}
	b.logging.Go(func() { b.logUntil(ctx) })
	t.Cleanup(func() { // of a test that ends early
		stop()
		b.logging.Wait()
	})
	return b
}

func (b *bystander) logUntil(ctx context.Context) {
	for b.err == nil && ctx.Err() == nil {
		began, body := time.Now(), fmt.Sprint(b.id, " ", len(b.bodies)+1)
		if b.err = b.Log(context.Background(), body); b.err != nil {
			return
		}
		b.bodies = append(b.bodies, body)
		waiting, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		b.err = b.Flush(waiting)
		cancel()
		b.slowest = max(b.slowest, time.Since(began))
		pause(ctx, 250*time.Millisecond)
	}
}

// finish stops the bystander, which must not have noticed anything: each ack came at once, and all its records arrived at
// each of its destinations, once and in order.
func (b *bystander) finish(t testing.TB, at ...*destination) {
	t.Helper()
	b.stop()
	b.logging.Wait()
	if b.err != nil {
		t.Errorf("bystander %q: %v", b.id, b.err)
	}
	if b.slowest > time.Second {
		t.Errorf("bystander %q waited %v for an ack", b.id, b.slowest)
	}
	st := b.Stats()
	if st.Pauses != 0 || st.Reconnects != 0 || st.Rejected != 0 || len(b.bodies) < 4 {
		t.Errorf("bystander %q: %d pauses, %d reconnects, %d rejected of %d records", b.id, st.Pauses, st.Reconnects, st.Rejected, len(b.bodies))
	}
	b.exit()
	for _, d := range at {
		wantBodies(t, d, b.id, b.bodies)
	}
}
