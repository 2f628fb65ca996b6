package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/render"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
	"github.com/sluicelog/sluice/outputs/stdout"
	"github.com/sluicelog/sluice/server"
)

// environment is all that the AWS SDK finds. It is set before the bubble.
func environment(t *testing.T) *keys {
	t.Helper()
	k := newKeys(t.TempDir())
	for key, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": k.path,
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "config"),
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_ACCESS_KEY_ID":           "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(key, value)
	}
	return k
}

// A bubble is the host of one gateway within a synctest bubble: one of this process, wired as gateway.yaml says, over
// connections in memory.
type bubble struct {
	cloud     *enginetest.Pipe
	scheduler string                                 // instead of what is ordered; empty: as ordered
	spoil     func(*cloudwatch.Output) engine.Output // what it writes with instead; nil: as it is
}

func (h *bubble) listen(context.Context) (net.Listener, error) {
	h.cloud = enginetest.NewPipe()
	return h.cloud, nil
}

// A local gateway is one of this process.
type local struct {
	listener *enginetest.Pipe
	engine   *engine.Engine
	server   *server.Server
	gone     chan struct{}
	err      error // of serving; to be read once gone is closed
}

func (h *bubble) start(ctx context.Context, o order) (gateway, error) {
	refused, err := stdout.New(stdout.Options{Options: render.Options{Format: render.FormatNDJSON}, Writer: o.dead})
	if err != nil {
		return nil, err
	}
	aws, err := h.output(ctx, o)
	if err != nil {
		return nil, err
	}
	if h.scheduler != "" {
		o.scheduler = h.scheduler
	}
	g := &local{listener: enginetest.NewPipe(), gone: make(chan struct{})}
	limits := engine.BatchLimits{MaxBytes: cwfake.MaxBatchBytes, MaxRecords: cwfake.MaxBatchEvents, Linger: time.Second}
	g.engine, err = engine.New(engine.Options{
		Limits: engine.Limits{Stream: 64 << 10, Engine: 32 << 20},
		Outputs: []engine.OutputOptions{{
			Name: "aws", Output: aws, Scheduler: scheduler(o.scheduler, limits), Linger: limits.Linger,
			Retry:        engine.Retry{Base: 200 * time.Millisecond, Cap: 5 * time.Second},
			FlushTimeout: 30 * time.Second, DeadLetter: "refused",
		}, {
			Name: "refused", Output: refused, Scheduler: scheduler("keyed", refused.Batching()),
		}},
		Routes:    []engine.Route{{Match: "**", Outputs: []string{"aws"}}},
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil },
	})
	if err != nil {
		return nil, err
	}
	if g.server, err = server.New(g.engine, server.Options{}); err != nil {
		return nil, err
	}
	go func() {
		defer close(g.gone)
		g.err = g.server.Serve(g.listener)
	}()
	return g, nil
}

func (h *bubble) output(ctx context.Context, o order) (engine.Output, error) {
	out, err := cloudwatch.New(ctx, cloudwatch.Options{
		Region: region, Group: prefix + "{tag}", Stream: "{attr.stream}", Endpoint: o.endpoint, Profile: o.profile,
		Keepalive: &o.keepalive, Timeout: 10 * time.Second, ResponseTimeout: 5 * time.Second, Dial: h.cloud.DialContext,
	})
	if err != nil || h.spoil == nil {
		return out, err
	}
	return h.spoil(out), nil
}

func scheduler(kind string, limits engine.BatchLimits) engine.Scheduler {
	switch kind {
	case "sync":
		return schedule.NewSync(limits)
	case "concurrent":
		return schedule.NewConcurrent(limits, schedule.Fixed(16))
	default:
		return schedule.NewKeyed(limits, schedule.Fixed(16))
	}
}

func (g *local) client() (*sluice.Client, error) {
	return sluice.New("passthrough:///gateway", sluice.WithPlaintext(), sluice.WithDialOptions(
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.listener.Dial(ctx) })))
}

func (g *local) done() <-chan struct{}         { return g.gone }
func (g *local) said() string                  { return "" }
func (g *local) stacks(context.Context) string { return "" }

// usage is of the whole process: all else in it is flat.
func (g *local) usage(context.Context) (usage, error) {
	return usage{Goroutines: int64(runtime.NumGoroutine())}, nil
}

// stop drains as serve does.
func (g *local) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	g.server.Drain()
	drained := g.engine.Drain(ctx)
	for g.engine.Stats().Sessions > 0 && pause(ctx, 10*time.Millisecond) == nil {
		continue
	}
	drained = errors.Join(drained, g.engine.Drain(ctx))
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	left, err := g.engine.Close(hard)
	if len(left) > 0 {
		err = errors.Join(err, errors.New("records are undelivered"))
	}
	err = errors.Join(drained, err, g.server.Stop(hard))
	<-g.gone
	return errors.Join(err, g.err)
}

var _ host = (*bubble)(nil)
