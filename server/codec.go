package server

import (
	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/sluicelog/sluice/engine"
)

// A frame is one request as it came, uncompressed, in a slab that becomes the memory of a chunk.
type frame struct {
	slabs *engine.SlabPool
	slab  *engine.Slab
}

// bytes are the request's encoding.
func (f *frame) bytes() []byte { return f.slab.B }

// free gives the slab back where nobody took it over.
func (f *frame) free() {
	f.slabs.Put(f.slab)
	f.slab = nil
}

// take hands the slab over.
func (f *frame) take() *engine.Slab {
	slab := f.slab
	f.slab = nil
	return slab
}

// codec hands frames over as they came, in one copy, and leaves all other messages to protobuf. It never fails on a frame:
// grpc answers a codec's error itself, with INTERNAL, before a handler could name the field.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(encproto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	n := data.Len()
	f.free() // grpc reads on after a unary request, into the same frame, to see that there is no second
	f.slab = f.slabs.Get(n)
	f.slab.B = f.slab.B[:n]
	data.CopyTo(f.slab.B)
	return nil
}
