package engine

import (
	"container/list"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
)

// streamCharge is what the state of one known stream is charged, in bytes: the intake, its place in the directory, and a
// connection's session.
const streamCharge = 1 << 10

// forgetLook is how many of the least recently opened streams are looked at for one that can be forgotten.
const forgetLook = 64

// A directory knows the streams. It is capped: the least recently opened one that is neither connected nor owed an ack is
// forgotten for a new one.
type directory struct {
	limits Limits
	size   atomic.Int64 // of recent, to be read under an intake's lock

	mu      sync.Mutex // guards what follows; taken before an intake's
	byName  map[streamName]*list.Element
	recent  *list.List // of *intake, the most recently opened first
	tenants map[string]*Meter
}

func newDirectory(limits Limits) *directory {
	return &directory{
		limits: limits, byName: map[streamName]*list.Element{}, recent: list.New(), tenants: map[string]*Meter{},
	}
}

// find gives the intake of a stream, making it where it is new. It may be forgotten before the caller has locked it.
func (d *directory) find(e *Engine, o Open, unary bool) (*intake, *Error) {
	name := streamName{tenant: o.Tenant, id: o.StreamID}
	made := false
	if o.StreamID == "" {
		if unary {
			name.id, name.byTag = o.Tag, true
		} else {
			name.id, made = rand.Text(), true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if el := d.byName[name]; el != nil {
		d.recent.MoveToFront(el)
		return el.Value.(*intake), nil
	}
	if d.recent.Len() >= d.limits.Streams && !d.forgetOne() {
		return nil, &Error{
			Code: CodeResourceExhausted, Reason: "TOO_MANY_STREAMS", RetryAfter: maxWait,
			Msg: fmt.Sprintf("%d streams are open or owed an ack, which is the limit", d.limits.Streams),
		}
	}
	in := &intake{engine: e, name: name, tenant: d.tenant(o.Tenant), made: made, state: StateActive}
	d.byName[name] = d.recent.PushFront(in)
	d.size.Add(1)
	return in, nil
}

func (d *directory) tenant(name string) *Meter {
	m := d.tenants[name]
	if m == nil {
		m = NewMeter(d.limits.Tenant)
		d.tenants[name] = m
	}
	return m
}

// forgetOne makes room. The caller holds the lock.
func (d *directory) forgetOne() bool {
	el := d.recent.Back()
	for range forgetLook {
		if el == nil {
			return false
		}
		if d.drop(el) {
			return true
		}
		el = el.Prev()
	}
	return false
}

// forget drops a stream that nobody can come back to.
func (d *directory) forget(in *intake) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if el := d.byName[in.name]; el != nil && el.Value == in {
		d.drop(el)
	}
}

// drop removes a stream that is neither connected nor owed an ack. The caller holds the directory's lock.
func (d *directory) drop(el *list.Element) bool {
	in := el.Value.(*intake)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.session != nil || !in.atRest() || in.stream == nil {
		return false
	}
	in.unpause()
	in.forgotten = true
	d.recent.Remove(el)
	delete(d.byName, in.name)
	d.size.Add(-1)
	return true
}

func (d *directory) all() []*intake {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*intake, 0, d.recent.Len())
	for el := d.recent.Front(); el != nil; el = el.Next() {
		all = append(all, el.Value.(*intake))
	}
	return all
}

// tenantsHeld is what each tenant holds, in bytes.
func (d *directory) tenantsHeld() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make(map[string]int64, len(d.tenants))
	for name, m := range d.tenants {
		held[name] = m.Used()
	}
	return held
}

// charge is what the state of all known streams is charged, in bytes.
func (d *directory) charge() int64 { return d.size.Load() * streamCharge }
