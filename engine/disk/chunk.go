package disk

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// What an entry of the log holds is a chunk: its head, see FORMAT.md, and its data as it is.

const (
	flagUrgent    = 1
	flagResumable = 2
)

// appendHead appends all of a chunk but its data.
func appendHead(dst []byte, c *engine.Chunk) []byte {
	flags := byte(0)
	if c.Urgent {
		flags |= flagUrgent
	}
	if c.Resumable {
		flags |= flagResumable
	}
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Arrived.UnixNano()))
	for _, v := range []uint64{c.Epoch, c.First, c.Last, uint64(c.Count)} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, s := range []string{c.Stream.Tenant, c.Stream.ID, c.Stream.Tag} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	for _, b := range [][]byte{c.Resource, c.Scope} {
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	return dst
}

var errNoChunk = errors.New("entry is no chunk")

// A streamName is what a stream is known by.
type streamName struct{ tenant, id, tag string }

func nameOf(s *engine.Stream) streamName { return streamName{s.Tenant, s.ID, s.Tag} }

// parseChunk reads a chunk from an entry, which it keeps.
func parseChunk(entry []byte) (*engine.Chunk, streamName, error) {
	r := reader{rest: entry}
	flags := r.byte()
	c := &engine.Chunk{Urgent: flags&flagUrgent != 0, Resumable: flags&flagResumable != 0}
	c.Arrived = time.Unix(0, int64(r.uint64()))
	c.Epoch, c.First, c.Last, c.Count = r.uvarint(), r.uvarint(), r.uvarint(), int(r.uvarint())
	name := streamName{string(r.bytes()), string(r.bytes()), string(r.bytes())}
	c.Resource, c.Scope = r.bytes(), r.bytes()
	c.Data = r.rest
	if r.bad || c.Count <= 0 || c.Count > len(c.Data) {
		return nil, streamName{}, errNoChunk
	}
	return c, name, nil
}

// parseStream reads whose a chunk is from the beginning of its entry.
func parseStream(entry []byte) (streamName, bool) {
	r := reader{rest: entry}
	r.byte()
	r.uint64()
	for range 4 {
		r.uvarint()
	}
	name := streamName{string(r.bytes()), string(r.bytes()), string(r.bytes())}
	return name, !r.bad
}

// A reader takes values off bytes. It is bad once there was less than it was asked for, and gives nothing from then on.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.take(uint64(len(r.rest)) + 1)
		return 0
	}
	r.take(uint64(n))
	return v
}

// bytes takes what has its length in front of it; nil where that is 0.
func (r *reader) bytes() []byte {
	b := r.take(r.uvarint())
	if len(b) == 0 {
		return nil
	}
	return b
}
