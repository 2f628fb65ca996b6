package e2e

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// wire is a message, or a part of one, as the test wants it on the wire.
type wire []byte

// field adds a field of bytes.
func (w wire) field(number protowire.Number, b []byte) wire {
	return protowire.AppendBytes(protowire.AppendTag(w, number, protowire.BytesType), b)
}

func (w wire) varint(number protowire.Number, v uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, number, protowire.VarintType), v)
}

// wireCodec sends wire as it is, and everything else as any client would.
type wireCodec struct{ encoding.CodecV2 }

func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if w, ok := v.(wire); ok {
		return mem.BufferSlice{mem.SliceBuffer(w)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// sendsWire makes a connection take wire for a message.
func sendsWire() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wireCodec{encoding.GetCodecV2(encproto.Name)}))
}

// A producer is a stream of a generated client.
type producer struct {
	grpc.BidiStreamingClient[sluicev1.StreamLogsRequest, sluicev1.StreamLogsResponse]
	t    testing.TB
	last *sluicev1.StreamStatus
}

func newProducer(ctx context.Context, t testing.TB, conn grpc.ClientConnInterface) *producer {
	t.Helper()
	s, err := sluicev1.NewIngestServiceClient(conn).StreamLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &producer{BidiStreamingClient: s, t: t}
}

// open opens a stream and reads the status that answers it.
func (p *producer) open(o *sluicev1.Open) *producer {
	p.t.Helper()
	p.sendOpen(o)
	p.status()
	return p
}

func (p *producer) sendOpen(o *sluicev1.Open) {
	p.t.Helper()
	if err := p.Send(&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Open{Open: o}}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) append(first uint64, bodies ...string) {
	p.t.Helper()
	if err := p.Send(appendRequest(first, bodies...)); err != nil {
		p.t.Fatal(err)
	}
}

// raw sends a message that no generated client would.
func (p *producer) raw(w wire) {
	p.t.Helper()
	if err := p.SendMsg(w); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) status() *sluicev1.StreamStatus {
	p.t.Helper()
	m, err := p.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	p.last = m.GetStatus()
	return p.last
}

// untilAcked reads statuses until this sequence is acked, and gives the rejections among them.
func (p *producer) untilAcked(sequence uint64) (rejections []*sluicev1.Rejection) {
	p.t.Helper()
	for p.last.GetAckedSequence() < sequence {
		rejections = append(rejections, p.status().GetRejections()...)
	}
	return rejections
}

func (p *producer) untilState(state sluicev1.State) *sluicev1.StreamStatus {
	p.t.Helper()
	for {
		if st := p.status(); st.GetState() == state {
			return st
		}
	}
}

// end reads statuses until the call ends, and says how.
func (p *producer) end() error {
	for {
		if _, err := p.Recv(); err != nil {
			return err
		}
	}
}

// leave half-closes. The call must end OK.
func (p *producer) leave() {
	p.t.Helper()
	if err := p.CloseSend(); err != nil {
		p.t.Error(err)
	}
	if err := p.end(); !errors.Is(err, io.EOF) {
		p.t.Errorf("ended with %v", err)
	}
}

func appendRequest(first uint64, bodies ...string) *sluicev1.StreamLogsRequest {
	a := &sluicev1.Append{FirstSequence: first, Records: records(bodies...)}
	return &sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{Append: a}}
}

func records(bodies ...string) []*sluicev1.LogRecord {
	var all []*sluicev1.LogRecord
	for _, b := range bodies {
		all = append(all, &sluicev1.LogRecord{Body: text(b)})
	}
	return all
}

func text(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}

func marshal(t testing.TB, m proto.Message) wire {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// info is the google.rpc.ErrorInfo of an error, nil where there is none.
func info(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i
		}
	}
	return nil
}

// retryAfter is what an error's google.rpc.RetryInfo says, 0 where there is none.
func retryAfter(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// wantRefusal checks what a producer is told: a code, the field that it is about, and words.
func wantRefusal(t testing.TB, err error, code codes.Code, field, says string) {
	t.Helper()
	i := info(err)
	if status.Code(err) != code || i.GetDomain() != "sluice" || i.GetMetadata()["field"] != field || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v (%v), want %v about %q with %q", err, i, code, field, says)
	}
	if field != "" && !strings.Contains(status.Convert(err).Message(), field) {
		t.Errorf("%q does not name %s", status.Convert(err).Message(), field)
	}
}
