package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
	"github.com/sluicelog/sluice/outputs/stdout"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server"
	"github.com/sluicelog/sluice/server/compress"
)

// A countingConn counts what its client sends.
type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.sent.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// Generated clients and the SDK may compress as they like.
func TestCompression(t *testing.T) {
	const records, size = 50, 10_000
	for _, name := range []string{"gzip", compress.S2, compress.Zstd} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, engine.Limits{}, server.Options{})
				var sent atomic.Int64
				compressed := []grpc.DialOption{
					grpc.WithDefaultCallOptions(grpc.UseCompressor(name)),
					s.net.through(func(c net.Conn) net.Conn { return countingConn{c, &sent} }),
				}
				all := padded(records, size)

				conn := s.net.connect(t, compressed...)
				p := newProducer(t.Context(), t, conn).open(&sluicev1.Open{StreamId: "stream", Tag: "app"})
				for i, body := range all {
					p.append(uint64(i+1), body)
				}
				p.untilAcked(records)
				p.leave()
				for _, body := range all {
					request := &sluicev1.SendLogsRequest{StreamId: "unary", Tag: "app", Records: appendRequest(0, body).GetAppend().GetRecords()}
					if _, err := sluicev1.NewIngestServiceClient(conn).SendLogs(t.Context(), request); err != nil {
						t.Fatal(err)
					}
				}
				a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "sdk", Tag: "app"}, compressed...)
				a.log(all...)
				a.exit()
				s.stop()
				for _, id := range []string{"stream", "unary", "sdk"} {
					wantBodies(t, s.out, id, all)
				}
				if n := sent.Load(); n > 3*records*size/10 {
					t.Errorf("%d bytes were sent of %d", n, 3*records*size)
				}
			})
		})
	}
}

// A client that has nothing but reflection to go by, as grpcurl, calls what it finds there with JSON.
func TestReflectionIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{}, server.Options{})
		conn := s.net.connect(t)
		service := reflected(t, conn, "sluice.v1.IngestService")

		send := service.Methods().ByName("SendLogs")
		request := fromJSON(t, send.Input(), `{"streamId":"unary","tag":"t","records":[{"body":{"stringValue":"hello"}}]}`)
		answer := dynamicpb.NewMessage(send.Output())
		if err := conn.Invoke(t.Context(), "/sluice.v1.IngestService/SendLogs", request, answer); err != nil {
			t.Fatal(err)
		}
		if got := asJSON(t, answer)["status"].(map[string]any); got["state"] != "STATE_ACTIVE" || got["nextSequence"] != "2" {
			t.Errorf("answer %v", got)
		}

		stream := service.Methods().ByName("StreamLogs")
		call, err := conn.NewStream(t.Context(), &grpc.StreamDesc{
			ServerStreams: stream.IsStreamingServer(), ClientStreams: stream.IsStreamingClient(),
		}, "/sluice.v1.IngestService/StreamLogs")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{
			`{"open":{"streamId":"stream","tag":"t","resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}}]}}}`,
			`{"append":{"records":[{"body":{"stringValue":"one"}},{"severityNumber":"SEVERITY_NUMBER_WARN","body":{"stringValue":"two"}}],"flush":true}}`,
		} {
			if err := call.SendMsg(fromJSON(t, stream.Input(), m)); err != nil {
				t.Fatal(err)
			}
		}
		if err := call.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var last *dynamicpb.Message
		for {
			m := dynamicpb.NewMessage(stream.Output())
			if err := call.RecvMsg(m); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			last = m
		}
		if got := asJSON(t, last)["status"].(map[string]any); got["ackedSequence"] != "2" {
			t.Errorf("last status %v", got)
		}
		s.stop()
		wantBodies(t, s.out, "unary", []string{"hello"})
		wantBodies(t, s.out, "stream", []string{"one", "two"})
	})
}

// reflected finds a service by reflection alone.
func reflected(t *testing.T, conn *grpc.ClientConn, name protoreflect.FullName) protoreflect.ServiceDescriptor {
	t.Helper()
	call, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := call.Send(q); err != nil {
			t.Fatal(err)
		}
		m, err := call.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	var names []string
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	slices.Sort(names)
	want := []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "sluice.v1.IngestService",
	}
	if !slices.Equal(names, want) {
		t.Errorf("lists %q", names)
	}
	described := ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: string(name)},
	})
	set := &descriptorpb.FileDescriptorSet{}
	for _, b := range described.GetFileDescriptorResponse().GetFileDescriptorProto() {
		fd := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(b, fd); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, fd)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := call.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	return find(t, files, name)
}

func find(t *testing.T, files *protoregistry.Files, name protoreflect.FullName) protoreflect.ServiceDescriptor {
	t.Helper()
	d, err := files.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor)
}

func fromJSON(t *testing.T, d protoreflect.MessageDescriptor, text string) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func asJSON(t *testing.T, m proto.Message) (fields map[string]any) {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// Whoever watches health learns that the gateway drains, before its streams are over.
func TestHealthIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{}, server.Options{})
		watch, err := healthv1.NewHealthClient(s.net.connect(t)).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "sluice.v1.IngestService"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []healthv1.HealthCheckResponse_ServingStatus{
			healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING,
		} {
			m, err := watch.Recv()
			if err != nil || m.GetStatus() != want {
				t.Errorf("health %v, %v, want %v", m, err, want)
			}
			s.server.Drain()
		}
		s.stop()
	})
}

// A client that pings too often is cut off, one that keeps to the limit never is.
func TestKeepaliveIsEnforced(t *testing.T) {
	for _, c := range []struct {
		name    string
		minTime time.Duration
		cutOff  bool
	}{
		{"as often as grpc lets a client", 0, false}, // every 10 s, and by default the gateway allows that
		{"too often", time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, engine.Limits{}, server.Options{Keepalive: server.Keepalive{MinTime: c.minTime}})
				conn := s.net.connect(t, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Second}))
				p := newProducer(t.Context(), t, conn).open(&sluicev1.Open{Tag: "app"})
				time.Sleep(10 * time.Minute)
				cutOff := s.engine.Stats().Sessions == 0
				if cutOff != c.cutOff {
					t.Errorf("cut off: %v", cutOff)
				}
				if cutOff {
					if err := p.end(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "too_many_pings") {
						t.Errorf("ended with %v", err)
					}
				} else {
					p.append(1, "one")
					p.untilAcked(1)
					p.leave()
				}
				s.stop()
			})
		})
	}
}

// What is odd about a record does not make a line odd: each comes out as one JSON object.
func TestOddRecordsAreLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		out, err := stdout.New(stdout.Options{Options: render.Options{Format: "ndjson"}, Writer: &screen})
		if err != nil {
			t.Fatal(err)
		}
		hosts := &network{}
		g := start(t, hosts.listen("gateway"), engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}}, server.Options{})
		a := hosts.app(t, "gateway", sluice.StreamOptions{
			ID: "s", Tag: "app", Resource: &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "host.name", Value: text("h\n1")}}},
		})
		list := &sluicev1.AnyValue{}
		for range 40 {
			list = &sluicev1.AnyValue{Value: &sluicev1.AnyValue_ArrayValue{ArrayValue: &sluicev1.ArrayValue{Values: []*sluicev1.AnyValue{list}}}}
		}
		odd := []*sluicev1.LogRecord{
			{}, {SeverityText: "no body"}, {Body: &sluicev1.AnyValue{}}, manyAttributes(10_000), {Body: list},
			{Body: text("time 0")}, {TimeUnixNano: 7_258_118_400_000_000_000, Body: text("the year 2200")},
			{TimeUnixNano: ^uint64(0), Body: text("the last time")}, {Body: text("line\nfeed, \u2028, \x00 and \"quotes\"")},
			{Body: &sluicev1.AnyValue{Value: &sluicev1.AnyValue_BytesValue{BytesValue: []byte("\xff\x00")}}, TraceId: []byte{1}},
		}
		for _, r := range odd {
			if err := a.Add(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		a.exit()
		g.stop()
		lines := slices.Collect(strings.Lines(screen.String()))
		if len(lines) != len(odd) {
			t.Fatalf("%d lines of %d records", len(lines), len(odd))
		}
		for i, line := range lines {
			var got struct {
				Time       string
				Body       any
				Sequence   int
				Attributes map[string]any
				Resource   map[string]any
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.Sequence != i+1 || got.Resource["host.name"] != "h\n1" {
				t.Errorf("line %d: %v, %+v", i+1, err, got)
			}
			if want := odd[i].GetBody().GetStringValue(); want != "" && got.Body != want {
				t.Errorf("line %d: body %q, want %q", i+1, got.Body, want)
			}
			if n := len(got.Attributes); n != len(odd[i].GetAttributes()) {
				t.Errorf("line %d: %d attributes", i+1, n)
			}
			if i == 6 && !strings.HasPrefix(got.Time, "2200-01-01T00:00:00") {
				t.Errorf("line %d: time %q", i+1, got.Time)
			}
			if _, err := time.Parse(time.RFC3339Nano, got.Time); err != nil {
				t.Errorf("line %d: %v", i+1, err)
			}
		}
	})
}
