package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// A delivery is one output's loop. It owns the scheduler, the retries, the parked keys and the goroutines of its writes;
// nothing that happens to one output is felt by another.
type delivery struct {
	OutputOptions
	engine *Engine
	index  int
	share  *Meter
	dead   *delivery // its dead-letter output; nil
	cursor Cursor
	pinner Pinner // the cursor, where the buffer's room is free again by pieces; nil
	ahead  *ahead
	cutter cutter
	box    mailbox

	idle atomic.Bool // it has nothing to do: an append need not gather for it. Used up by one append.

	flights context.Context // of the writes
	cancel  context.CancelFunc
	abandon chan struct{} // closed when Close waits no longer
	done    chan struct{} // closed when the loop has ended

	// The loop alone touches what follows.
	airborne                              int             // writes that have not returned
	pinned                                int64           // what their chunks take
	aloft                                 map[*Batch]bool // what flies, and whether it is sent
	misfit                                bool            // the last that landed did not fit: one that stood by would have been called off
	untold                                [][]Span        // delivered, and not told yet
	tellAt                                time.Time       // when it is
	unread                                []Span          // dead letters that could not be read when they came
	parked                                map[string]*parking
	draining                              bool
	dropped                               map[string]int64  // records by reason, not yet told
	interred                              map[refusal]int64 // records of other outputs that are dead letters of this one, not yet told
	toldRefused, toldFailure, toldSuccess time.Time
	lookedAtParked                        time.Time

	books *books
}

func newDelivery(e *Engine, index int, o OutputOptions) *delivery {
	d := &delivery{
		OutputOptions: o, engine: e, index: index, share: NewMeter(o.Share),
		box: mailbox{bell: newBell(e.mute)}, cutter: newCutter(o.Output), parked: map[string]*parking{},
		dropped: map[string]int64{}, interred: map[refusal]int64{},
		abandon: make(chan struct{}), done: make(chan struct{}), aloft: map[*Batch]bool{},
		books: newBooks(o.Name),
	}
	d.flights, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *delivery) start() { go d.run() }

// run is the loop. Each round it takes its mail, reads ahead, and lets fly what may.
func (d *delivery) run() {
	defer close(d.done)
	defer d.tellRefused()
	defer d.tell()
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for {
		timer.Reset(d.round(time.Now()))
		if d.flights.Err() != nil && d.airborne == 0 {
			return
		}
		select {
		case <-d.cursor.Wake():
		case <-d.box.bell.c:
		case <-timer.C:
		case <-d.stopping():
		case <-d.abandon:
			return
		}
	}
}

// stopping ends the wait when the engine closes; once that is known, only landings matter.
func (d *delivery) stopping() <-chan struct{} {
	if d.flights.Err() != nil {
		return nil
	}
	return d.flights.Done()
}

// round does what there is to do and says how long until there may be more. The mail is taken before reading and read after
// it: a stream was hurried after its chunks were appended, so those are in the scheduler when it is told.
func (d *delivery) round(now time.Time) time.Duration {
	m := d.box.take()
	for _, l := range m.landed {
		d.arrive(now, l)
	}
	if !now.Before(d.tellAt) || d.flights.Err() != nil {
		d.tell()
	}
	if d.flights.Err() != nil {
		return maxWait
	}
	for _, b := range m.sent {
		d.sent(b)
	}
	more := d.read(now)
	d.accept(now, m.dead)
	for s := range m.hurried {
		d.Scheduler.Hurry(now, s)
	}
	if m.drain {
		d.draining = true
		d.Scheduler.Drain(now)
	}
	d.evict(now)
	wait := d.launch(now)
	d.forgetParked(now)
	d.settleIdle(now)
	d.reportRefused(now)
	if len(d.untold) > 0 {
		wait = min(wait, d.tellAt.Sub(now))
	}
	if more && d.wantsMore() {
		wait = 0
	}
	return wait
}

// read cuts what the cursor has into spans, and reports whether it may have more.
func (d *delivery) read(now time.Time) (more bool) {
	for n := 0; d.wantsMore() && !d.ahead.pauses(n); n++ {
		p, c, ok := d.cursor.Next()
		if !ok {
			return false
		}
		d.books.owe(c.Stream, int64(p.Records.Len()))
		d.cut(now, uncut(d.cursor, p, c), c)
		c.Release()
	}
	return true
}

// wantsMore reports whether to read on. What is over the share is read to be dropped.
func (d *delivery) wantsMore() bool { return d.overShare() || d.ahead.more(d.Scheduler.Waiting()) }

// cut adds a span by the output's keys. Where the output panics when it is asked for them, or to measure, it can never take
// these records: they are refused, as by a Write that panics.
func (d *delivery) cut(now time.Time, whole Span, c *Chunk) {
	for _, s := range d.keyed(now, whole, c) {
		d.add(now, s)
	}
}

func (d *delivery) keyed(now time.Time, whole Span, c *Chunk) (spans []Span) {
	defer func() {
		if v := recover(); v != nil {
			d.engine.log.Error("output panicked", "output", d.Name, "panic", v, "stack", string(debug.Stack()))
			d.reject([]Span{whole}, DeadLetter{Reason: "panic", Message: fmt.Sprintf("no key or size: %v", v), First: now, Last: now})
			spans = nil
		}
	}()
	return d.cutter.cut(whole, c)
}

// add gives a span to the scheduler, or to the dead letters while its key is parked for too long.
func (d *delivery) add(now time.Time, s Span) {
	if p := d.parked[s.Key]; p != nil && p.diverts(now) {
		d.reject([]Span{s}, p.deadLetter(now))
		return
	}
	d.Scheduler.Add(now, s)
}

// accept takes the dead letters of other outputs. Their bytes are wire bytes again, pro rata: the output that they come from
// may have measured them its own way.
// One that cannot be read at the moment keeps its turn, and those behind it theirs.
func (d *delivery) accept(now time.Time, dead []Span) {
	dead = append(d.unread, dead...)
	d.unread = nil
	for i, s := range dead {
		c, err := s.Cursor.Load(d.flights, s.Pos)
		if errors.Is(err, ErrLost) {
			d.drop([]Span{s}, "lost")
			continue
		} else if err != nil {
			d.engine.log.Warn("a dead letter cannot be read yet", "output", d.Name, "stream", s.Stream.ID, "err", err)
			d.unread = slices.Clone(dead[i:])
			return
		}
		s.Bytes = bytesOf(c, s.Records)
		d.cut(now, s, c)
		c.Release()
	}
}

// launch lets fly what the scheduler says.
func (d *delivery) launch(now time.Time) time.Duration {
	for {
		if d.laden() {
			return maxWait // until one lands
		}
		b, wait := d.Scheduler.Next(now)
		if b == nil {
			d.standBy(now)
			if wait < 0 || wait > maxWait {
				wait = maxWait
			}
			return wait
		}
		if p := d.parked[b.Key]; p != nil && p.holds(now) && !d.draining {
			d.holdBack(now, b, p)
			continue
		}
		d.fly(now, b)
	}
}

// settleIdle says whether the next append may come at once: nothing waits, backs off or lingers, and a slot is free.
func (d *delivery) settleIdle(now time.Time) {
	flying, limit := d.Scheduler.InFlight()
	waiting := d.Scheduler.Waiting()
	d.idle.Store(d.Linger == 0 && waiting == 0 && flying < limit)
	d.ahead.starving = flying < limit && !d.laden()
	d.books.state(now, flying, limit, waiting, len(d.parked))
}

func (d *delivery) overShare() bool { return d.DropOldest && d.shareUsed() > d.share.Limit() }

// evict drops the oldest of what does not fly while the output is over its share, if it is one that drops.
func (d *delivery) evict(now time.Time) {
	if d.overShare() {
		d.tell() // it may be all
	}
	for d.overShare() {
		spans := d.Scheduler.Evict(now)
		if len(spans) == 0 {
			return
		}
		d.drop(spans, "drop_oldest")
	}
}

// wait waits for the loop, then closes the output. It gives up when ctx ends, and says which write has not returned: its
// output stays open.
func (d *delivery) wait(ctx context.Context) error {
	select {
	case <-d.done:
	case <-ctx.Done():
		close(d.abandon)
		<-d.done
	}
	if d.airborne > 0 {
		return fmt.Errorf("output %q: %d writes have not returned: %w", d.Name, d.airborne, ctx.Err())
	}
	if c, ok := d.Output.(interface{ Close() error }); ok {
		if err := c.Close(); err != nil {
			return fmt.Errorf("output %q: close: %w", d.Name, err)
		}
	}
	return nil
}

// undelivered is told after the loop has ended.
func (d *delivery) undelivered() []Undelivered {
	if d.engine.Durable() {
		return []Undelivered{{Output: d.Name, Records: d.cursor.Backlog().Records, Kept: true}}
	}
	for {
		p, c, ok := d.cursor.Next()
		if !ok {
			return d.books.owed()
		}
		d.books.owe(c.Stream, int64(p.Records.Len()))
		c.Release()
	}
}
