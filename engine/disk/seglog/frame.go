package seglog

import (
	"encoding/binary"
	"hash/crc32"
)

// An LSN numbers the entries of a log from 1, without gaps.
type LSN uint64

// A Label is what the log knows of an entry besides its bytes: enough to find those of a reader without reading the others,
// and to say how much waits for it.
type Label struct {
	Readers uint64 `json:"readers"` // a set of up to 64, by bit
	Records uint32 `json:"records"`
	Bytes   uint32 `json:"bytes"` // as the owner counts
	Time    int64  `json:"time"`  // in nanoseconds since 1970, as the owner says
}

// A frame is an entry as it lies in a segment, see FORMAT.md.
const (
	frameHeader = 64 // bytes, before the payload
	frameAlign  = 8  // a frame begins at a multiple of it
)

// A kind says what a frame holds.
type kind uint8

const (
	kindEntry kind = 1
	kindIndex kind = 2 // of the segment that it ends
)

// The flags of a frame.
const (
	flagFirst = 1 << iota
	flagLast
)

// A header is what is in front of a frame's payload.
type header struct {
	length uint32 // of the payload
	salt   uint64 // of the segment
	lsn    LSN
	commit uint32 // of the segment, from 0
	kind   kind
	first  bool // of its commit
	last   bool // of its commit
	Label
	sum uint32 // CRC-32C of the payload
}

// frameSize is how many bytes of a segment a payload takes.
func frameSize(payload int64) int64 {
	return (frameHeader + payload + frameAlign - 1) &^ (frameAlign - 1)
}

// bytes is how many bytes of the frame there must be.
func (h *header) bytes() int64 { return frameHeader + int64(h.length) }

// size is how far it is to the next frame.
func (h *header) size() int64 { return frameSize(int64(h.length)) }

// appendFrame appends a frame.
func appendFrame(dst []byte, h header, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	h.length, h.sum = uint32(len(payload)), checksum(payload)
	h.put(dst[at:])
	dst = append(dst, payload...)
	return append(dst, make([]byte, -len(dst)&(frameAlign-1))...)
}

func (h *header) put(dst []byte) {
	le := binary.LittleEndian
	le.PutUint32(dst[4:], h.length)
	le.PutUint64(dst[8:], h.salt)
	le.PutUint64(dst[16:], uint64(h.lsn))
	le.PutUint32(dst[24:], h.commit)
	dst[28], dst[29], dst[30], dst[31] = byte(h.kind), 0, 0, 0
	if h.first {
		dst[29] |= flagFirst
	}
	if h.last {
		dst[29] |= flagLast
	}
	le.PutUint64(dst[32:], h.Readers)
	le.PutUint32(dst[40:], h.Records)
	le.PutUint32(dst[44:], h.Bytes)
	le.PutUint32(dst[48:], h.sum)
	le.PutUint64(dst[52:], uint64(h.Time))
	le.PutUint32(dst[60:], 0)
	le.PutUint32(dst[0:], checksum(dst[4:frameHeader]))
}

// parseHeader reads a header of a segment with that salt, and says whether it is one: not torn, nor of an older life of the
// file.
func parseHeader(b []byte, salt uint64) (h header, ok bool) {
	le := binary.LittleEndian
	if len(b) < frameHeader || le.Uint64(b[8:]) != salt || le.Uint32(b) != checksum(b[4:frameHeader]) {
		return header{}, false
	}
	h = header{
		length: le.Uint32(b[4:]), salt: salt, lsn: LSN(le.Uint64(b[16:])), commit: le.Uint32(b[24:]),
		kind: kind(b[28]), first: b[29]&flagFirst != 0, last: b[29]&flagLast != 0,
		Label: Label{Readers: le.Uint64(b[32:]), Records: le.Uint32(b[40:]), Bytes: le.Uint32(b[44:]), Time: int64(le.Uint64(b[52:]))},
		sum:   le.Uint32(b[48:]),
	}
	return h, h.length < maxSegment
}

// checksum is CRC-32C, which processors compute by themselves, of the parts, one after the other.
func checksum(parts ...[]byte) (sum uint32) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}
