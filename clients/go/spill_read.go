package sluice

import (
	"errors"
	"io"
	"io/fs"
	"math"
)

// readAhead is how much is read back at once, at most.
const readAhead = 1 << 20

// A reader reads segments back. It is keep's alone.
type reader struct {
	seg    *segment // whose file is open
	file   diskFile
	sc     scanner // of it
	failed int     // times in a row

	end                      int64  // of the segment
	until                    uint64 // the sequence behind it
	room, roomRecords        int    // what is wanted
	batchRecords, batchBytes int
}

// Readings are what was read back.
type readings struct {
	blocks         []*block
	records, bytes int
	lost           uint64 // records that should have been there
	to             place
}

// read gives what lies behind a place in its segment, as far as there is room, and one run at least if there is one.
func (r *reader) read(sp *spill, from place) (readings, error) {
	got := readings{to: from}
	if r.seg != from.seg {
		r.close()
		f, err := sp.disk.Open(segmentName(sp.dir, from.seg.number))
		if err != nil {
			return got, err
		}
		r.seg, r.file = from.seg, f
		r.sc = scanner{src: f, salt: r.seg.salt, below: math.MaxUint64}
	}
	r.sc.at, r.sc.end, r.sc.next = from.off, r.end, r.seg.first
	for got.bytes < r.room && got.records < r.roomRecords {
		one, err := r.sc.scan()
		if errors.Is(err, io.EOF) {
			got.ends(r)
			break
		}
		if err != nil {
			if got.to != from {
				err = nil // it will be met again
			}
			return got, err
		}
		got.take(r, one)
		got.to.off = r.sc.at
	}
	return got, nil
}

// take adds a run, without what is acked of it.
func (g *readings) take(r *reader, one run) {
	if one.end() <= g.to.next {
		return
	}
	if one.first < g.to.next {
		known := int(g.to.next - one.first)
		one.data, one.count, one.first = one.data[offset(one.data, known):], one.count-known, g.to.next
	}
	g.miss(r, one.first)
	g.records += one.count
	g.bytes += len(one.data)
	for data, first := one.data, one.first; len(data) > 0; first++ {
		n := fieldSize(data)
		b := g.last(r, first, n)
		b.data = append(b.data, data[:n]...)
		b.count++
		data = data[n:]
	}
	g.to.next = one.end()
}

// last gives the block that a record of n bytes goes to.
func (g *readings) last(r *reader, first uint64, n int) *block {
	if i := len(g.blocks) - 1; i >= 0 {
		b := g.blocks[i]
		if !b.report && b.end() == first && b.count < r.batchRecords && len(b.data)+n <= r.batchBytes {
			return b
		}
	}
	size := max(n, min(r.batchBytes, r.room-g.bytes+n, int(r.end-g.to.off))) // as much as may still come
	b := &block{ticket: first + r.seg.shift, life: r.seg.life, first: first, data: make([]byte, 0, size)}
	g.blocks = append(g.blocks, b)
	return b
}

// miss reports what is lost before a sequence, in its place.
func (g *readings) miss(r *reader, next uint64) {
	if next <= g.to.next {
		return
	}
	lost := next - g.to.next
	g.lost += lost
	g.blocks = append(g.blocks, r.seg.report(next-1, Drop{Reason: DropSpillLost, Records: lost}))
	g.to.next = next
}

// ends is the end of the segment.
func (g *readings) ends(r *reader) {
	g.miss(r, r.until)
	g.to.off = r.end
}

// fails notes that a read has failed. It tells whether there is hope.
func (r *reader) fails(err error) bool {
	if r.file != nil || errors.Is(err, fs.ErrNotExist) {
		r.failed++
	}
	return r.failed < spillTries
}

// giveUp counts what cannot be read as lost.
func (g *readings) giveUp(r *reader) {
	r.seg = g.to.seg
	g.ends(r)
	r.close()
}

// close lets go of the file and the memory.
func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
	r.seg, r.file, r.sc = nil, nil, scanner{}
}
