// Package e2e tests the gateway as a whole: the SDK or a plain gRPC client at one end, destinations at the other, and
// between them the server, the engine, the memory buffer and a scheduler, as serve wires them.
package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/server"
	"github.com/sluicelog/sluice/server/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A gateway is a running one.
type gateway struct {
	t       testing.TB
	engine  *engine.Engine
	server  *server.Server
	admin   *admin.Server
	web     *enginetest.Pipe // of admin
	serving sync.WaitGroup
	over    bool // it was stopped or killed
}

// start runs a gateway. What options leave out: the memory buffer, and one route that takes all to all outputs. It is
// killed where the test ends before it was stopped: a bubble that is left while something runs in it panics, and what
// failed is lost among all that is said of that.
func start(t testing.TB, lis net.Listener, eo engine.Options, so server.Options) *gateway {
	t.Helper()
	if eo.Routes == nil {
		all := engine.Route{Match: "**"}
		for _, o := range eo.Outputs {
			all.Outputs = append(all.Outputs, o.Name)
		}
		eo.Routes = []engine.Route{all}
	}
	metrics := admin.NewMetrics("test")
	eo.Observer = metrics
	if eo.NewBuffer == nil {
		eo.NewBuffer = func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil }
	}
	g := &gateway{t: t, web: enginetest.NewPipe()}
	var err error
	if g.engine, err = engine.New(eo); err != nil {
		t.Fatal(err)
	}
	if g.server, err = server.New(g.engine, so); err != nil {
		t.Fatal(err)
	}
	g.admin, err = admin.New(admin.Options{Sources: admin.Sources{Engine: g.engine.Stats, Server: g.server.Stats}, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	for _, serve := range []func() error{
		func() error { return g.server.Serve(lis) },
		func() error { return g.admin.Serve(g.web) },
	} {
		g.serving.Go(func() {
			if err := serve(); err != nil {
				t.Error(err)
			}
		})
	}
	g.admin.SetReady(true)
	t.Cleanup(func() {
		if !g.over {
			g.kill()
		}
	})
	return g
}

// drain is the first phase of a stop: no new streams, all that is held is delivered, and producers have left.
func (g *gateway) drain(ctx context.Context) error {
	g.admin.SetReady(false)
	g.server.Drain()
	if err := g.engine.Drain(ctx); err != nil {
		return err
	}
	for g.engine.Stats().Sessions > 0 && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
	}
	return g.engine.Drain(ctx)
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// stop drains the gateway and ends it. Whatever came before, all is delivered, and no meter is off 0 at the end.
func (g *gateway) stop() {
	g.t.Helper()
	g.over = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.drain(ctx); err != nil {
		g.t.Errorf("drain: %v", err)
	}
	left, err := g.engine.Close(ctx)
	if err := errors.Join(err, g.server.Stop(ctx), g.admin.Stop(ctx)); err != nil || len(left) > 0 {
		g.t.Errorf("stop: %v, undelivered %+v", err, left)
	}
	g.serving.Wait()
	g.atRest()
}

// kill ends the gateway as a crash would: connections are cut, and what it holds is gone.
func (g *gateway) kill() {
	g.t.Helper()
	g.over = true
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.server.Stop(now); err != nil && !errors.Is(err, context.Canceled) {
		g.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := g.engine.Close(ctx); err != nil {
		g.t.Error(err)
	}
	if err := g.admin.Stop(ctx); err != nil {
		g.t.Error(err)
	}
	g.serving.Wait()
}

func (g *gateway) atRest() {
	g.t.Helper()
	st := g.engine.Stats()
	if st.Held != 0 || st.Sessions != 0 {
		g.t.Errorf("at rest %d bytes are held, %d sessions open", st.Held, st.Sessions)
	}
	for tenant, held := range st.TenantHeld {
		if held != 0 {
			g.t.Errorf("at rest tenant %q holds %d bytes", tenant, held)
		}
	}
	for _, o := range st.Outputs {
		if o.ShareUsed != 0 || o.Backlog.Records != 0 {
			g.t.Errorf("at rest output %q has %d bytes of its share, %d records to deliver", o.Name, o.ShareUsed, o.Backlog.Records)
		}
	}
}

// get asks the admin port.
func (g *gateway) get(path string) (code int, body string) {
	g.t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return g.web.Dial(ctx) },
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://admin"+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// metrics scrapes /metrics: values by series, as they are written there.
func (g *gateway) metrics() map[string]float64 {
	g.t.Helper()
	_, body := g.get("/metrics")
	all := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			g.t.Fatalf("metrics: %q: %v", line, err)
		}
		all[line[:i]] = v
	}
	return all
}

// keyed is an output on the default scheduler. Retries are quick, so that cases are short.
func keyed(name string, out engine.Output) engine.OutputOptions {
	limits := engine.BatchLimits{MaxBytes: 1 << 20, MaxRecords: 10_000}
	return engine.OutputOptions{
		Name: name, Output: out, Scheduler: schedule.NewKeyed(limits, schedule.Fixed(8)),
		Retry: engine.Retry{Base: 100 * time.Millisecond, Cap: time.Second},
	}
}
