package server

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A paused stream is told again every 5 s, an active one is not.
func TestStatusRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 1000}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})

		statuses := make(chan *sluicev1.StreamStatus, 100)
		go func() {
			defer close(statuses)
			for {
				m, err := p.Recv()
				if err != nil {
					return
				}
				statuses <- m.GetStatus()
			}
		}()
		count := func() (n int, last *sluicev1.StreamStatus) {
			time.Sleep(61 * time.Second)
			for len(statuses) > 0 {
				n, last = n+1, <-statuses
			}
			return n, last
		}
		if n, _ := count(); n != 0 {
			t.Errorf("%d statuses while active", n)
		}
		r.out.shut.Store(true)
		p.append(1, strings.Repeat("x", 70_000))
		if n, last := count(); n < 12 || n > 14 || last.GetState() != sluicev1.State_STATE_PAUSED ||
			last.GetReason() != sluicev1.Reason_REASON_STREAM_LIMIT {
			t.Errorf("%d statuses while paused, last %v", n, last)
		}
		r.out.shut.Store(false)
		if n, last := count(); n == 0 || n > 2 || last.GetState() != sluicev1.State_STATE_ACTIVE || last.GetAckedSequence() != 1 {
			t.Errorf("%d statuses after resume, last %v", n, last)
		}
		_ = p.CloseSend()
		for range statuses { // until the call has ended
		}
	})
}

func TestHalfCloseWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 64 << 10}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		r.out.shut.Store(true)
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})
		p.append(1, strings.Repeat("x", 70_000))
		p.append(2, "two")
		p.until(inState(sluicev1.State_STATE_PAUSED))
		if err := p.CloseSend(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.out.shut.Store(false)
		p.until(acked(2))
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		if got := r.out.bodies("s1"); len(got) != 2 || got[1] != "two" {
			t.Errorf("delivered %d records", len(got))
		}
	})
}

// A client that ignores PAUSED for ever is held by HTTP/2 at the ceiling, and nothing is lost.
func TestIgnoresPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 64 << 10}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		r.out.shut.Store(true)
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})
		const n = 100
		sent := make(chan error, 1)
		go func() {
			for i := range uint64(n) {
				if err := p.Send(appendRequest(&sluicev1.Append{FirstSequence: i + 1, Records: records(strings.Repeat("x", 10_000))})); err != nil {
					sent <- err
					return
				}
			}
			sent <- p.CloseSend()
		}()
		time.Sleep(time.Minute)
		if held := r.engine.Stats().Held; held > 512<<10 {
			t.Errorf("holds %d bytes", held)
		}
		if len(sent) > 0 {
			t.Error("all was read")
		}
		r.out.shut.Store(false)
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if got := r.out.bodies("s1"); len(got) != n {
			t.Errorf("delivered %d records", len(got))
		}
	})
}

// A client that never reads its statuses holds up its own statuses and nothing else: its appends and the other streams go
// on, and its call ends when a newer connection takes the stream over.
func TestNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		conn := r.dial(nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{newCodec()})))
		defer func() { _ = conn.Close() }()
		c := sluicev1.NewIngestServiceClient(conn)
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "deaf", Epoch: 1})

		// Every second record is faulty: that makes statuses of some kilobytes, and so fills the client's window.
		var all wire
		for range 100 {
			all = all.bytes(2, marshal(t, record("good"))).bytes(2, wire{}.bytes(3, []byte("\xff")))
		}
		const appends = 200
		for range appends {
			if err := p.SendMsg(wire{}.bytes(2, all)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := r.out.bodies("deaf"); len(got) != appends*100 {
			t.Errorf("delivered %d records", len(got))
		}
		other, hangUp := r.client()
		defer hangUp()
		q := open(t.Context(), t, other, &sluicev1.Open{StreamId: "other"})
		q.append(1, "one")
		q.until(acked(1))
		_ = q.CloseSend()
		if err := q.end(); !errors.Is(err, io.EOF) {
			t.Errorf("other stream ended with %v", err)
		}
		if n := r.Server.Stats().Calls[CallLabel{"StreamLogs", codes.Aborted}]; n != 0 {
			t.Fatal("ended before it was fenced")
		}
		heir := open(t.Context(), t, other, &sluicev1.Open{StreamId: "deaf", Epoch: 2})
		time.Sleep(2 * statusInterval)
		if n := r.Server.Stats().Calls[CallLabel{"StreamLogs", codes.Aborted}]; n != 1 {
			t.Errorf("%d calls ended ABORTED", n)
		}
		_ = heir.CloseSend()
		_ = heir.end()
	})
}

// Rejections are given once: those of a status that was not sent go into the next.
func TestMergeKeepsRejections(t *testing.T) {
	var c call
	for i := range uint64(250) {
		c.merge(engine.Status{Acked: i, Rejections: []engine.Rejection{{First: 2 * i, Last: 2 * i, Count: 1, Message: "bad"}}}, engine.NewsNow)
	}
	total := uint64(0)
	for _, r := range c.unsent.Rejections {
		total += r.Count
	}
	last := c.unsent.Rejections[len(c.unsent.Rejections)-1]
	if c.unsent.Acked != 249 || len(c.unsent.Rejections) != 100 || total != 250 || last.Last != 498 {
		t.Errorf("acked %d, %d ranges, %d records, last %+v", c.unsent.Acked, len(c.unsent.Rejections), total, last)
	}
}
