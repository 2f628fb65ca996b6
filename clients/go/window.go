package sluice

import (
	"slices"
	"sort"
)

// A window holds the records that were sent and are not acked yet, in order of their sequences, which it gives out. Its
// cursor is what the current connection sends next: below next while it resends, at next otherwise. It is pure: no lock,
// no clock.
type window struct {
	blocks         []*block // by sequence, none empty
	next           uint64   // the sequence that the next new record gets; at least 1
	cursor         uint64   // what to send next on this connection
	acked          uint64   // the highest ack
	told           uint64   // the highest ack that was told, also of records that are only now read back
	numbered       bool     // blocks come with their sequences
	records, bytes int
}

// push takes a block over and numbers its records, unless they are. Nothing may be left to resend. It gives what is to be
// sent of the block: all of it, or, where the gateway knows records that are only now read back, the rest; nil: nothing.
func (w *window) push(b *block) *block {
	if !w.numbered {
		b.first = w.next
	} else if known := int(min(w.cursor-b.first, uint64(b.count))); known == b.count {
		w.hold(b)
		return nil
	} else if known > 0 {
		w.hold(b.split(known))
	}
	w.hold(b)
	return b
}

func (w *window) hold(b *block) {
	w.next = b.end()
	w.cursor = max(w.cursor, w.next)
	w.blocks = append(w.blocks, b)
	w.records += b.count
	w.bytes += len(b.data)
}

// lowest is the lowest sequence that is held and not acked, or the next one to be given out.
func (w *window) lowest() uint64 {
	if len(w.blocks) == 0 {
		return max(w.next, w.told+1)
	}
	return w.blocks[0].first
}

// ticket is the lowest ticket that is held, lastTicket the highest; false if nothing is.
func (w *window) ticket() (uint64, bool) {
	if len(w.blocks) == 0 {
		return 0, false
	}
	return w.blocks[0].ticket, true
}

func (w *window) lastTicket() (uint64, bool) {
	if len(w.blocks) == 0 {
		return 0, false
	}
	return w.blocks[len(w.blocks)-1].lastTicket(), true
}

// maxSequence is more than any stream sends; a gateway that expects more talks nonsense.
const maxSequence = 1 << 62

// resend sets the cursor for a new connection, whose gateway expects sequence from. What is below belongs to that gateway,
// though it stays unacked until acked. A gateway that knows of higher sequences than were ever given out is believed:
// numbering goes on from there, or, if records come with their numbers, those below are not sent.
func (w *window) resend(from uint64) {
	if from > maxSequence {
		from = 0
	}
	w.cursor = max(from, w.lowest())
	if !w.numbered {
		w.next = max(w.next, w.cursor)
	}
}

// pending tells whether something is left to resend.
func (w *window) pending() bool {
	return len(w.blocks) > 0 && w.cursor < w.blocks[len(w.blocks)-1].end()
}

// take gives the block to resend next, cut to limit bytes; one record at least, so the caller must look at what it got.
// It moves the cursor past the block, which stays in the window. Nil: nothing is left.
func (w *window) take(limit int) *block {
	if !w.pending() {
		w.cursor = max(w.cursor, w.next)
		return nil
	}
	i := sort.Search(len(w.blocks), func(i int) bool { return w.blocks[i].end() > w.cursor })
	if b := w.blocks[i]; b.first < w.cursor {
		w.cut(i, int(w.cursor-b.first))
		i++
	}
	if n := max(1, w.blocks[i].within(limit)); n < w.blocks[i].count {
		w.cut(i, n)
	}
	b := w.blocks[i]
	w.cursor = b.end()
	return b
}

// cut makes two blocks of block i, the first with n records.
func (w *window) cut(i, n int) { w.blocks = slices.Insert(w.blocks, i, w.blocks[i].split(n)) }

// replace puts another record in the place of b, a block of one record; its sequence stays.
func (w *window) replace(b *block, record []byte) {
	w.bytes -= len(b.data)
	b.data = appendField(nil, record)
	w.bytes += len(b.data)
}

// ack releases all up to and including seq and returns how many records that were. An ack that moves back changes nothing;
// one beyond what was sent counts as far as that.
func (w *window) ack(seq uint64) int {
	w.told = max(w.told, min(seq, max(w.next, w.cursor)-1))
	seq = min(w.told, w.next-1)
	if seq <= w.acked {
		return 0
	}
	w.acked = seq
	before := w.records
	for len(w.blocks) > 0 && w.blocks[0].first <= seq {
		b := w.blocks[0]
		if b.end() > seq+1 {
			n := int(seq + 1 - b.first)
			w.bytes -= len(b.trim(n))
			w.records -= n
			break
		}
		w.bytes -= len(b.data)
		w.records -= b.count
		w.blocks[0] = nil
		w.blocks = w.blocks[1:]
	}
	w.cursor = max(w.cursor, w.lowest())
	return before - w.records
}
