package engine

import (
	"fmt"
	"time"
)

// hasRoom reports whether the stream is read at all: up to its ceiling, which moves with the effective limit, and up to that of
// what is stored. Nothing is refused there; a producer that goes on is held by HTTP/2. A stream that holds nothing is always let
// in, as long as there is room to store.
func (in *intake) hasRoom() bool {
	if in.fullness(in.outputs).over() {
		return false
	}
	if in.held == 0 {
		return true
	}
	limit, _ := in.effective()
	l := &in.engine.limits
	return float64(in.held) < float64(limit)*float64(l.Ceiling)/float64(l.Stream)
}

// reservation is the most that admitting an append can charge to the engine: the append's own slab, or the growth of the
// chunk that is gathering, which doubles; and a chunk of its own around every record that is refused. Each has the resource, of
// so many bytes.
func (in *intake) reservation(a *Append, resource int) int64 {
	overhead := chunkOverhead + int64(resource)
	if in.whole(a, len(a.Data)) && (a.First == 0 || a.First == in.next) {
		return int64(cap(a.Slab.B)) + overhead
	}
	least := 1<<minSlabShift + overhead
	most := 2*int64(cap(a.Slab.B)) + least*int64(1+len(a.Faults))
	if in.gather != nil {
		most += int64(cap(in.gather.slab.B))
	}
	return most
}

// overhead is what a chunk of the stream is charged besides its slab.
func (in *intake) overhead() int64 { return chunkOverhead + int64(len(in.resource)) }

// checkGap refuses an append that leaves sequences out.
func (in *intake) checkGap(a *Append) *Error {
	if a.First <= in.next {
		return nil
	}
	return &Error{
		Code: CodeFailedPrecondition, Field: "append.first_sequence", Reason: "SEQUENCE_GAP",
		Msg: fmt.Sprintf("expected %d, got %d: %d records are missing", in.next, a.First, a.First-in.next),
	}
}

// admit takes an append for which hasRoom has said yes, and the engine's meter took its reservation. It takes the slab over. The caller holds the lock.
// What it charges is settled against what was reserved.
func (in *intake) admit(a *Append, reserved int64) {
	e := in.engine
	ad := admission{in: in, a: a, now: time.Now()}
	skip := 0
	if a.First != 0 && a.First < in.next {
		skip = int(min(in.next-a.First, uint64(a.Count)))
		e.count.repeated.Add(int64(skip))
	}
	ad.take(skip)
	if !ad.slabTaken {
		e.slabs.Put(a.Slab)
	}
	e.meter.Add(ad.charged - reserved)
	e.reviews.poke() // what was reserved beyond it may have been refused to another
	if a.Flush {
		in.flush()
	} else if in.gather != nil && (in.stream.Urgent() || in.anyIdle()) {
		in.seal(false)
	}
	in.judge()
}

// flush lets all that came so far go without linger.
func (in *intake) flush() {
	in.flushed = in.next - 1
	in.seal(true)
	in.press() // all of it may be acked already
	in.post()
}

// anyIdle reports whether an output of the stream has nothing to do; that is used up by one append.
func (in *intake) anyIdle() bool {
	idle := false
	for i := range in.outputs.All() {
		d := in.engine.outputs[i]
		if d.idle.Load() && d.idle.CompareAndSwap(true, false) {
			idle = true
		}
	}
	return idle
}

// An admission is one append on its way in.
type admission struct {
	in        *intake
	a         *Append
	now       time.Time
	charged   int64
	slabTaken bool
}

// take admits all records but the first skip ones, cut into runs where a record is refused.
func (ad *admission) take(skip int) {
	data, from, offset := ad.a.Data, 0, 0
	for range skip {
		_, rest := nextRecord(data[offset:])
		offset = len(data) - len(rest)
	}
	from = skip
	for i := range ad.a.Faults {
		f := &ad.a.Faults[i]
		if f.Index < skip {
			continue
		}
		ad.run(f.Index-from, data[offset:f.From])
		ad.reject(f)
		from, offset = f.Index+1, f.To
	}
	ad.run(ad.a.Count-from, data[offset:])
}

// run admits records without faults.
func (ad *admission) run(count int, data []byte) {
	if count == 0 {
		return
	}
	in, e := ad.in, ad.in.engine
	e.count.records.Add(int64(count))
	e.count.bytes.Add(int64(len(data)))
	in.tenant.Add(int64(len(data)))
	in.held += int64(len(data))
	first := in.next
	in.next += uint64(count)
	if in.whole(ad.a, len(data)) {
		in.seal(false)
		ad.slabTaken = true
		ad.charged += int64(cap(ad.a.Slab.B)) + in.overhead()
		in.push(&gathering{slab: ad.a.Slab, first: first, count: count, arrived: ad.now}, data, false)
		return
	}
	ad.gather(first, count, data)
}

// whole reports whether the append's own slab becomes the chunk, for n bytes of its records: they are enough not to gather,
// and fill the slab at least half.
func (in *intake) whole(a *Append, n int) bool {
	return len(a.Faults) == 0 && 4*n >= in.engine.limits.GatherBytes && 2*n >= cap(a.Slab.B)
}

// gather copies a small run to the stream's open chunk.
func (ad *admission) gather(first uint64, count int, data []byte) {
	in, e := ad.in, ad.in.engine
	if g := in.gather; g != nil && len(g.slab.B)+len(data) > e.limits.GatherBytes {
		in.seal(false)
	}
	g := in.gather
	if g == nil {
		g = &gathering{slab: e.slabs.Get(len(data)), first: first, arrived: ad.now}
		ad.charged += int64(cap(g.slab.B)) + in.overhead()
		in.gather = g
		e.gathering.Add(1)
		e.gathers.add(in, g)
	}
	if need := len(g.slab.B) + len(data); need > cap(g.slab.B) {
		grown := e.slabs.Get(need)
		grown.B = append(grown.B, g.slab.B...)
		ad.charged += int64(cap(grown.B) - cap(g.slab.B))
		e.slabs.Put(g.slab)
		g.slab = grown
	}
	g.slab.B = append(g.slab.B, data...)
	g.count += count
	if len(g.slab.B) >= e.limits.GatherBytes {
		in.seal(false)
	}
}

// reject refuses one record: it consumes its sequence and cuts the chunk.
func (ad *admission) reject(f *Fault) {
	in := ad.in
	in.seal(false)
	in.engine.count.rejected[f.Err.Code].Add(1)
	sequence := in.next
	in.next++
	in.rejected = addRejection(in.rejected, Rejection{
		First: sequence, Last: sequence, Count: 1, Code: f.Err.Code,
		Message: fmt.Sprintf("record %d: %s", f.Index, f.Err.Error()),
	})
	in.settle(&pending{in: in, epoch: in.epoch, last: sequence, records: 1, safe: true})
	in.tell()
}

// sealIf seals the chunk that is gathering, if it is still this one.
func (in *intake) sealIf(g *gathering) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gather == g {
		in.seal(false)
	}
}

// seal hands the gathering chunk, if there is one, to the buffer.
func (in *intake) seal(urgent bool) {
	g := in.gather
	if g == nil {
		return
	}
	in.gather = nil
	in.push(g, g.slab.B, urgent)
	in.engine.gathering.Add(-1)
}

// push appends a chunk to the buffer and puts it in the line for its ack.
func (in *intake) push(g *gathering, data []byte, urgent bool) {
	e := in.engine
	c := &Chunk{
		Stream: in.stream, Epoch: in.epoch,
		First: g.first, Last: g.first + uint64(g.count) - 1, Count: g.count,
		Outputs: in.outputs, Resource: in.resource, Data: data, Arrived: g.arrived, Urgent: urgent,
		Resumable: !in.naive,
	}
	c.Own(g.slab, e.freeChunk)
	p := &pending{in: in, epoch: in.epoch, last: c.Last, records: int64(c.Count), bytes: int64(len(data)), outputs: c.Outputs}
	in.ledger.push(p)
	safe, err := e.buffer.Append([]*Chunk{c}, p.isSafe)
	if err != nil {
		// A buffer that was closed, which it is after the last stream was stopped; or a chunk that is larger than the buffer takes,
		// which the config's checks rule out. It is not acked, and stays held: its producer has it still.
		e.log.Error("append to buffer", "stream", in.stream.ID, "records", g.count, "err", err)
		return
	}
	if safe {
		p.safe = true
		in.ack()
	}
}
