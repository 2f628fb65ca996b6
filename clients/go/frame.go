package sluice

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // also registers the codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ingest.proto.
const (
	requestAppend       protowire.Number = 2 // StreamLogsRequest.append
	appendFirstSequence protowire.Number = 1
	appendFlush         protowire.Number = 3
)

// A frame is an Append in the making. Its records are the bytes of a block.
type frame struct {
	first   uint64
	records []byte
	flush   bool
}

// buffers gives the frame as a StreamLogsRequest in wire form, without copying the records.
func (f *frame) buffers() mem.BufferSlice {
	var tail []byte
	if f.flush {
		tail = protowire.AppendVarint(protowire.AppendTag(nil, appendFlush, protowire.VarintType), 1)
	}
	size := 1 + protowire.SizeVarint(f.first) + len(f.records) + len(tail)
	head := make([]byte, 0, 2*10+2)
	head = protowire.AppendTag(head, requestAppend, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(size))
	head = protowire.AppendTag(head, appendFirstSequence, protowire.VarintType)
	head = protowire.AppendVarint(head, f.first)
	return mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(f.records), mem.SliceBuffer(tail)}
}

// A codec is grpc's for protobuf that also takes frames.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return f.buffers(), nil
	}
	out, err := c.CodecV2.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return out, nil
}
