package engine

// A Resumption is what a durable buffer knows of a stream from before the process started, so that a producer that comes back in
// the same epoch goes on where it was: what it sends again of what is stored is recognised.
type Resumption struct {
	Tenant, StreamID, Tag string
	Epoch, Acked          uint64 // all up to this sequence is stored
}

// A Resumer is a buffer that knows streams from before. Resumable gives them, the one that was seen last first.
type Resumer interface{ Resumable() []Resumption }

// restore makes the streams known again, as if their connections had just gone. Where there are more than may be known those are
// left out that were seen longest ago.
func (d *directory) restore(e *Engine, known []Resumption) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range known[:min(len(known), d.limits.Streams)] {
		in := &intake{
			engine: e, name: streamName{tenant: r.Tenant, id: r.StreamID}, tenant: d.tenant(r.Tenant), state: StateActive,
			epoch: r.Epoch, next: r.Acked + 1, acked: r.Acked,
		}
		in.stream = &Stream{Tenant: r.Tenant, ID: r.StreamID, Tag: r.Tag, meter: in.tenant}
		d.byName[in.name] = in
		in.place = d.away.PushBack(in)
		d.size.Add(1)
	}
}
