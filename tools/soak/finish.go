package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// arrival is how long what was sent may be on its way to the gateway.
const arrival = 200 * time.Millisecond

// finish drains the gateway while all is well, and accounts for everything.
func (t *trial) finish(ctx context.Context) {
	t.enter("draining")
	t.cloud.SetFault(nil)
	t.cease()
	t.sending.Wait()
	t.sendOff(ctx)

	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	var closing sync.WaitGroup
	var left int64
	var mu sync.Mutex // guards left
	for _, p := range t.producers {
		closing.Go(func() {
			kept := t.part(ctx, p)
			mu.Lock()
			left += kept
			mu.Unlock()
		})
	}
	stopped := t.gateway.stop(ctx)
	closing.Wait()
	_ = t.client.Close(ctx) // its streams are closed, each with its report
	t.account(left, stopped)
	t.mu.Lock()
	t.end, t.phase = time.Now(), "ended"
	t.mu.Unlock()
}

// sendOff waits until what producers had queued is sent, and a moment for it to arrive: what is on its way when the gateway
// is done with all else stays with the producer. What came last still lingers in the gateway then.
func (t *trial) sendOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, producerStopTime)
	defer cancel()
	ctx, stop := t.whileUp(ctx)
	defer stop()
	for _, p := range t.producers {
		for p.stream.Err() == nil && p.stream.Stats().QueuedRecords > 0 && pause(ctx, 10*time.Millisecond) == nil {
			continue
		}
	}
	_ = pause(ctx, arrival)
}

// part closes a producer's stream, once the gateway has acked what it was sent, or is gone. It gives how many records stay
// with the producer and have not come.
func (t *trial) part(ctx context.Context, p *producer) int64 {
	ctx, stop := t.whileUp(ctx)
	defer stop()
	report, _ := p.stream.Close(ctx)
	return p.keep(t.cloud, report)
}

// whileUp gives a context that ends soon after the gateway has: there is time for its last words. It is to be stopped.
func (t *trial) whileUp(ctx context.Context) (up context.Context, stop func()) {
	up, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-t.gateway.done():
			_ = pause(up, step)
			cancel()
		case <-up.Done():
		}
	})
	return up, func() {
		cancel()
		watch.Wait()
	}
}

// account judges the whole of it. What was not acked is with the producers, who would send it elsewhere: it is counted, and
// no loss. What the gateway held and did not deliver, it owns up to when it ends.
func (t *trial) account(left int64, stopped error) {
	lost := max(0, t.losses(t.marks())-left)
	t.mu.Lock()
	t.lost, t.left = lost, left
	t.mu.Unlock()
	if stopped != nil {
		t.fail(fmt.Sprintf("the gateway ended with: %v", stopped))
	}
	for _, fault := range t.count().faults(t.ordered()) {
		t.fail(fault)
	}
}
