package disk

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
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
		dst = seglog.AppendBytes(dst, s)
	}
	return seglog.AppendBytes(seglog.AppendBytes(dst, c.Resource), c.Scope)
}

var errNoChunk = errors.New("entry is no chunk")

// A streamName is what a stream is known by.
type streamName struct{ tenant, id, tag string }

func nameOf(s *engine.Stream) streamName { return streamName{s.Tenant, s.ID, s.Tag} }

// parseChunk reads a chunk from an entry, which it keeps.
func parseChunk(entry []byte) (*engine.Chunk, streamName, error) {
	r := seglog.Values{Rest: entry}
	flags := r.Byte()
	c := &engine.Chunk{Urgent: flags&flagUrgent != 0, Resumable: flags&flagResumable != 0}
	c.Arrived = time.Unix(0, int64(r.Uint64()))
	c.Epoch, c.First, c.Last, c.Count = r.Uvarint(), r.Uvarint(), r.Uvarint(), int(r.Uvarint())
	name := streamName{string(r.Bytes()), string(r.Bytes()), string(r.Bytes())}
	c.Resource, c.Scope = r.Bytes(), r.Bytes()
	c.Data = r.Rest
	if r.Bad || c.Count <= 0 || c.Count > len(c.Data) {
		return nil, streamName{}, errNoChunk
	}
	return c, name, nil
}

// parseStream reads whose a chunk is from the beginning of its entry.
func parseStream(entry []byte) (streamName, bool) {
	r := seglog.Values{Rest: entry}
	r.Byte()
	r.Uint64()
	for range 4 {
		r.Uvarint()
	}
	name := streamName{string(r.Bytes()), string(r.Bytes()), string(r.Bytes())}
	return name, !r.Bad
}
