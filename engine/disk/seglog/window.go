package seglog

import "encoding/binary"

// A window reads a file from beginning to end, a piece at a time.
type window struct {
	file File
	size int64
	at   int64 // of the piece
	buf  []byte
	torn bool // there is something in what find looked at last that was begun as a frame, and is none

	// What the disk does not give is passed over, a page at a time, and reads as zeros. Else it is an error.
	blind bool
	dark  map[int64]bool // those pages, by number
}

// pieceSize is how much is read at once, where no frame is larger.
const pieceSize = 1 << 20

// bytes gives n bytes of the file, or what there is of them. They are valid until the next call.
func (w *window) bytes(at, n int64) ([]byte, error) {
	n = min(n, w.size-at)
	if at < w.at || at+n > w.at+int64(len(w.buf)) {
		size := min(max(n, pieceSize), w.size-at)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		got, err := w.file.ReadAt(w.buf[:size], at)
		if err = noEnd(err); err != nil && !w.blind {
			w.buf = w.buf[:0] // there is nothing in it
			return nil, err
		} else if err != nil {
			got = w.pick(w.buf[:size], at)
		}
		w.at, w.buf = at, w.buf[:got]
	}
	piece := w.buf[at-w.at:]
	return piece[:min(n, int64(len(piece)))], nil
}

// pick reads page by page what the disk gives of a piece.
func (w *window) pick(piece []byte, at int64) (n int) {
	for n < len(piece) {
		offset := at + int64(n)
		page := piece[n:min(n+int(pageSize-offset%pageSize), len(piece))]
		got, err := w.file.ReadAt(page, offset)
		if noEnd(err) != nil {
			clear(page)
			if got = len(page); w.dark == nil {
				w.dark = map[int64]bool{}
			}
			w.dark[offset/pageSize] = true
		}
		if n += got; got < len(page) {
			break // the file ends
		}
	}
	return n
}

// isDark reports whether the disk did not give all of what was read there.
func (w *window) isDark(from, to int64) bool {
	for page := from / pageSize; len(w.dark) > 0 && page*pageSize < to; page++ {
		if w.dark[page] {
			return true
		}
	}
	return false
}

// hides reports whether a frame may lie at at, for all that the disk gave.
func (w *window) hides(at int64, salt uint64) bool {
	if len(w.dark) == 0 || at+frameHeader > w.size {
		return false
	}
	end := at + frameHeader
	if b, err := w.bytes(at, frameHeader); err == nil {
		if h, ok := parseHeader(b, salt); ok {
			end = at + h.bytes()
		}
	}
	return w.isDark(at, min(end, w.size))
}

// darkBehind is the end of the last page that the disk did not give, or at where none ends behind that. No whole frame was found in
// between: what is there, a header each at least, may be frames all the same.
func (w *window) darkBehind(at int64) int64 {
	for page := range w.dark {
		at = max(at, (page+1)*pageSize)
	}
	return at
}

// find gives the first frame of an entry at at or behind it, of an LSN from expected to before limit, whose bytes are whole; nil
// where there is none.
func (w *window) find(at int64, salt uint64, expected, limit LSN) (h *header, from int64, err error) {
	w.torn = false
	for ; at+frameHeader <= w.size; at += frameAlign {
		b, err := w.bytes(at, frameHeader)
		if err != nil {
			return nil, 0, err
		}
		if len(b) < frameHeader {
			break
		}
		if binary.LittleEndian.Uint64(b[8:]) != salt {
			continue
		}
		h, ok := parseHeader(b, salt)
		if ok && (h.kind != kindEntry || h.lsn < expected || h.lsn >= limit) {
			continue
		}
		w.torn = true // unless it is whole
		if !ok || h.bytes() > w.size-at {
			continue
		}
		if b, err = w.bytes(at, h.bytes()); err != nil {
			return nil, 0, err
		}
		if int64(len(b)) == h.bytes() && checksum(b[frameHeader:]) == h.sum {
			return &h, at, nil
		}
	}
	return nil, 0, nil
}
