package engine

import (
	"container/list"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
)

// streamCharge is what the state of one known stream is charged, in bytes: the intake, its place in the directory, and a
// connection's session. Its resource comes on top.
const streamCharge = 1 << 10

// resourcePart is the part of the engine's limit, as a divisor, that the resources of known streams may take: the engine's
// ceiling does not cover them.
const resourcePart = 8

// forgetLook is how many streams that are owed an ack are looked at, at most, for one that can be forgotten.
const forgetLook = 64

// A directory knows the streams. It is capped: of those that are not connected, the least recently used one that is not owed
// an ack is forgotten for a new one.
type directory struct {
	limits    Limits
	size      atomic.Int64 // how many are known, to be read under an intake's lock
	resources atomic.Int64 // bytes of what they keep of their producers' resources

	mu      sync.Mutex // guards what follows; taken before an intake's
	byName  map[streamName]*intake
	away    *list.List // of *intake: not connected; the most recently used first
	tenants map[string]*Meter
}

func newDirectory(limits Limits) *directory {
	return &directory{
		limits: limits, byName: map[streamName]*intake{}, tenants: map[string]*Meter{}, away: list.New(),
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
	// The stream itself may be forgotten here, which is as well: it is looked up afterwards.
	for d.byName[name] == nil && len(d.byName) >= d.limits.Streams || len(o.Resource) > 0 && d.resources.Load() > d.limits.Resources() {
		if !d.forgetOne() {
			return nil, d.crowded()
		}
	}
	if in := d.byName[name]; in != nil {
		d.use(in, unary)
		return in, nil
	}
	in := &intake{engine: e, name: name, tenant: d.tenant(o.Tenant), made: made && o.Epoch == 0, state: StateActive}
	d.byName[name] = in
	d.use(in, unary)
	d.size.Add(1)
	return in, nil
}

func (d *directory) crowded() *Error {
	return &Error{
		Code: CodeResourceExhausted, Reason: "TOO_MANY_STREAMS", RetryAfter: maxWait,
		Msg: fmt.Sprintf("%d streams are connected or owed an ack, with %d bytes of resources; the limits are %d and %d",
			len(d.byName), d.resources.Load(), d.limits.Streams, d.limits.Resources()),
	}
}

// use makes a stream the most recently used one of those that are not connected, or takes it off their list for a
// connection. The caller holds the lock.
func (d *directory) use(in *intake, away bool) {
	d.unlist(in)
	if away {
		in.place = d.away.PushFront(in)
	}
}

func (d *directory) unlist(in *intake) {
	if in.place != nil {
		d.away.Remove(in.place)
		in.place = nil
	}
}

// left says that a stream's connection has gone, or was not taken. Where another has the stream by now, that is found out
// when its turn comes to be forgotten.
func (d *directory) left(in *intake) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byName[in.name] == in {
		d.use(in, true)
	}
}

// tenantOf is tenant for who does not hold the lock.
func (d *directory) tenantOf(name string) *Meter {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tenant(name)
}

// tenant gives the tenant's meter. The caller holds the lock.
func (d *directory) tenant(name string) *Meter {
	m := d.tenants[name]
	if m == nil {
		m = NewMeter(d.limits.Tenant)
		d.tenants[name] = m
	}
	return m
}

// forgetOne makes room. What cannot be forgotten is out of the way the next time. The caller holds the lock.
func (d *directory) forgetOne() bool {
	for owed := 0; owed < min(forgetLook, d.away.Len()); {
		el := d.away.Back()
		in := el.Value.(*intake)
		connected, dropped := d.drop(in)
		switch {
		case dropped:
			return true
		case connected:
			d.unlist(in)
		default:
			owed++
			d.away.MoveToFront(el)
		}
	}
	return false
}

// forget drops a stream that nobody can come back to.
func (d *directory) forget(in *intake) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byName[in.name] == in {
		d.drop(in)
	}
}

// drop removes a stream that is neither connected nor owed an ack. The caller holds the directory's lock.
func (d *directory) drop(in *intake) (connected, dropped bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.session != nil || !in.atRest() {
		return in.session != nil, false
	}
	in.forgotten = true
	d.resources.Add(-int64(len(in.resource)))
	d.unlist(in)
	delete(d.byName, in.name)
	d.size.Add(-1)
	return false, true
}

func (d *directory) all() []*intake {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*intake, 0, len(d.byName))
	for _, in := range d.byName {
		all = append(all, in)
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
func (d *directory) charge() int64 { return d.size.Load()*streamCharge + d.resources.Load() }
