package engine

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// chunkOverhead is what the engine charges for a chunk besides its slab: the Chunk itself and what the buffer, the cursors
// and the schedulers keep about it.
const chunkOverhead = 512

// A Chunk is a sealed, immutable run of one stream's records, counted by Retain and Release. The record at index i has the
// sequence First+i. A new Chunk has one reference. Readers may share it between goroutines.
type Chunk struct {
	Stream             *Stream
	Epoch, First, Last uint64    // sequences; a rejected record cuts the chunk, so First+i always holds
	Count              int       // records
	Outputs            OutputSet // where its routes send it
	Resource           []byte    // OTLP Resource in wire form; one per chunk
	Scope              []byte    // OTLP InstrumentationScope in wire form, with schema URLs; empty for native records
	Data               []byte    // repeated `records` fields (tag 2) in wire form: the body of an OTLP ScopeLogs
	Arrived            time.Time // when its first record was admitted
	Urgent             bool      // its producer asked to flush what came up to here
	Resumable          bool      // the epoch is its producer's, who may come back to it

	extra atomic.Int32 // references beyond the first
	slab  *Slab
	free  func(*Chunk)
}

// Own makes the chunk the owner of the slab that its Data lies in. free, which may be nil, is called once, with the last
// Release, and takes the slab back.
func (c *Chunk) Own(slab *Slab, free func(*Chunk)) { c.slab, c.free = slab, free }

// Slab is the slab that Data lies in, or nil.
func (c *Chunk) Slab() *Slab { return c.slab }

// Charge is what the chunk occupies, in bytes: its slab, or its data where it has none, its resource, and a fixed overhead.
func (c *Chunk) Charge() int64 {
	size := len(c.Data)
	if c.slab != nil {
		size = cap(c.slab.B)
	}
	return int64(size) + int64(len(c.Resource)) + chunkOverhead
}

// Retain adds a reference. The caller must hold one.
func (c *Chunk) Retain() { c.extra.Add(1) }

// Release gives a reference up; with the last one the chunk's memory is freed and its bytes may be overwritten.
func (c *Chunk) Release() {
	switch left := c.extra.Add(-1); {
	case left == -1:
		if c.free != nil {
			c.free(c)
		}
	case left < -1:
		panic("engine: chunk released more often than retained")
	}
}

// Records yields the chunk's records in order with their index. The views are valid as long as the chunk is retained.
func (c *Chunk) Records() iter.Seq2[int, Record] {
	return func(yield func(int, Record) bool) {
		rest := c.Data
		for i := range c.Count {
			var r Record
			r, rest = nextRecord(rest)
			if !yield(i, r) {
				return
			}
		}
	}
}

// An OutputSet is a set of outputs by their index in the configuration, 0 to MaxOutputs-1.
type OutputSet uint64

// MaxOutputs is how many outputs one gateway may have.
const MaxOutputs = 64

// With returns the set with output i in it.
func (s OutputSet) With(i int) OutputSet { return s | 1<<i }

// Has reports whether output i is in the set.
func (s OutputSet) Has(i int) bool { return s&(1<<i) != 0 }

// Len is how many outputs the set holds.
func (s OutputSet) Len() int { return bits.OnesCount64(uint64(s)) }

// All yields the outputs of the set in ascending order.
func (s OutputSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for rest := uint64(s); rest != 0; rest &= rest - 1 {
			if !yield(bits.TrailingZeros64(rest)) {
				return
			}
		}
	}
}
