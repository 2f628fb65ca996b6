package sluice

import "slices"

// minBlock is the least capacity that a block begins with, so that the first records of a batch do not each grow it.
const minBlock = 1 << 10

// A queue holds the records that were never sent, in order, gathered into blocks. It is bounded in records and in bytes.
// Tickets number the records as they come in and never repeat; dropping leaves holes. It is pure: no lock, no clock.
type queue struct {
	maxRecords, maxBytes     int // what it may hold; one record is always let into an empty queue
	batchRecords, batchBytes int // what one block may hold; a larger record gets a block of its own

	blocks         []*block // oldest first; only the last may still be open
	open           bool     // the last block takes more records
	records, bytes int
	ticket         uint64 // the last one given out
	size           int    // of the last sealed block: the next one will be much alike
}

// fits tells whether a record of n bytes may be added, hasRoom whether n bytes of records fields may.
func (q *queue) fits(n int) bool { return q.hasRoom(fieldBytes(n)) }

func (q *queue) hasRoom(n int) bool {
	return q.records == 0 || (q.records < q.maxRecords && q.bytes+n <= q.maxBytes)
}

// add appends a record, whether it fits or not, and tells whether the sender has something to look at: a block that began
// or one that is full.
func (q *queue) add(record []byte) bool {
	n := fieldBytes(len(record))
	if q.open && len(q.last().data)+n > q.batchBytes {
		q.seal()
	}
	began := !q.open
	q.ticket++
	if began {
		q.blocks = append(q.blocks, &block{ticket: q.ticket, data: make([]byte, 0, max(minBlock, n, q.size))})
		q.open = true
	}
	b := q.last()
	b.data = appendField(b.data, record)
	b.count++
	q.records++
	q.bytes += n
	if b.count >= q.batchRecords || len(b.data) >= q.batchBytes {
		q.seal()
		return true
	}
	return began
}

// addRun is add for records that have a life, sequences and tickets, as the parts of r. It keeps nothing of r.
func (q *queue) addRun(r *block) bool {
	if q.open {
		b := q.last()
		if b.life != r.life || b.end() != r.first || b.count+r.count > q.batchRecords || len(b.data)+len(r.data) > q.batchBytes {
			q.seal()
		}
	}
	began := !q.open
	if began {
		b := &block{ticket: r.ticket, first: r.first, life: r.life}
		b.data = make([]byte, 0, max(minBlock, len(r.data), q.size))
		q.blocks = append(q.blocks, b)
		q.open = true
	}
	b := q.last()
	b.data = append(b.data, r.data...)
	b.count += r.count
	q.records += r.count
	q.bytes += len(r.data)
	if b.count >= q.batchRecords || len(b.data) >= q.batchBytes {
		q.seal()
		return true
	}
	return began
}

// push appends a sealed block that has its tickets.
func (q *queue) push(b *block) {
	q.seal()
	if cap(b.data) > 2*len(b.data) {
		b.data = slices.Clone(b.data)
	}
	q.blocks = append(q.blocks, b)
	q.records += b.count
	q.bytes += len(b.data)
}

// seal closes the open block, if there is one.
func (q *queue) seal() {
	if !q.open {
		return
	}
	q.open = false
	b := q.last()
	q.size = len(b.data)
	if cap(b.data) > 2*len(b.data) { // a trickle's block: do not hold what it did not need
		b.data = slices.Clone(b.data)
	}
}

// ready tells whether the oldest block is sealed.
func (q *queue) ready() bool { return len(q.blocks) > 1 || (len(q.blocks) == 1 && !q.open) }

// front is the oldest block, nil if there is none.
func (q *queue) front() *block {
	if len(q.blocks) == 0 {
		return nil
	}
	return q.blocks[0]
}

func (q *queue) last() *block { return q.blocks[len(q.blocks)-1] }

// pop takes the oldest block, or as much of it from the front as fits into limit bytes; one record at least, so the caller
// must look at what it got. The queue must be ready.
func (q *queue) pop(limit int) *block {
	b := q.blocks[0]
	if n := max(1, b.within(limit)); n < b.count {
		b = b.split(n)
	} else {
		q.shift()
	}
	q.records -= b.count
	q.bytes -= len(b.data)
	return b
}

// dropOldest takes the oldest record away and returns its bytes' number. The queue must not be empty.
func (q *queue) dropOldest() int {
	b := q.blocks[0]
	n := len(b.trim(1))
	q.records--
	q.bytes -= n
	if b.count == 0 {
		if len(q.blocks) == 1 {
			q.open = false
		}
		q.shift()
	}
	return n
}

// cut takes away all records with tickets up to one, and returns how many that were and their bytes' number, and how many
// were reports instead.
func (q *queue) cut(ticket uint64) (records, size, reports int) {
	for len(q.blocks) > 0 && q.blocks[0].ticket <= ticket {
		b := q.blocks[0]
		n := int(min(uint64(b.count), ticket-b.ticket+1))
		gone := len(b.trim(n))
		q.records -= n
		q.bytes -= gone
		if b.report {
			reports++
		} else {
			records += n
			size += gone
		}
		if b.count == 0 {
			q.open = q.open && len(q.blocks) > 1
			q.shift()
		}
	}
	return records, size, reports
}

// standIn puts a sealed record in the place of the last one that was dropped from the front: before all others, with its
// ticket.
func (q *queue) standIn(record []byte) {
	ticket := q.ticket
	if b := q.front(); b != nil {
		ticket = b.ticket - 1
	}
	q.unshift(&block{ticket: ticket, count: 1, data: appendField(nil, record)})
}

// unshift puts a sealed block before all others.
func (q *queue) unshift(b *block) {
	q.blocks = slices.Insert(q.blocks, 0, b)
	q.records += b.count
	q.bytes += len(b.data)
}

func (q *queue) shift() {
	q.blocks[0] = nil
	q.blocks = q.blocks[1:]
}
