package seglog

import (
	"encoding/binary"
	"errors"
	"io"
)

// A window reads a file from beginning to end, a piece at a time.
type window struct {
	file File
	size int64
	at   int64 // of the piece
	buf  []byte
	torn bool // there is something in what find looked at last that was begun as a frame, and is none
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
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.at, w.buf = at, w.buf[:got]
	}
	piece := w.buf[at-w.at:]
	return piece[:min(n, int64(len(piece)))], nil
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
