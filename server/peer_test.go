package server

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

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

// goesOn checks that a stream of another connection is served at once.
func goesOn(t *testing.T, r *rig) {
	t.Helper()
	c, hangUp := r.client()
	defer hangUp()
	began := time.Now()
	p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "other", Epoch: uint64(began.UnixNano())})
	p.append(1, "one")
	p.until(acked(1))
	_ = p.CloseSend()
	if err := p.end(); !errors.Is(err, io.EOF) {
		t.Errorf("other stream ended with %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("other stream took %v", took)
	}
}

// A client that sends a byte a second is served as it sends. Its connection is given up where it does not even answer a
// ping in time, for its answer stands behind its own frames.
func TestByteASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		var slow atomic.Bool
		conn := r.dial(func(c net.Conn) net.Conn { return slowConn{c, &slow} })
		defer func() { _ = conn.Close() }()
		p := open(t.Context(), t, sluicev1.NewIngestServiceClient(conn), &sluicev1.Open{StreamId: "slow"})
		slow.Store(true)
		p.append(1, "x")
		p.until(acked(1))
		goesOn(t, r)
		p.append(2, strings.Repeat("x", 1000))
		if err := p.end(); status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v", err)
		}
		goesOn(t, r)
		synctest.Wait()
		if n := r.engine.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		if got := r.out.bodies("slow"); len(got) != 1 {
			t.Errorf("delivered %d records", len(got))
		}
	})
}

// A client that sends a byte a second from the start does not get as far as a call.
func TestSlowHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		c, err := r.lis.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		began := time.Now()
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for err == nil {
			_, err = c.Write([]byte("P"))
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("was cut off after %v", took)
		}
		goesOn(t, r)
	})
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

// A client that vanishes in the middle of an append leaves nothing of it, and can resume.
func TestVanishesMidAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		defer r.finish()
		var left atomic.Int64
		left.Store(1 << 40)
		conn := r.dial(func(c net.Conn) net.Conn { return cutConn{c, &left} })
		defer func() { _ = conn.Close() }()
		p := open(t.Context(), t, sluicev1.NewIngestServiceClient(conn), &sluicev1.Open{StreamId: "s1", Epoch: 1})
		p.append(1, "one")
		p.until(acked(1))
		left.Store(30_000)
		_ = p.Send(appendRequest(&sluicev1.Append{FirstSequence: 2, Records: records(strings.Repeat("x", 100_000))}))
		if err := p.end(); status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v", err)
		}
		synctest.Wait()
		if n := r.engine.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		goesOn(t, r)

		c, hangUp := r.client()
		defer hangUp()
		s, err := c.StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again := &producer{s, t}
		again.send(openRequest(&sluicev1.Open{StreamId: "s1", Tag: "app.test", Epoch: 1, FirstSequence: 2}))
		if st := again.status(); st.GetNextSequence() != 2 {
			t.Errorf("resumes with %v", st)
		}
		again.append(2, "two")
		again.until(acked(2))
		if got := strings.Join(r.out.bodies("s1"), " "); got != "one two" {
			t.Errorf("delivered %q", got)
		}
	})
}
