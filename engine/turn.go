package engine

import (
	"context"
	"errors"
	"time"
)

// A turn is what a batch stands by for: the end of the flight before it.
type turn struct {
	cancel context.CancelCauseFunc // ends its Write
	early  *landing                // its Write returned before its turn, which may not come any more

	come     chan struct{} // closed when it is its turn, and what follows is there
	at       time.Time
	deadline time.Time   // of its Write
	guard    *time.Timer // ends its Write after the deadline, should it not keep to it
}

var errCalledOff = errors.New("the batch before it was not delivered whole")

// grace is how much later than at its deadline a Write is ended that had to wait for its turn, and does not go by the context
// that it got there. That one says itself that time ran out.
const grace = 100 * time.Millisecond

// Turn waits until the batch may be sent, and gives the context to send it with, which ends at the Write's deadline: that of
// a batch which had to wait counts from its turn. Only then are its Attempt and First there to be read. An output that calls
// Sent calls it in front of whatever leaves the process for a batch, as often as it likes, and returns soon where it fails. It
// may be called concurrently, but not when Write has returned.
func (b *Batch) Turn(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if b.turn == nil {
		return ctx, func() {}, ctx.Err()
	}
	select {
	case <-b.turn.come:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, b.turn.deadline)
	if ctx.Err() != nil {
		cancel()
		return nil, nil, context.Cause(ctx)
	}
	return ctx, cancel, nil
}

func (t *turn) hasCome() bool {
	select {
	case <-t.come:
		return true
	default:
		return false
	}
}

// Sent says that the batch has left the process, and that nothing is to be done but to wait for the answer: from now on the
// batch that flies after this one may be prepared, in a Write of its own, so that the destination need not wait for that. It
// may be called more than once, concurrently, and when it is too late.
func (b *Batch) Sent() {
	if b.sent != nil {
		b.sent(b)
	}
}

// sent notes that a batch is sent, unless it has landed since.
func (d *delivery) sent(b *Batch) {
	if _, ok := d.aloft[b]; ok {
		d.aloft[b] = true
	}
}

// standBy has a batch prepared for each one that is sent, where there is one. Of those that were called off some may not have
// returned: with these there are never more than twice as many Writes as may fly.
func (d *delivery) standBy(now time.Time) {
	if d.misfit {
		return
	}
	_, limit := d.Scheduler.InFlight()
	for b, sent := range d.aloft {
		if !sent || b.follower != nil || d.airborne >= 2*limit || d.laden() {
			continue
		}
		if f := d.Scheduler.Follow(now, b); f != nil && d.parked[f.Key] != nil {
			d.putBack(now, f)
		} else if f != nil {
			b.follower = f
			d.prepare(f)
		}
	}
}

// prepare starts the Write of a batch that stands by.
func (d *delivery) prepare(f *Batch) {
	ctx, cancel := context.WithCancelCause(d.flights)
	f.turn, f.sent = &turn{cancel: cancel, come: make(chan struct{})}, d.box.sent
	d.takeOff(f)
	go func() {
		defer cancel(nil)
		d.box.land(d.write(ctx, f))
	}()
}

// letGo says that it is the turn of what stood by, unless the scheduler has it otherwise, or the engine closes. It reports whether
// that leaves now.
func (d *delivery) letGo(now time.Time, f *Batch) bool {
	if d.flights.Err() != nil || !d.Scheduler.Launch(now, f) {
		d.callOff(now, f)
		return false
	}
	t := f.turn
	t.at, t.deadline = time.Now(), now.Add(d.FlushTimeout) // the round began before the landing that it waited for
	d.depart(now, t.deadline, f)
	if t.early != nil {
		close(t.come)
		d.land(now, t.early)
		return false
	}
	t.guard = time.AfterFunc(d.FlushTimeout+grace, func() { t.cancel(context.DeadlineExceeded) })
	close(t.come)
	return true
}

// standIn gives slots that are free to what stands by for want of one, the oldest first: the flight that it was to follow may
// last for long yet.
func (d *delivery) standIn(now time.Time) {
	for {
		flying, limit := d.Scheduler.InFlight()
		b := d.oldestCrowdedOut()
		if b == nil || flying >= limit {
			return
		}
		f := b.follower
		b.follower = nil
		d.letGo(now, f)
	}
}

// oldestCrowdedOut is the batch that flies for whose end the oldest waits of those that have to wait for no key; nil: nobody
// does.
func (d *delivery) oldestCrowdedOut() *Batch {
	var first *Batch
	for b := range d.aloft {
		if f := b.follower; f != nil && f.Key != b.Key && (first == nil || f.Arrived.Before(first.follower.Arrived)) {
			first = b
		}
	}
	return first
}

// callOff ends what stood by. All of it waits again.
func (d *delivery) callOff(now time.Time, f *Batch) {
	f.turn.cancel(errCalledOff)
	d.putBack(now, f)
}

// putBack has a batch that did not fly wait again.
func (d *delivery) putBack(now time.Time, b *Batch) {
	d.Scheduler.Done(now, b, Result{Back: b.Spans, Unflown: true})
}
