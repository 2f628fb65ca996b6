package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An Engine holds streams within their limits and delivers them. All its methods may be called concurrently.
type Engine struct {
	limits   Limits
	ceiling  int64 // of the engine, hard
	log      *slog.Logger
	observer Observer
	mute     bool

	slabs   SlabPool
	buffer  Buffer
	outputs []*delivery
	routes  routes
	streams *directory
	gathers *gatherer
	reviews *reviewer

	meter     *Meter       // what chunks occupy, until they are safe and out of memory
	sessions  atomic.Int64 // attached
	gathering atomic.Int64 // chunks that still take appends
	draining  atomic.Bool
	quiet     bell // rung when an output may have nothing left
	count     counters

	life    context.Context // of the loops, and of replays
	stop    context.CancelFunc
	loops   sync.WaitGroup
	replays replays
}

// New makes an engine and starts its loops; Close ends them. It takes the outputs over, also when it fails.
func New(o Options) (*Engine, error) { return newEngine(o, false) }

func newEngine(o Options, mute bool) (*Engine, error) {
	limits := o.Limits.withDefaults()
	e := &Engine{
		limits: limits, ceiling: limits.Chunks(),
		log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), observer: o.Observer, mute: mute,
		meter: NewMeter(limits.Engine), quiet: newBell(mute),
		gathers: &gatherer{delay: limits.GatherDelay, bell: newBell(mute)},
		reviews: &reviewer{bell: newBell(mute), every: maxWait, set: map[*intake]struct{}{}},
	}
	e.slabs.Budget = limits.Engine
	e.streams = newDirectory(limits)
	if err := e.wire(o); err != nil {
		return nil, errors.Join(err, closeOutputs(o.Outputs))
	}
	if r, ok := e.buffer.(Resumer); ok {
		e.streams.restore(e, r.Resumable())
	}
	if e.Durable() { // room is free when the buffer finds the time, and nobody rings then
		e.reviews.every = storageLook
	}
	ctx, stop := context.WithCancel(context.Background())
	e.life, e.stop = ctx, stop
	e.loops.Go(func() { e.gathers.run(ctx) })
	e.loops.Go(func() { e.reviews.run(ctx) })
	for _, d := range e.outputs {
		d.start()
	}
	return e, nil
}

// wire makes the deliveries, the routes and the buffer.
func (e *Engine) wire(o Options) error {
	if n := len(o.Outputs); n == 0 || n > MaxOutputs {
		return fmt.Errorf("%d outputs: there must be 1 to %d", n, MaxOutputs)
	}
	byName := map[string]*delivery{}
	var shares []BufferOutput
	for i := range o.Outputs {
		d := newDelivery(e, i, o.Outputs[i].withDefaults(e.limits.Engine, len(o.Outputs)))
		if byName[d.Name] != nil {
			return fmt.Errorf("two outputs are named %q", d.Name)
		}
		byName[d.Name] = d
		e.outputs = append(e.outputs, d)
		shares = append(shares, BufferOutput{
			Name: d.Name, Optional: d.DropOldest, Share: d.share, StartOldest: d.StartOldest,
			Takes: func(tag string) bool { return e.routes.outputs(tag).Has(i) },
		})
	}
	if err := e.link(byName, o.Routes); err != nil {
		return err
	}
	var err error
	if e.buffer, err = o.NewBuffer(shares); err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	for _, d := range e.outputs {
		if d.cursor, err = e.buffer.Cursor(d.Name); err != nil {
			return errors.Join(fmt.Errorf("output %q: open cursor: %w", d.Name, err), e.buffer.Close())
		}
		d.pinner, _ = d.cursor.(Pinner)
		d.ahead = newAhead(e, d.cursor, len(e.outputs), d.ReadBack)
	}
	return nil
}

// link finds the outputs that routes and dead letters name.
func (e *Engine) link(byName map[string]*delivery, rs []Route) error {
	for _, r := range rs {
		if err := CheckPattern(r.Match); err != nil {
			return fmt.Errorf("route: %w", err)
		}
		to := route{match: r.Match}
		for _, name := range r.Outputs {
			if byName[name] == nil {
				return fmt.Errorf("route %q: no output is named %q", r.Match, name)
			}
			to.outputs = to.outputs.With(byName[name].index)
		}
		e.routes = append(e.routes, to)
	}
	for _, d := range e.outputs {
		if d.DeadLetter == "" {
			continue
		}
		if d.dead = byName[d.DeadLetter]; d.dead == nil {
			return fmt.Errorf("output %q: dead_letter: no output is named %q", d.Name, d.DeadLetter)
		}
		if d.dead.DropOldest {
			return fmt.Errorf("output %q: dead_letter: output %q drops its oldest, and would drop dead letters", d.Name, d.DeadLetter)
		}
		next := d.dead
		for range byName { // a chain that is longer goes round
			if next = byName[next.DeadLetter]; next == nil {
				break
			}
		}
		if next != nil {
			return fmt.Errorf("output %q: dead_letter: its dead letters would go round in a cycle", d.Name)
		}
	}
	return nil
}

func closeOutputs(outputs []OutputOptions) error {
	var errs []error
	for _, o := range outputs {
		if c, ok := o.Output.(interface{ Close() error }); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// output gives an output by name.
func (e *Engine) output(name string) *delivery {
	i := slices.IndexFunc(e.outputs, func(d *delivery) bool { return d.Name == name })
	return e.outputs[i]
}

// Slabs is the pool that appends come in.
func (e *Engine) Slabs() *SlabPool { return &e.slabs }

// Limits are those in force, defaults filled in.
func (e *Engine) Limits() Limits { return e.limits }

// Durable reports whether an ack outlives the process.
func (e *Engine) Durable() bool { return e.buffer.Durable() }

// admissible says which outputs a producer's records go to, or why it is not let in.
func (e *Engine) admissible(o Open) (OutputSet, *Error) {
	if e.draining.Load() {
		return 0, draining()
	}
	outputs := e.routes.outputs(o.Tag)
	if outputs == 0 {
		return 0, &Error{
			Code: CodeFailedPrecondition, Field: "open.tag", Reason: "NO_ROUTE",
			Msg: fmt.Sprintf("no route takes tag %q", o.Tag),
		}
	}
	return outputs, nil
}

// find gives the stream's intake, locked, making it where it is new.
func (e *Engine) find(o Open, unary bool) (*intake, *Error) {
	for {
		in, err := e.streams.find(e, o, unary)
		if err != nil {
			return nil, err
		}
		in.mu.Lock()
		switch {
		case in.forgotten:
			in.mu.Unlock()
		case e.draining.Load(): // since admissible looked: this stream may have come too late for Drain to see it
			in.mu.Unlock()
			return nil, draining()
		default:
			return in, nil
		}
	}
}

func stopped() *Error {
	return &Error{Code: CodeUnavailable, Reason: "STOPPED", RetryAfter: time.Second, Msg: "the gateway stopped"}
}

func draining() *Error {
	return &Error{Code: CodeUnavailable, Reason: "DRAINING", RetryAfter: time.Second, Msg: "the gateway is going away"}
}

func (e *Engine) forget(in *intake) { e.streams.forget(in) }

// refuse counts what a producer is refused.
func (e *Engine) refuse(err *Error) error {
	e.count.refused[err.Code].Add(1)
	return err
}

// free is what the engine has left below its limit: the memory of chunks and the state of streams are taken off.
func (e *Engine) free() int64 { return e.meter.Free() - e.streams.charge() }

// freeChunk uncharges a chunk whose last reference is gone, and takes its slab back.
func (e *Engine) freeChunk(c *Chunk) {
	e.meter.Add(-c.Charge())
	c.Stream.meter.Add(-int64(len(c.Data)))
	e.slabs.Put(c.slab)
	e.reviews.poke()
}

// Drain takes no new streams, tells all that are there, and ends all lingering and backing off. It returns nil once
// nothing is left to deliver, or ctx's error. Sessions may go on sending meanwhile.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)
	for _, in := range e.streams.all() {
		in.drain()
	}
	for _, d := range e.outputs {
		d.box.drain()
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for !e.atRest() {
		timer.Reset(maxWait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.quiet.c:
		case <-timer.C:
		}
	}
	return nil
}

func (e *Engine) atRest() bool {
	if e.gathering.Load() != 0 {
		return false
	}
	return !slices.ContainsFunc(e.outputs, func(d *delivery) bool { return d.cursor.Backlog().Chunks > 0 })
}

// Close ends all sessions and loops: writes that fly are cancelled and waited for until ctx ends. Then it closes the outputs and
// the buffer, and says exactly what was not delivered. A write that has not returned, and a buffer that does not close, is told as
// an error.
func (e *Engine) Close(ctx context.Context) ([]Undelivered, error) {
	e.draining.Store(true)
	for _, in := range e.streams.all() {
		in.stop()
	}
	e.stop()
	e.loops.Wait()
	var left []Undelivered
	errs := []error{e.replays.close(ctx)} // the store that they take letters out of is an output
	for _, d := range e.outputs {
		d.cancel()
	}
	for _, d := range e.outputs {
		errs = append(errs, d.wait(ctx))
	}
	for _, d := range e.outputs { // now that no dead letter of theirs lands any more
		left = append(left, d.undelivered()...)
	}
	errs = append(errs, e.closeBuffer(ctx))
	if e.Durable() {
		left = e.unstored(left)
	}
	for _, in := range e.streams.all() { // now that the last acks are in
		in.end(stopped())
	}
	return left, errors.Join(errs...)
}

// bufferClose is how long the buffer may take to close beyond all deadlines: to sync what it has.
const bufferClose = 2 * time.Second

// closeBuffer closes the buffer, and waits for that until ctx ends and bufferClose longer: a disk may hang.
func (e *Engine) closeBuffer(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- e.buffer.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	more := time.NewTimer(bufferClose)
	defer more.Stop()
	select {
	case err := <-closed:
		return err
	case <-more.C:
		return fmt.Errorf("the buffer does not close: %w", ctx.Err())
	}
}

// unstored tells what a durable buffer had not stored when it was closed, and takes it off what it keeps for the outputs.
func (e *Engine) unstored(kept []Undelivered) (left []Undelivered) {
	for _, in := range e.streams.all() {
		in.mu.Lock()
		u := Undelivered{Stream: in.stream}
		for p := range in.ledger.all() {
			if p.safe {
				continue
			}
			u.Records += p.records
			for i := range p.outputs.All() {
				kept[i].Records -= p.records
			}
		}
		in.mu.Unlock()
		if u.Records > 0 {
			left = append(left, u)
		}
	}
	sortByStream(left)
	return append(left, slices.DeleteFunc(kept, func(u Undelivered) bool { return u.Records <= 0 })...)
}
