package server

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestDrainAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		conn := r.dial(nil)
		defer func() { _ = conn.Close() }()
		health := healthv1.NewHealthClient(conn)
		check := func(want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			for _, service := range []string{"", "sluice.v1.IngestService"} {
				m, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
				if err != nil || m.GetStatus() != want {
					t.Errorf("health of %q: %v, %v", service, m, err)
				}
			}
		}
		check(healthv1.HealthCheckResponse_SERVING)
		c := sluicev1.NewIngestServiceClient(conn)
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})
		r.Drain()
		check(healthv1.HealthCheckResponse_NOT_SERVING)

		late, err := c.StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = (&producer{late, t}).end()
		wantError(t, err, codes.Unavailable, "")
		_, err = c.SendLogs(t.Context(), &sluicev1.SendLogsRequest{Tag: "app.test", Records: records("one")})
		wantError(t, err, codes.Unavailable, "")

		// Whoever is there goes on, and is waited for.
		stopped := make(chan error, 1)
		go func() { stopped <- r.Stop(context.Background()) }()
		synctest.Wait()
		p.append(1, "one")
		p.until(acked(1))
		if len(stopped) > 0 {
			t.Error("did not wait")
		}
		_ = p.CloseSend()
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		r.finish()
	})
}

// A stop that has waited long enough cuts off whatever is there: streams that idle, one that waits at its ceiling, and one
// whose client never opened it.
func TestStopCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 64 << 10}, Options{})
		c, hangUp := r.client()
		defer hangUp()
		r.out.shut.Store(true)
		idle := open(t.Context(), t, c, &sluicev1.Open{StreamId: "idle"})
		full := open(t.Context(), t, c, &sluicev1.Open{StreamId: "full"})
		for i := range uint64(5) {
			full.append(i+1, strings.Repeat("x", 60_000))
		}
		unopened, err := c.StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		for _, p := range []*producer{idle, full, {unopened, t}} {
			if err := p.end(); status.Code(err) != codes.Unavailable {
				t.Errorf("ended with %v", err)
			}
		}
		r.finish()
	})
}

// Calls that nothing is lost with hold a stop up for no time: those of whom watches health or reflects, and streams and
// sends of which nothing has come.
func TestStopDoesNotWaitForIdleCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		conn := r.dial(nil)
		defer func() { _ = conn.Close() }()
		watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
		reflects, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unopened, err := sluicev1.NewIngestServiceClient(conn).StreamLogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		send := unsent(t, conn)
		synctest.Wait()

		r.Drain()
		err = (&producer{unopened, t}).end()
		wantError(t, err, codes.Unavailable, "")
		if info, retry := detail(err); info.GetReason() != "DRAINING" || retry == nil {
			t.Errorf("a stream without Open: %v, %v", info, retry)
		}
		wantError(t, send.RecvMsg(&sluicev1.SendLogsResponse{}), codes.Unavailable, "")
		if m, err := watch.Recv(); err != nil || m.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health: %v, %v", m, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("watch ended with %v", err)
		}
		if _, err := reflects.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("reflection ended with %v", err)
		}
		r.finish()
	})
}

// A peer that is gone, and was told all there was to tell, makes no error; neither does one that says nothing at all. A stop
// takes no longer for either than it may.
func TestStopWithSilentPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{}, Options{})
		var gone atomic.Bool
		conn := r.dial(func(c net.Conn) net.Conn { return goneConn{c, &gone} })
		p := open(t.Context(), t, sluicev1.NewIngestServiceClient(conn), &sluicev1.Open{StreamId: "s1"})
		p.append(1, "one")
		p.until(acked(1))
		gone.Store(true)
		if err := r.engine.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		silent, err := r.lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		_ = silent.Close()
		_ = conn.Close()
		r.finish()
	})
}

// A goneConn sends nothing any more once it is gone.
type goneConn struct {
	net.Conn
	gone *atomic.Bool
}

func (c goneConn) Write(b []byte) (int, error) {
	if c.gone.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
