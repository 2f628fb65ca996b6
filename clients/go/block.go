package sluice

import "google.golang.org/protobuf/encoding/protowire"

const (
	// recordsTag is the tag of Append.records: field 2, length-delimited.
	recordsTag = 2<<3 | byte(protowire.BytesType)

	// appendOverhead bounds what an Append is longer than its records: first_sequence (1 + 10 bytes) and flush (2).
	appendOverhead = 13

	// frameOverhead bounds what a StreamLogsRequest is longer than its Append: a tag and a length.
	frameOverhead = 1 + 5
)

// A block is a run of records in wire form, one after the other as repeated Append.records fields. It is the unit in
// which records are queued, sent and kept until acked: encoded once, never copied again. The bytes of a sealed block do
// not change, so a frame may refer to them while the block is trimmed from the front.
type block struct {
	ticket uint64 // of the first record: its place in the order of queueing
	first  uint64 // sequence of the first record; 0 until it is sent, or written to a spill
	count  int
	data   []byte
	life   *life // that the records are of; nil without a spill
	report bool  // stands for what is missing, and is in no spill
}

// lastTicket is the ticket of the block's last record.
func (b *block) lastTicket() uint64 { return b.ticket + uint64(b.count) - 1 }

// end is the sequence after the block's last record.
func (b *block) end() uint64 { return b.first + uint64(b.count) }

// trim takes the first n records away and returns their bytes.
func (b *block) trim(n int) []byte {
	off := offset(b.data, n)
	gone := b.data[:off:off]
	b.data = b.data[off:]
	b.count -= n
	b.ticket += uint64(n)
	if b.first != 0 {
		b.first += uint64(n)
	}
	return gone
}

// split cuts the first n records off into a block of their own, which shares the bytes.
func (b *block) split(n int) *block {
	head := &block{ticket: b.ticket, first: b.first, count: n, life: b.life}
	head.data = b.trim(n)
	return head
}

// within counts how many records from the front fit into limit bytes. It is 0 where even the first does not.
func (b *block) within(limit int) int {
	if len(b.data) <= limit {
		return b.count
	}
	n, off := 0, 0
	for n < b.count {
		off += fieldSize(b.data[off:])
		if off > limit {
			break
		}
		n++
	}
	return n
}

// appendField appends one record as a records field.
func appendField(dst, record []byte) []byte {
	dst = append(dst, recordsTag)
	dst = protowire.AppendVarint(dst, uint64(len(record)))
	return append(dst, record...)
}

// fieldBytes is how long appendField makes a record of n bytes.
func fieldBytes(n int) int { return 1 + protowire.SizeBytes(n) }

// fieldSize is the length of the records field that data, written by appendField, begins with.
func fieldSize(data []byte) int {
	n, w := protowire.ConsumeVarint(data[1:])
	return 1 + w + int(n)
}

// offset is where the n-th records field of data begins.
func offset(data []byte, n int) int {
	off := 0
	for range n {
		off += fieldSize(data[off:])
	}
	return off
}
