package server

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestSendLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		var id string
		for i := range uint64(3) {
			m, err := c.SendLogs(t.Context(), &sluicev1.SendLogsRequest{Tag: "app.test", Records: records("one", "two")})
			if err != nil {
				t.Fatal(err)
			}
			st := m.GetStatus()
			if st.GetState() != sluicev1.State_STATE_ACTIVE || st.GetNextSequence() != 2*i+3 || st.GetMaxAppendBytes() != 1<<20 {
				t.Errorf("status %v", st)
			}
			id = st.GetStreamId()
		}
		time.Sleep(time.Second) // small appends gather
		if got := strings.Join(r.out.bodies(id), " "); got != "one two one two one two" {
			t.Errorf("delivered %q of stream %q", got, id)
		}
	})
}

func TestSendLogsRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		conn := r.dial(nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{newCodec()})))
		defer func() { _ = conn.Close() }()
		cases := []struct {
			name    string
			request wire
			code    codes.Code
			field   string
		}{
			{"not protobuf", wire("{}"), codes.InvalidArgument, "request"},
			{"tag", wire{}.bytes(2, []byte("a\x00")), codes.InvalidArgument, "tag"},
			{"resource", wire{}.bytes(3, []byte{0xff}), codes.InvalidArgument, "resource"},
			{"too large", wire{}.bytes(5, make([]byte, 1<<20)), codes.InvalidArgument, "records"},
			{"no route", wire{}.bytes(2, []byte("other")), codes.FailedPrecondition, "open.tag"},
		}
		for _, c := range cases {
			err := conn.Invoke(t.Context(), sluicev1.IngestService_SendLogs_FullMethodName, c.request, &sluicev1.SendLogsResponse{})
			if info, _ := detail(err); status.Code(err) != c.code || info.GetMetadata()["field"] != c.field {
				t.Errorf("%s: got %v (%v), want %v about %q", c.name, err, info, c.code, c.field)
			}
		}
	})
}

func TestSendLogsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 64 << 10}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		r.out.shut.Store(true)
		send := func() error {
			_, err := c.SendLogs(t.Context(), &sluicev1.SendLogsRequest{StreamId: "s1", Tag: "app.test", Records: records(strings.Repeat("x", 40_000))})
			return err
		}
		for range 2 {
			if err := send(); err != nil {
				t.Fatal(err)
			}
		}
		err := send()
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatalf("got %v", err)
		}
		if info, retry := detail(err); info.GetReason() != "PAUSED" || retry.GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("details %v, %v", info, retry)
		}
		r.out.shut.Store(false)
		time.Sleep(time.Minute)
		if err := send(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := r.out.bodies("s1"); len(got) != 3 {
			t.Errorf("delivered %d records, want the three that were taken", len(got))
		}
	})
}

// unsent begins a SendLogs call of which nothing comes until the test sends it.
func unsent(t *testing.T, conn *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, sluicev1.IngestService_SendLogs_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A call with two requests is refused, and the memory of both comes back.
func TestSendLogsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		conn := r.dial(nil)
		defer func() { _ = conn.Close() }()
		const size = 300 << 10
		slab := r.engine.Slabs().Get(size) // the only one of its class
		r.engine.Slabs().Put(slab)
		s := unsent(t, conn)
		for range 2 {
			if err := s.SendMsg(&sluicev1.SendLogsRequest{Tag: "app.test", Records: records(strings.Repeat("x", size))}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.RecvMsg(&sluicev1.SendLogsResponse{}); status.Code(err) != codes.Internal {
			t.Errorf("ended with %v", err)
		}
		synctest.Wait()
		if r.engine.Slabs().Get(size) != slab {
			t.Error("the first request's slab is still in use")
		}
	})
}

// Calls whose request does not come are counted as streams are, and do not last.
func TestSendLogsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Streams: 2}, Options{})
		defer r.finish()
		conn := r.dial(nil)
		defer func() { _ = conn.Close() }()
		c := sluicev1.NewIngestServiceClient(conn)
		began := time.Now()
		calls := []grpc.ClientStream{unsent(t, conn), unsent(t, conn)}
		synctest.Wait()
		request := &sluicev1.SendLogsRequest{Tag: "app.test", Records: records("one")}
		_, err := c.SendLogs(t.Context(), request)
		wantError(t, err, codes.ResourceExhausted, "")
		if info, retry := detail(err); info.GetReason() != "TOO_MANY_STREAMS" || retry.GetRetryDelay().AsDuration() <= 0 {
			t.Errorf("details %v, %v", info, retry)
		}
		for _, call := range calls {
			if err := call.RecvMsg(&sluicev1.SendLogsResponse{}); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("ended with %v", err)
			}
		}
		if took := time.Since(began); took != openTimeout {
			t.Errorf("ended after %v", took)
		}
		if _, err := c.SendLogs(t.Context(), request); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkSendLogs is a call of a hundred records from the client's request to its answer, over memory.
func BenchmarkSendLogs(b *testing.B) {
	r := newRig(b, engine.Limits{Stream: 1 << 30, Engine: 1 << 30}, Options{})
	defer r.finish()
	c, hangUp := r.client()
	defer hangUp()
	request := &sluicev1.SendLogsRequest{Tag: "app.test", Records: records(slices.Repeat([]string{strings.Repeat("x", 200)}, 100)...)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.SendLogs(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}
