package main

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A workload is what a loader sends.
type workload struct {
	Streams     int   `json:"streams"`
	Connections int   `json:"connections"` // that the streams share
	Append      int   `json:"append"`      // records a message
	Attributes  bool  `json:"attributes"`  // five of them
	Records     int64 `json:"records"`     // in all

	// Run, of runSize bytes, makes records that can be told apart: bodies begin with it and with the record's number in its
	// stream, look like a web server's log, and are of the time at which they are sent.
	Run string `json:"run,omitempty"`
}

// perStream is how many records each stream sends: whole appends, and at least one.
func (w workload) perStream() uint64 {
	appends := w.Records / int64(w.Streams*w.Append)
	return uint64(max(appends, 1)) * uint64(w.Append)
}

// total is how many records are sent.
func (w workload) total() int64 { return int64(w.perStream()) * int64(w.Streams) }

const (
	bodySize  = 256
	firstTime = 1_790_000_000_000_000_000 // of the first record
)

// records are the records of one append, encoded as they lie in it.
func (w workload) records() ([]byte, error) {
	const alphabet = "the quick brown fox jumps over the lazy dog; "
	body := strings.Repeat(alphabet, bodySize/len(alphabet)+1)[:bodySize]
	random := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for i := range w.Append {
		if w.Run != "" {
			body = numberedBody(w.Run, uint64(i), random)
		}
		r := &sluicev1.LogRecord{
			TimeUnixNano:   firstTime + uint64(i)*1_000,
			SeverityNumber: sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO,
			Body:           text(body),
		}
		if w.Attributes {
			r.Attributes = attributes(i)
		}
		record, err := proto.Marshal(r)
		if err != nil {
			return nil, err
		}
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, record)
	}
	return b, nil
}

// attributes are five such as a web server's log has.
func attributes(i int) []*sluicev1.KeyValue {
	number := &sluicev1.AnyValue{Value: &sluicev1.AnyValue_IntValue{IntValue: 200}}
	seconds := &sluicev1.AnyValue{Value: &sluicev1.AnyValue_DoubleValue{DoubleValue: 0.001 * float64(i)}}
	return []*sluicev1.KeyValue{
		{Key: "http.request.method", Value: text("GET")},
		{Key: "url.path", Value: text("/cart/checkout/confirm")},
		{Key: "http.response.status_code", Value: number},
		{Key: "http.server.request.duration", Value: seconds},
		{Key: "user.id", Value: text("4f1c7a52-90b3-4d0e")},
	}
}

func text(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}

// A frame is an append whose records are encoded already. Only its sequence is new.
type frame struct {
	first   uint64
	records mem.Buffer
}

// encode gives the StreamLogsRequest in two parts, of which the second is as it was given.
func (f *frame) encode() mem.BufferSlice {
	sequence := binary.AppendUvarint([]byte{1 << 3}, f.first)
	head := protowire.AppendTag(make([]byte, 0, 24), 2, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(sequence)+f.records.Len()))
	head = append(head, sequence...)
	return mem.BufferSlice{mem.SliceBuffer(head), f.records}
}

// framing is a client's codec: frames go out without being copied, all else is protobuf's.
type framing struct{ encoding.CodecV2 }

func newFraming() framing { return framing{encoding.GetCodecV2(encproto.Name)} }

// Marshal implements encoding.CodecV2.
func (c framing) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return f.encode(), nil
	}
	return c.CodecV2.Marshal(v)
}
