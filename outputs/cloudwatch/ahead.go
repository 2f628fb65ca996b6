package cloudwatch

import "github.com/sluicelog/sluice/engine"

// bulk is how many full requests one Write carries under the sync scheduler, while so much waits. Between two of them no time
// is lost but the network's, so that the more there are the busier is AWS; and the longer do others wait for their turn.
const bulk = 4

// prepare loads and encodes the request that begins with the batch's record first.
func (o *Output) prepare(t target, b *engine.Batch, first int) (*load, error) {
	l := o.load(b, first, o.region(t.region).clock.now())
	if err := o.encode(t, l, l.request(l.events)); err != nil {
		o.unload(l)
		return nil, err
	}
	return l, nil
}

// encode makes the payload of events of the load, unless it is there.
func (o *Output) encode(t target, l *load, events []event) (err error) {
	if l.payload != nil || len(events) == 0 {
		return nil
	}
	if l.payload, err = o.payload(t, events); err != nil {
		return engine.Retryable(err)
	}
	return nil
}

// A preparation is a load that is being made while another is under way.
type preparation struct {
	done     chan struct{} // closed when what follows is there; nil: there is none
	load     *load
	panicked any
}

// ahead begins to prepare the load after l, if there is one that is worth a request of its own by the bytes that are left, as
// the engine measures, and that overtakes nothing. The caller waits for it.
func (o *Output) ahead(t target, b *engine.Batch, l *load, left int) *preparation {
	p := &preparation{}
	if len(l.passed) > 0 || !o.limits.fill(left, b.Records-l.next) {
		return p
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		defer func() { p.panicked = recover() }()
		p.load, _ = o.prepare(t, b, l.next)
	}()
	return p
}

// wait gives the load, or nil where there is none. A panic becomes the caller's; what could not be encoded is the next
// Write's to say.
func (p *preparation) wait() *load {
	if p.done == nil {
		return nil
	}
	<-p.done
	if p.panicked != nil {
		panic(p.panicked)
	}
	return p.load
}
