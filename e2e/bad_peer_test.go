package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// However a producer behaves, or its network, nobody else notices.
func TestBadPeer(t *testing.T) {
	for _, c := range []struct {
		phrase  string
		act     func(s *scene)
		counted counted
	}{
		{"ignores pause for ever", ignoresPause, counted{paused: some, admitted: some}},
		{"never reads statuses", neverReads, counted{invalidUTF8: 100 * 100, aborted: 1}},
		{"sends a byte a second", byteASecond, counted{canceled: 1}},
		{"vanishes mid-append", vanishesMidAppend, counted{canceled: 1}},
		{"vanishes without a word", vanishesSilently, counted{canceled: 1}},
		{"half-closes while paused", halfClosesWhilePaused, counted{paused: 1}},
		{"opens and says nothing more", opensOnly, counted{canceled: 1}},
		{"calls and never opens", neverOpens, counted{`sluice_calls_total{code="DeadlineExceeded",method="StreamLogs"}`: 1}},
		{"calls SendLogs and never sends", neverSends, counted{`sluice_calls_total{code="DeadlineExceeded",method="SendLogs"}`: 1}},
		{"connects and says nothing at all", saysNothing, nil},
		{"greets with a byte a second", slowHandshake, nil},
		{"reconnects for ever", reconnectsForEver, counted{aborted: 100, canceled: 100}},
	} {
		t.Run(c.phrase, func(t *testing.T) { play(t, c.act, c.counted) })
	}
}

// HTTP/2 holds the producer at the ceiling, and nothing is lost.
func ignoresPause(s *scene) {
	s.refuses()
	p := s.producer(&sluicev1.Open{})
	var all []string
	for i := range 200 {
		all = append(all, fmt.Sprint(i, strings.Repeat("x", 10_000)))
	}
	sent := make(chan error, 1)
	go func() {
		for i, body := range all {
			if err := p.Send(appendRequest(uint64(i+1), body)); err != nil {
				sent <- err
				return
			}
		}
		sent <- p.CloseSend()
	}()
	time.Sleep(10 * time.Minute)
	if len(sent) > 0 {
		s.t.Error("all was read")
	}
	if held := s.engine.Stats().TenantHeld["default"]; held < streamLimit || held > 2*streamLimit+11_000 {
		s.t.Errorf("%d bytes are held, ceiling %d", held, 2*streamLimit)
	}
	s.out.will(nil)
	if err := p.end(); err != io.EOF { //nolint:errorlint // the generated client answers it bare
		s.t.Errorf("ended with %v", err)
	}
	if err := <-sent; err != nil {
		s.t.Error(err)
	}
	s.wantDelivered(all...)
}

// Every second record is faulty: the rejections fill the statuses, and these the client's window. The call goes on, and
// still ends when a newer connection takes the stream over.
func neverReads(s *scene) {
	p := s.producer(&sluicev1.Open{Epoch: 1})
	var frame wire
	var all []string
	for range 100 {
		frame = frame.field(2, marshal(s.t, records("good")[0])).field(2, wire{}.field(3, []byte("\xff")))
	}
	for range 100 {
		p.raw(wire{}.field(2, frame))
		time.Sleep(time.Second)
	}
	for range 100 * 100 {
		all = append(all, "good")
	}
	s.wantDelivered(all...)
	heir := s.net.connect(s.t)
	newProducer(s.t.Context(), s.t, heir).open(asCulprit(&sluicev1.Open{Epoch: 2})).leave()
	if err := heir.Close(); err != nil {
		s.t.Error(err)
	}
	time.Sleep(10 * time.Second) // what is under way to the client is waited for, for a while
}

// A slowConn sends a byte a second once it is slow.
type slowConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c slowConn) Write(b []byte) (int, error) {
	if !c.slow.Load() {
		return c.Conn.Write(b)
	}
	for i := range b {
		time.Sleep(time.Second)
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// It is served as it sends, until it does not answer a ping in time: its answer stands behind its own bytes.
func byteASecond(s *scene) {
	var slow atomic.Bool
	conn := s.net.connect(s.t, s.net.through(func(c net.Conn) net.Conn { return slowConn{c, &slow} }))
	p := newProducer(s.t.Context(), s.t, conn).open(asCulprit(&sluicev1.Open{}))
	slow.Store(true)
	p.append(1, "x")
	p.untilAcked(1)
	p.append(2, strings.Repeat("x", 1000))
	if err := p.end(); status.Code(err) != codes.Unavailable {
		s.t.Errorf("ended with %v", err)
	}
	if err := conn.Close(); err != nil {
		s.t.Error(err)
	}
	s.wantDelivered("x")
}

// A cutConn is lost after so many more bytes, in the middle of whatever is being sent.
type cutConn struct {
	net.Conn
	left *atomic.Int64
}

func (c cutConn) Write(b []byte) (int, error) {
	if left := c.left.Add(-int64(len(b))); left < 0 {
		n, _ := c.Conn.Write(b[:max(0, int64(len(b))+left)])
		_ = c.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Nothing is taken of an append that did not come whole, and its producer can resume.
func vanishesMidAppend(s *scene) {
	var left atomic.Int64
	left.Store(1 << 40)
	conn := s.net.connect(s.t, s.net.through(func(c net.Conn) net.Conn { return cutConn{c, &left} }))
	p := newProducer(s.t.Context(), s.t, conn).open(asCulprit(&sluicev1.Open{Epoch: 1}))
	p.append(1, "one")
	p.untilAcked(1)
	left.Store(30_000)
	_ = p.Send(appendRequest(2, "two", strings.Repeat("x", 100_000)))
	if err := p.end(); status.Code(err) != codes.Unavailable {
		s.t.Errorf("ended with %v", err)
	}
	if err := conn.Close(); err != nil {
		s.t.Error(err)
	}
	synctest.Wait() // the gateway has noticed: or the connection would be taken over, and end with another code
	again := s.producer(&sluicev1.Open{Epoch: 1, FirstSequence: 2})
	if next := again.last.GetNextSequence(); next != 2 {
		s.t.Errorf("resumes at %d", next)
	}
	again.append(2, "two")
	again.untilAcked(2)
	again.leave()
	s.wantDelivered("one", "two")
}

// A deadConn swallows what is sent, and nothing comes any more, once it is dead: as behind a firewall that forgot it.
type deadConn struct {
	net.Conn
	dead *atomic.Bool
}

func (c deadConn) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c deadConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.dead.Load() {
			return n, err
		}
	}
}

// The gateway pings a connection that is quiet, and gives it up.
func vanishesSilently(s *scene) {
	var dead atomic.Bool
	conn := s.net.connect(s.t, s.net.through(func(c net.Conn) net.Conn { return deadConn{c, &dead} }))
	p := newProducer(s.t.Context(), s.t, conn).open(asCulprit(&sluicev1.Open{}))
	p.append(1, "one")
	p.untilAcked(1)
	dead.Store(true)
	time.Sleep(time.Minute)
	if n := s.engine.Stats().Sessions; n != 2 {
		s.t.Errorf("%d sessions are open, want the bystanders'", n)
	}
	if err := conn.Close(); err != nil {
		s.t.Error(err)
	}
	_ = p.end()
	s.wantDelivered("one")
}

func halfClosesWhilePaused(s *scene) {
	s.refuses()
	p := s.producer(&sluicev1.Open{})
	all := []string{strings.Repeat("x", 70_000), "two"}
	p.append(1, all...)
	p.untilState(sluicev1.State_STATE_PAUSED)
	if err := p.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	s.out.will(nil)
	p.untilAcked(2)
	if err := p.end(); err != io.EOF { //nolint:errorlint // the generated client answers it bare
		s.t.Errorf("ended with %v", err)
	}
	s.wantDelivered(all...)
}

func opensOnly(s *scene) {
	ctx, cancel := context.WithCancel(s.t.Context())
	p := newProducer(ctx, s.t, s.conn).open(asCulprit(&sluicev1.Open{}))
	time.Sleep(10 * time.Minute)
	if n := s.engine.Stats().Sessions; n != 3 {
		s.t.Errorf("%d sessions are open", n)
	}
	cancel()
	_ = p.end()
}

func neverOpens(s *scene) {
	p := newProducer(s.t.Context(), s.t, s.conn)
	if err := p.end(); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "open: did not come within") {
		s.t.Errorf("ended with %v", err)
	}
}

func neverSends(s *scene) {
	call, err := s.conn.NewStream(s.t.Context(), &grpc.StreamDesc{ClientStreams: true}, sluicev1.IngestService_SendLogs_FullMethodName)
	if err != nil {
		s.t.Fatal(err)
	}
	err = call.RecvMsg(&sluicev1.SendLogsResponse{})
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "request: did not come within") {
		s.t.Errorf("ended with %v", err)
	}
}

func saysNothing(s *scene) {
	c, err := s.net.dial(s.t.Context(), "gateway")
	if err != nil {
		s.t.Fatal(err)
	}
	began := time.Now()
	_, _ = io.Copy(io.Discard, c) // until it is closed at the other end
	if took := time.Since(began); took > 15*time.Second {
		s.t.Errorf("was cut off after %v", took)
	}
	_ = c.Close()
}

// It does not get as far as a call.
func slowHandshake(s *scene) {
	c, err := s.net.dial(s.t.Context(), "gateway")
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	began := time.Now()
	for err == nil {
		_, err = c.Write([]byte("P"))
		time.Sleep(time.Second)
	}
	if took := time.Since(began); took > 15*time.Second {
		s.t.Errorf("was cut off after %v", took)
	}
	_ = c.Close()
}

// Every other connection is still there when the next one comes, and is taken over.
func reconnectsForEver(s *scene) {
	connect := func(ctx context.Context) *producer {
		p := newProducer(ctx, s.t, s.conn).open(asCulprit(&sluicev1.Open{Epoch: 1, FirstSequence: 1}))
		p.append(1, "one")
		p.untilAcked(1)
		if next := p.last.GetNextSequence(); next != 2 {
			s.t.Fatalf("next sequence %d", next)
		}
		return p
	}
	for range 100 {
		connect(s.t.Context())
		ctx, cancel := context.WithCancel(s.t.Context())
		p := connect(ctx)
		cancel()
		_ = p.end()
		synctest.Wait() // the gateway has noticed
	}
	s.wantDelivered("one")
}

// A gateway on memory that was killed knows nothing any more. What it had acked was delivered; the SDK sends the rest to
// the one that comes after, which goes on with its numbers.
func TestReconnectToAGatewayThatHasForgottenEverything(t *testing.T) {
	play(t, func(s *scene) {
		first := s.startAt("moving")
		a := s.net.app(s.t, "moving", sluice.StreamOptions{ID: culprit, Tag: "app." + culprit})
		all := numbered(200)
		a.log(all[:50]...)
		a.flush()
		s.refuses()
		a.log(all[50:100]...)
		time.Sleep(time.Second) // they are there, and not delivered
		first.kill()
		a.log(all[100:150]...)
		s.out.will(nil)
		time.Sleep(time.Minute)
		second := s.startAt("moving")
		a.log(all[150:]...)
		a.flush()
		st := a.Stats()
		if st.Acked != 200 || st.Reconnects != 1 || st.Resent != 50 {
			t.Errorf("%d acked, %d reconnects, %d resent", st.Acked, st.Reconnects, st.Resent)
		}
		a.exit()
		second.stop()
		wantBodies(t, s.out, culprit, all)
		for i, r := range s.out.arrivals(culprit) {
			if r.sequence != uint64(i+1) {
				t.Fatalf("record %d has sequence %d", i+1, r.sequence)
			}
		}
	}, nil)
}
