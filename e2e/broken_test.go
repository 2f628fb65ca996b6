package e2e

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server"
)

// A flaky connection is lost after so many bytes in all, in the middle of whatever goes on.
type flakyConn struct {
	net.Conn
	left *atomic.Int64
}

func (c flakyConn) Write(b []byte) (int, error) { return c.count(b, c.Conn.Write) }
func (c flakyConn) Read(b []byte) (int, error)  { return c.count(b, c.Conn.Read) }

func (c flakyConn) count(b []byte, do func([]byte) (int, error)) (int, error) {
	n, err := do(b)
	if c.left.Add(-int64(n)) < 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// Connections break all the time, in either direction. What was not acked is sent again, and the gateway knows what it
// has: each record comes once, in order.
func TestBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{}, server.Options{})
		random := rand.New(rand.NewPCG(1, 2))
		flaky := s.net.through(func(c net.Conn) net.Conn {
			var left atomic.Int64
			left.Store(int64(random.IntN(200_000)))
			return flakyConn{c, &left}
		})
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app", BatchRecords: 50}, flaky)
		all := padded(20_000, 100)
		a.log(all...)
		a.flush()
		if st := a.Stats(); st.Reconnects < 10 || st.Resent == 0 {
			t.Errorf("%d reconnects, %d records resent", st.Reconnects, st.Resent)
		}
		a.exit()
		s.stop()
		wantBodies(t, s.out, "s", all)
	})
}

// reconnectsAtOnce makes a connection that is reset not wait before the next one.
var reconnectsAtOnce = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff: backoff.Config{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
})

// The same over TCP, whose connections are reset: what was under way is gone on both sides.
func TestResetConnections(t *testing.T) {
	out := &destination{}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, lis, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}}, server.Options{})
	relay := newRelay(t, lis.Addr().String(), 300_000)
	defer relay.close()
	a := newApp(t, newClient(t, relay.lis.Addr().String(), reconnectsAtOnce), sluice.StreamOptions{
		ID: "s", Tag: "app", BatchRecords: 100, BackoffBase: time.Millisecond, BackoffCap: time.Millisecond,
	})
	all := padded(20_000, 100)
	a.log(all...)
	a.flush()
	if st := a.Stats(); st.Reconnects < 3 {
		t.Errorf("%d reconnects", st.Reconnects)
	}
	a.exit()
	g.stop()
	wantBodies(t, out, "s", all)
}

// A relay passes TCP connections on, and resets each of them after so many bytes.
type relay struct {
	t     *testing.T
	lis   net.Listener
	to    string
	bytes int64
	ends  sync.WaitGroup
}

func newRelay(t *testing.T, to string, bytes int64) *relay {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, lis: lis, to: to, bytes: bytes}
	r.ends.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			r.ends.Go(func() { r.pass(c) })
		}
	})
	return r
}

func (r *relay) close() {
	_ = r.lis.Close()
	r.ends.Wait()
}

func (r *relay) pass(client net.Conn) {
	gateway, err := net.Dial("tcp", r.to)
	if err != nil {
		r.t.Error(err)
		_ = client.Close()
		return
	}
	var left atomic.Int64
	left.Store(r.bytes)
	var once sync.Once
	end := func() {
		once.Do(func() {
			for _, c := range []net.Conn{client, gateway} {
				_ = c.(*net.TCPConn).SetLinger(0) // closing resets
				_ = c.Close()
			}
		})
	}
	for _, way := range [][2]net.Conn{{client, gateway}, {gateway, client}} {
		r.ends.Go(func() {
			defer end()
			b := make([]byte, 16<<10)
			for {
				n, err := way[0].Read(b)
				if err != nil || left.Add(-int64(n)) < 0 {
					return
				}
				if _, err := way[1].Write(b[:n]); err != nil {
					return
				}
			}
		})
	}
}
