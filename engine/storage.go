package engine

import "time"

// A Storer is a buffer that has a room of its own, apart from memory. Its methods may be called concurrently, and with the
// stream's lock held.
type Storer interface {
	// Storage is how many bytes of the room are in use, and how many there are; a limit of 0 is no bound.
	Storage() (used, limit int64)
	// Stored is how many bytes, as charged, of a stream and of all streams of its tenant lie there and are still needed.
	Stored(tenant, stream string) (ofStream, ofTenant int64)
}

// A Durability says what an ack outlives. Its values are the wire's.
type Durability int

// From least to most.
const (
	DurabilityMemory  Durability = 1 + iota // delivered, or lost with the process
	DurabilityProcess                       // stored, and not synced: the machine may lose what was acked last
	DurabilityMachine                       // synced
)

// A Syncer is a durable buffer that may be told not to sync what it calls safe. Synced reports whether it does.
type Syncer interface{ Synced() bool }

// Durability is what an ack of this engine outlives.
func (e *Engine) Durability() Durability {
	if !e.Durable() {
		return DurabilityMemory
	}
	if s, ok := e.buffer.(Syncer); ok && !s.Synced() {
		return DurabilityProcess
	}
	return DurabilityMachine
}

// A Failer is a buffer that may not be able to do its work for a while. Its method may be called concurrently.
type Failer interface{ Failing() []Failure }

// A Keeper is a buffer that keeps what outputs need that are not configured any more, until they are again or are forgotten. Its
// method may be called concurrently.
type Keeper interface {
	// Absent gives those outputs that need something, and how many bytes of the room are kept for them alone.
	Absent() (outputs []AbsentStats, stored int64)
}

// bufferStats asks the buffer how it fares.
func (e *Engine) bufferStats() BufferStats {
	st := BufferStats{Durable: e.Durable()}
	if s, ok := e.buffer.(Storer); ok {
		st.Stored, st.Room = s.Storage()
	}
	if f, ok := e.buffer.(Failer); ok {
		st.Failing = f.Failing()
	}
	if k, ok := e.buffer.(Keeper); ok {
		st.Absent, st.AbsentStored = k.Absent()
	}
	return st
}

// storageFactor is how many times what is free of the room a stream may have there, and a tenant: N that want more settle at equal
// parts, and leave a part of 1/(1+8N) to those that want less. A single one gets eight ninths.
const storageFactor = 8

// storageLook is how often streams are looked at that wait for room in a durable buffer.
const storageLook = time.Second

// A fullness is the part in use of the room that a durable buffer has for a stream's records: 1 or more is full. In memory it is 0:
// there shares move the limits.
type fullness struct {
	hard float64 // of all of the room, of the share of the fullest output that blocks, or of what the stream or its tenant may have
	fair float64 // of what the stream, or its tenant, may have of what is left
}

func (f fullness) full() bool { return f.hard >= 1 || f.fair >= 1 }

// over reports whether it is so full that the stream is not read.
func (f fullness) over() bool { return f.hard >= engineCeiling || f.fair >= engineCeiling }

// eased reports whether a stream that this paused may go on: what paused it has room again, up to a part, and the other some.
func (f fullness) eased(fair bool, resumeAt float64) bool {
	if fair {
		return f.fair <= resumeAt && f.hard < 1
	}
	return f.hard <= resumeAt && f.fair < 1
}

// fullness is that for the stream's records to these outputs. A stream holds next to nothing in memory, as it is acked when the disk
// has it; so no limit on what it holds would keep it from filling the disk.
func (in *intake) fullness(outputs OutputSet) (f fullness) {
	e := in.engine
	if !e.buffer.Durable() {
		return f
	}
	free := int64(1 << 60)
	tighten := func(used, limit int64) {
		f.hard, free = max(f.hard, portion(used, limit)), min(free, limit-used)
	}
	s, storer := e.buffer.(Storer)
	if storer {
		if used, limit := s.Storage(); limit > 0 {
			tighten(used, limit)
		}
	}
	room := free
	for i := range outputs.All() {
		if d := e.outputs[i]; !d.DropOldest {
			tighten(d.shareUsed(), d.share.Limit())
		}
	}
	if !storer {
		return f
	}
	stream, tenant := s.Stored(in.name.tenant, in.name.id)
	if limit := e.limits.StoredStream; limit > 0 {
		f.hard = max(f.hard, portion(stream, limit))
	}
	if limit := e.limits.StoredTenant; limit > 0 {
		f.hard = max(f.hard, portion(tenant, limit))
	}
	if stream > minEffective { // whoever has little is not paused for others, as long as there is room at all
		f.fair = max(portion(stream, storageFactor*max(free, 1)), portion(tenant, storageFactor*max(room, 1)))
	}
	return f
}

// A Pinner is the cursor of a buffer whose room is free again by pieces: Pinned is how many bytes of it are kept for this output, for
// whom it needs something of the piece they are in, however little.
type Pinner interface{ Pinned() int64 }

// shareUsed is how much of its share an output needs: what waits for it or, where that is more, what is kept for it.
func (d *delivery) shareUsed() int64 {
	used := d.share.Used()
	if d.pinner != nil {
		used = max(used, d.pinner.Pinned())
	}
	return used
}

func portion(used, limit int64) float64 { return float64(used) / float64(limit) }
