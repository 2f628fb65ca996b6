package seglog

import "slices"

// A draft is a commit that is about to be written: in pieces, so that large payloads are not copied.
type draft struct {
	apart  int // payloads from this size on are pieces of their own
	pieces [][]byte
	small  []byte // what is not a piece of its own lies in here
	from   int    // in small: of the piece that is being added to
	size   int64
}

// apart is from where on it costs more to copy a payload than to write one piece more: 16 KiB. In a segment of less than a mebibyte
// it is less, so that there are pieces, too.
func (o Options) apart() int { return int(min(16<<10, o.SegmentSize/64)) }

// begin makes it empty, with room for these entries: what lies in small may not move.
func (d *draft) begin(entries []*Entry) {
	room := 0
	for _, e := range entries {
		if room += int(e.size()); len(e.Body) >= d.apart {
			room -= len(e.Body)
		}
	}
	if cap(d.small) > 2*maxCommit && room <= maxCommit {
		d.small = nil // an exception is not kept
	}
	clear(d.pieces) // or it would hold on to what was committed
	d.pieces, d.small, d.from, d.size = d.pieces[:0], slices.Grow(d.small[:0], room), 0, 0
}

// add adds an entry's frame.
func (d *draft) add(h header, e *Entry) {
	h.length, h.sum = uint32(len(e.Head)+len(e.Body)), e.sum
	at := len(d.small)
	d.small = append(d.small, make([]byte, frameHeader)...)
	h.put(d.small[at:])
	d.small = append(d.small, e.Head...)
	if len(e.Body) < d.apart {
		d.small = append(d.small, e.Body...)
	} else {
		d.cut()
		d.pieces = append(d.pieces, e.Body)
	}
	pad := h.size() - frameHeader - int64(h.length)
	d.small = append(d.small, make([]byte, pad)...)
	d.size += h.size()
}

// cut ends the piece that is being added to.
func (d *draft) cut() {
	if len(d.small) > d.from {
		d.pieces = append(d.pieces, d.small[d.from:])
		d.from = len(d.small)
	}
}

// A VectorWriter is a File that writes many pieces at once.
type VectorWriter interface {
	// WriteVector writes pieces, one behind the other.
	WriteVector(pieces [][]byte, offset int64) error
}

// write writes all of it.
func (d *draft) write(f File, offset int64) error {
	d.cut()
	if v, ok := f.(VectorWriter); ok {
		return v.WriteVector(d.pieces, offset)
	}
	for _, p := range d.pieces {
		if _, err := f.WriteAt(p, offset); err != nil {
			return err
		}
		offset += int64(len(p))
	}
	return nil
}
