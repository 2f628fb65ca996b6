package engine

import (
	"iter"
	"time"
)

// A Batch is what one output request carries: spans of one key, in order. Once it was attempted it is frozen: a retry
// sends exactly its rest.
type Batch struct {
	Key       string
	Spans     []Span
	Records   int       // in all spans
	Bytes     int       // of all records, as their spans have them: approximate after a split
	Arrived   time.Time // of the oldest record
	Attempt   int       // of this batch, of what it is the rest of, or of what was dropped in its stead; 1 for the first Write
	First     time.Time // of the first attempt; zero before it
	NotBefore time.Time // when a retry is due; zero: at once

	flight
}

// flight is what the delivery loop keeps about a batch between its attempts.
type flight struct {
	chunks []*Chunk // pinned, one a span, while the batch flies
	splits *int     // how often this batch and its other parts may still be bisected; nil before the first time
	panics int      // of its output, with this batch
	pinned int64    // what its chunks take while it flies
	again  bool     // what flies was attempted before, in this batch or in a larger one
	probes *parking // that it finds out about while it flies; nil

	sent     func(*Batch) // is told that it is; nil: nobody
	follower *Batch       // that stands by while this one flies; nil
	turn     *turn        // that it stands by for, or stood; nil: it flew at once
}

// NewBatch makes a batch of spans of one key, in order. There must be at least one.
func NewBatch(spans ...Span) *Batch {
	b := &Batch{Key: spans[0].Key, Spans: spans, Arrived: spans[0].Arrived}
	for i := range spans {
		b.Records += spans[i].Records.Len()
		b.Bytes += spans[i].Bytes
		if spans[i].Arrived.Before(b.Arrived) {
			b.Arrived = spans[i].Arrived
		}
	}
	return b
}

// A BatchRecord is a record in a batch, with what it belongs to. It is valid during the Write that it was handed to.
type BatchRecord struct {
	Record
	Chunk    *Chunk // stream, tag, resource
	Sequence uint64
	Dead     *DeadLetter // why it is a dead letter; nil where it is not
}

// All yields the batch's records in order with their index in the batch, which is what a [Partial] speaks of.
func (b *Batch) All() iter.Seq2[int, BatchRecord] {
	return func(yield func(int, BatchRecord) bool) {
		n := 0
		for i := range b.Spans {
			s, c := &b.Spans[i], b.chunks[i]
			rest, at := c.Data, 0
			for index := range s.Records.All() {
				var r Record
				for ; at <= index; at++ {
					r, rest = nextRecord(rest)
				}
				if !yield(n, BatchRecord{Record: r, Chunk: c, Sequence: c.First + uint64(index), Dead: s.Dead}) {
					return
				}
				n++
			}
		}
	}
}

// Pin gives the batch its chunks, one a span, in their order: All reads them. The batch does not retain them.
func (b *Batch) Pin(chunks []*Chunk) { b.chunks = chunks }
