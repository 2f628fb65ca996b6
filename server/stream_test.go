package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestStreamLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		s, err := c.StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := &producer{s, t}
		p.send(openRequest(&sluicev1.Open{StreamId: "s1", Tag: "app.test", Epoch: 5, FirstSequence: 1}))
		st := p.status()
		if st.GetState() != sluicev1.State_STATE_ACTIVE || st.GetStreamId() != "s1" || st.GetNextSequence() != 1 ||
			st.GetMaxAppendBytes() != 1<<20 || st.GetDurable() || st.GetDurability() != sluicev1.Durability_DURABILITY_MEMORY || st.GetLimitBytes() == 0 {
			t.Errorf("first status %v", st)
		}
		p.append(1, "one", "two")
		p.append(3, "three")
		p.until(acked(3))
		if err := p.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		if got := strings.Join(r.out.bodies("s1"), " "); got != "one two three" {
			t.Errorf("delivered %q", got)
		}
	})
}

// Whoever closes at once still gets the status that acks all.
func TestLastStatusBeforeOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		p := open(t.Context(), t, c, &sluicev1.Open{})
		p.append(0, "one", "two")
		if err := p.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var last *sluicev1.StreamStatus
		for {
			m, err := p.Recv()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			last = m.GetStatus()
		}
		if last.GetAckedSequence() != 2 {
			t.Errorf("last status %v", last)
		}
	})
}

// rawCodec lets a client send bytes as a message.
type rawCodec struct{ codec }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(wire); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.codec.Marshal(v)
}

func TestStreamLogsRefuses(t *testing.T) {
	opened := wire(marshal(t, openRequest(&sluicev1.Open{Tag: "app.test"})))
	big := appendRequest(&sluicev1.Append{Records: records(strings.Repeat("x", 1<<20))})
	cases := []struct {
		name  string
		sends []wire
		code  codes.Code
		field string
		says  string
	}{
		{"nothing", nil, codes.InvalidArgument, "open", "the first message must be Open"},
		{"first message not Open", []wire{marshal(t, appendRequest(&sluicev1.Append{}))}, codes.InvalidArgument, "open", "the first message must be Open"},
		{"a second Open", []wire{opened, opened}, codes.InvalidArgument, "open", "comes once"},
		{"not protobuf", []wire{wire("GET / HTTP/1.1")}, codes.InvalidArgument, "request", "malformed"},
		{"truncated", []wire{opened[:len(opened)-3]}, codes.InvalidArgument, "request", "malformed"},
		{"truncated append", []wire{opened, wire{}.bytes(2, wire{}.raw(2<<3|2, 9, 1))}, codes.InvalidArgument, "append", "malformed"},
		{"empty message", []wire{opened, {}}, codes.InvalidArgument, "request", "neither"},
		{"tag not UTF-8", []wire{wire{}.bytes(1, wire{}.bytes(2, []byte("app.\xff")))}, codes.InvalidArgument, "open.tag", "UTF-8"},
		{"resource not UTF-8", []wire{wire{}.bytes(1, wire{}.bytes(3, wire{}.bytes(1, wire{}.bytes(1, []byte("\xff")))))},
			codes.InvalidArgument, "open.resource.attributes[0].key", "UTF-8"},
		{"no route", []wire{marshal(t, openRequest(&sluicev1.Open{Tag: "other"}))}, codes.FailedPrecondition, "open.tag", "no route"},
		{"gap", []wire{opened, marshal(t, appendRequest(&sluicev1.Append{FirstSequence: 3, Records: records("x")}))},
			codes.FailedPrecondition, "append.first_sequence", "expected 1, got 3"},
		{"oversize append", []wire{opened, marshal(t, big)}, codes.InvalidArgument, "append", "more than the 1048576"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, engine.Limits{}, Options{})
				defer r.finish()
				conn := r.dial(nil)
				defer func() { _ = conn.Close() }()
				desc := &sluicev1.IngestService_ServiceDesc.Streams[0]
				s, err := conn.NewStream(t.Context(), desc, sluicev1.IngestService_StreamLogs_FullMethodName, grpc.ForceCodecV2(rawCodec{newCodec()}))
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range c.sends {
					if err := s.SendMsg(b); err != nil {
						t.Fatal(err)
					}
				}
				if len(c.sends) == 0 {
					_ = s.CloseSend()
				}
				for err == nil {
					err = s.RecvMsg(&sluicev1.StreamLogsResponse{})
				}
				wantError(t, err, c.code, c.field)
				if !strings.Contains(status.Convert(err).Message(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				synctest.Wait()
				if n := r.Server.Stats().Calls[CallLabel{"StreamLogs", c.code}]; n != 1 {
					t.Errorf("counted %d", n)
				}
			})
		})
	}
}

// What is larger than any append with what stands around it is not read; grpc says so itself.
func TestFrameFarTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		p := open(t.Context(), t, c, &sluicev1.Open{})
		p.append(1, strings.Repeat("x", 3<<20))
		err := p.end()
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "1114112") {
			t.Errorf("got %v", err)
		}
		if _, retry := detail(err); retry != nil {
			t.Error("asks to be tried again")
		}
	})
}

// A fault of one record refuses that record alone.
func TestFaultyRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		conn := r.dial(nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{newCodec()})))
		defer func() { _ = conn.Close() }()
		p := open(t.Context(), t, sluicev1.NewIngestServiceClient(conn), &sluicev1.Open{StreamId: "s1"})
		data := wire{}.varint(1, 1).bytes(2, marshal(t, record("one"))).bytes(2, wire{}.bytes(5, wire{}.bytes(1, []byte("\xff")))).
			bytes(2, marshal(t, record("three")))
		if err := p.SendMsg(wire{}.bytes(2, data)); err != nil {
			t.Fatal(err)
		}
		var all []*sluicev1.Rejection
		p.until(func(st *sluicev1.StreamStatus) bool {
			all = append(all, st.GetRejections()...)
			return st.GetAckedSequence() == 3
		})
		if len(all) != 1 || all[0].GetFirstSequence() != 2 || all[0].GetLastSequence() != 2 || all[0].GetCount() != 1 ||
			all[0].GetCode() != sluicev1.RejectionCode_REJECTION_CODE_INVALID_UTF8 || !strings.Contains(all[0].GetMessage(), "body.string_value") {
			t.Errorf("rejections %v", all)
		}
		if got := strings.Join(r.out.bodies("s1"), " "); got != "one three" {
			t.Errorf("delivered %q", got)
		}
	})
}

func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		first := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1", Epoch: 7})
		second := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1", Epoch: 8})
		wantError(t, first.end(), codes.Aborted, "")

		s, err := c.StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		smaller := &producer{s, t}
		smaller.send(openRequest(&sluicev1.Open{StreamId: "s1", Tag: "app.test", Epoch: 7}))
		err = smaller.end()
		wantError(t, err, codes.FailedPrecondition, "open.epoch")
		if info, _ := detail(err); info.GetReason() != "EPOCH_TOO_SMALL" || info.GetMetadata()["epoch"] != "8" {
			t.Errorf("info %v", info)
		}

		second.append(1, "goes on")
		second.until(acked(1))
		_ = second.CloseSend()
		if err := second.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 64 << 10}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		r.out.shut.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, t, c, &sluicev1.Open{StreamId: "s1"})
		for i := range uint64(5) { // one of them waits at the ceiling
			p.append(i+1, strings.Repeat("x", 60_000))
		}
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		if n := r.engine.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		r.out.shut.Store(false)
		time.Sleep(time.Minute)
		if got := r.out.bodies("s1"); len(got) == 0 || len(got) == 5 {
			t.Errorf("delivered %d records", len(got))
		}
	})
}

func TestContainsPanic(t *testing.T) {
	s := Server{log: slog.New(slog.DiscardHandler)}
	err := s.contain(func() error { panic("oh") })
	if status.Code(err) != codes.Internal || s.Stats().Panics != 1 {
		t.Errorf("got %v, %d panics", err, s.Stats().Panics)
	}
	if strings.Contains(err.Error(), "oh") {
		t.Error("tells the client")
	}
}

// The handler descriptor must stay what generated clients and reflection know.
func TestServiceDesc(t *testing.T) {
	got, want := serviceDesc(), &sluicev1.IngestService_ServiceDesc
	if got.ServiceName != want.ServiceName || got.Metadata != want.Metadata {
		t.Errorf("got %v", got)
	}
	names := func(d *grpc.ServiceDesc) (all []string) {
		for _, m := range d.Methods {
			all = append(all, m.MethodName)
		}
		for _, s := range d.Streams {
			all = append(all, s.StreamName)
		}
		return all
	}
	if !slices.Equal(names(got), names(want)) {
		t.Errorf("methods %v, want %v", names(got), names(want))
	}
}

// Acks that only move on wait for each other, but not one that the producer may be waiting for.
func TestAcksWaitForEachOther(t *testing.T) {
	body := strings.Repeat("x", 100<<10) // flies by itself
	for name, c := range map[string]struct {
		limit int64
		flush bool
		want  time.Duration
	}{
		"moves on":            {limit: 8 << 20, want: leastAckSpacing},
		"asked to flush":      {limit: 8 << 20, flush: true},
		"quarter of a window": {limit: 400 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, engine.Limits{Stream: c.limit}, Options{})
				defer r.finish()
				client, hangUp := r.client()
				defer hangUp()
				p := open(t.Context(), t, client, &sluicev1.Open{})
				time.Sleep(time.Second)
				start := time.Now()
				p.append(1, body)
				p.until(acked(1))
				if first := time.Since(start); first != 0 {
					t.Errorf("the first ack came after %s", first)
				}
				p.send(appendRequest(&sluicev1.Append{FirstSequence: 2, Records: records(body), Flush: c.flush}))
				p.until(acked(2))
				if second := time.Since(start); second != c.want {
					t.Errorf("the second ack came after %s, want %s", second, c.want)
				}
			})
		})
	}
}
