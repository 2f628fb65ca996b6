package e2e

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server"
)

// A stream that is read no more piles up no more than its window, however long its producer pours. With windows that
// grow by themselves that would be megabytes.
func TestUnreadBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window, appendBytes = 128 << 10, 10_000
		s := newSite(t, engine.Limits{Stream: streamLimit}, server.Options{StreamWindow: window})
		s.out.will(func(context.Context, *engine.Batch) error { return errors.New("not now") })
		p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "s", Tag: "app"})
		var sent atomic.Int64
		poured := make(chan error, 1)
		go func() {
			for range 500 {
				if err := p.Send(appendRequest(0, strings.Repeat("x", appendBytes))); err != nil {
					poured <- err
					return
				}
				sent.Add(appendBytes)
			}
			poured <- p.CloseSend()
		}()
		time.Sleep(time.Hour)
		// What the ceiling lets in, the window, an append that is being read, and what a client queues before it blocks.
		const most = 2*streamLimit + window + 2*appendBytes + 64<<10
		if n := sent.Load(); n < 2*streamLimit || n > most {
			t.Errorf("%d bytes were taken, want at most %d", n, most)
		}
		s.out.will(nil)
		p.untilAcked(500)
		if err := <-poured; err != nil {
			t.Error(err)
		}
		s.stop()
		if n := len(s.out.bodies("s")); n != 500 {
			t.Errorf("%d records came", n)
		}
	})
}

// A connection carries so many calls at a time, and so much of headers. What is over that waits, or is refused, alone.
func TestConnectionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{}, server.Options{MaxStreams: 2})
		conn := s.net.connect(t)
		one := newProducer(t.Context(), t, conn).open(&sluicev1.Open{Tag: "app"})
		two := newProducer(t.Context(), t, conn).open(&sluicev1.Open{Tag: "app"})
		send := func(ctx context.Context) error {
			_, err := sluicev1.NewIngestServiceClient(conn).SendLogs(ctx, &sluicev1.SendLogsRequest{Tag: "app", Records: records("x")})
			return err
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := send(soon); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a third call: %v", err)
		}
		one.leave()
		if err := send(t.Context()); err != nil {
			t.Errorf("a call once there is room: %v", err)
		}
		if err := send(metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", 20<<10))); err == nil {
			t.Error("20 KiB of headers were taken")
		}
		two.append(1, "x")
		two.untilAcked(1)
		two.leave()
		s.stop()
	})
}

// The gateway takes so many streams, known ones included. One more is refused and told when to come again; nobody else
// notices.
func TestStreamsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{Streams: 2}, server.Options{})
		conn := s.net.connect(t)
		one := newProducer(t.Context(), t, conn).open(&sluicev1.Open{StreamId: "one", Tag: "app"})
		two := newProducer(t.Context(), t, conn).open(&sluicev1.Open{StreamId: "two", Tag: "app"})
		err := newProducer(t.Context(), t, conn).end() // before it has opened
		if i := info(err); status.Code(err) != codes.ResourceExhausted || i.GetReason() != "TOO_MANY_STREAMS" || retryAfter(err) <= 0 {
			t.Errorf("a third stream: %v", err)
		}
		if n := s.metrics()[`sluice_calls_total{code="ResourceExhausted",method="StreamLogs"}`]; n != 1 {
			t.Errorf("%v were counted", n)
		}
		one.leave()
		newProducer(t.Context(), t, conn).open(&sluicev1.Open{StreamId: "three", Tag: "app"}).leave()
		two.append(1, "x")
		two.untilAcked(1)
		two.leave()
		s.stop()
	})
}
