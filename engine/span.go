package engine

import (
	"iter"
	"time"
)

// A Span is a run of a chunk's records that go to one key. It points at the chunk by position, not at its bytes: what
// waits is metadata, and the bytes are pinned when they fly.
type Span struct {
	Cursor  Cursor    // whose chunk it is, and where it is finished; a dead letter's is its first output's
	Pos     Pos       // the chunk
	Stream  *Stream   // the chunk's
	Key     string    // what must stay in order at the destination
	Records Selection // which of the chunk's records
	Bytes   int       // their wire bytes, or as the output's Measurer counts; pro rata after a split
	Charge  int       // of the chunk: what memory it takes while it is pinned
	Arrived time.Time // when the first record of its chunk was admitted
	Urgent  bool      // do not linger with this, nor with what is before it under the same key
	Dead    *DeadLetter
}

// Split cuts the span before its record n, 0 < n < Records.Len(), in place and returns the second part.
func (s *Span) Split(n int) Span {
	tail := *s
	tail.Records = s.Records.Slice(n, s.Records.Len())
	head := int(int64(s.Bytes) * int64(n) / int64(s.Records.Len()))
	tail.Bytes = s.Bytes - head
	s.Records, s.Bytes = s.Records.Slice(0, n), head
	return tail
}

// A DeadLetter says why records that an output would not take are on their way to its dead-letter output.
type DeadLetter struct {
	Output      string // the output that refused them
	Target      string // where there they were to go: the key of their batch
	Reason      string // a short code, such as "permanent" or "gave_up"; also the metric label
	Message     string // the output's words
	RequestID   string // the destination's, of the attempt that failed, where it gave one
	Attempts    int
	First, Last time.Time // of the attempts
}

// A Selection is an ascending choice of records of one chunk, by index.
type Selection struct {
	list     []uint32 // nil: the range from, to
	from, to uint32
}

// SelectRange chooses the records from to to-1.
func SelectRange(from, to int) Selection { return Selection{from: uint32(from), to: uint32(to)} }

// SelectList chooses the listed records, which must ascend. The Selection keeps the list.
func SelectList(list []uint32) Selection { return Selection{list: list, to: uint32(len(list))} }

// Len is how many records are chosen.
func (s Selection) Len() int { return int(s.to - s.from) }

// At is the index in the chunk of the i-th chosen record.
func (s Selection) At(i int) int {
	if s.list != nil {
		return int(s.list[int(s.from)+i])
	}
	return int(s.from) + i
}

// Slice is the choice without its first i records and without those from j on.
func (s Selection) Slice(i, j int) Selection {
	return Selection{list: s.list, from: s.from + uint32(i), to: s.from + uint32(j)}
}

// All yields the indices in the chunk of the chosen records.
func (s Selection) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range s.Len() {
			if !yield(s.At(i)) {
				return
			}
		}
	}
}
