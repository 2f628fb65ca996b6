package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/server"
	"github.com/sluicelog/sluice/server/admin"
)

// hardStop is how long what was told to end at once may take to do so: writes whose context is over, and calls that are
// told that the gateway has stopped.
const hardStop = 5 * time.Second

// leaveTime is how long producers may take to leave once all they sent is delivered. Those that do not heed DRAINING never
// do.
const leaveTime = 2 * time.Second

// Main is a gateway, as serve runs it and as tests start it on port 0. Run it, then Close it, once each.
type Main struct {
	Config *config.Config
	Memory int64        // the memory limit that the process sees, in bytes; 0: not known
	Log    *slog.Logger // slog.DiscardHandler
	Stdout io.Writer    // where outputs of type stdout write: os.Stdout

	Addr      net.Addr // where gRPC is served; set by Run
	AdminAddr net.Addr // where the probes are; nil where there are none

	engine  *engine.Engine
	server  *server.Server
	admin   *admin.Server
	letters *deadletter.Store // nil: there is none

	serving sync.WaitGroup
	failed  chan error // of what stopped serving by itself
}

// Run starts the gateway and returns once it takes streams. ctx bounds the start alone. After an error there is nothing to
// close.
func (m *Main) Run(ctx context.Context) (err error) {
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	m.failed = make(chan error, 2)
	listener, err := listen(ctx, m.Config.Server.Listen)
	if err != nil {
		return err
	}
	defer closeUnless(&err, listener)
	var adminListener net.Listener
	if m.Config.Server.Admin != "" {
		if adminListener, err = listen(ctx, m.Config.Server.Admin); err != nil {
			return err
		}
		defer closeUnless(&err, adminListener)
	}
	if err := m.build(ctx); err != nil {
		return err
	}
	m.Addr = listener.Addr()
	m.serve(m.server.Serve, listener)
	if adminListener != nil {
		m.AdminAddr = adminListener.Addr()
		m.serve(m.admin.Serve, adminListener)
	}
	m.admin.SetReady(true)
	return nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest of it says the address again
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

func closeUnless(err *error, listener net.Listener) {
	if *err != nil {
		*err = errors.Join(*err, listener.Close())
	}
}

// build makes the engine and the two servers, which do not serve yet.
func (m *Main) build(ctx context.Context) error {
	limits := m.Config.EngineLimits(m.Memory)
	outputs, err := m.newOutputs(ctx, limits)
	if err != nil {
		return err
	}
	metrics := admin.NewMetrics(version)
	m.engine, err = engine.New(engine.Options{
		Limits:    limits,
		Outputs:   outputs,
		Routes:    newRoutes(m.Config.Routes),
		NewBuffer: m.newBuffer(limits),
		Observer:  metrics,
		Log:       m.Log,
	})
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	if err := m.buildServers(limits, metrics); err != nil {
		_, closed := m.engine.Close(ctx)
		return errors.Join(err, closed)
	}
	return nil
}

func (m *Main) buildServers(limits engine.Limits, metrics *admin.Metrics) (err error) {
	m.server, err = server.New(m.engine, serverOptions(m.Config.Server, limits, m.Log))
	if err != nil {
		return err
	}
	o := admin.Options{
		Sources: admin.Sources{Engine: m.engine.Stats, Server: m.server.Stats},
		Metrics: metrics,
		Log:     m.Log,
	}
	if m.letters != nil {
		o.Letters, o.Sources.Letters = m.letters, m.letters.Stats
		o.Replay = func(ctx context.Context, f engine.LetterFilter, told func(int64)) (int64, error) {
			return m.engine.Replay(ctx, m.letters, f, told)
		}
	}
	m.admin, err = admin.New(o)
	return err
}

// serve runs one of the servers until it is stopped.
func (m *Main) serve(serve func(net.Listener) error, listener net.Listener) {
	m.serving.Go(func() {
		if err := serve(listener); err != nil {
			m.failed <- err
		}
	})
}

// Failed gives an error when the gateway cannot go on serving. It has to be closed then, too.
func (m *Main) Failed() <-chan error { return m.failed }

// Close stops the gateway in two phases. Until ctx is done it takes no new streams and delivers what it holds, without
// linger and without waiting for retries to be due. Then it ends the calls and the writes that are under way, and says what
// of which stream was not delivered to which output. Once now is done nothing is waited for any more.
func (m *Main) Close(ctx, now context.Context) ([]engine.Undelivered, error) {
	m.admin.SetReady(false)
	m.admin.Drain()
	m.server.Drain()
	// What is not done in time is what engine.Close tells.
	if err := m.drain(ctx); err != nil {
		m.Log.Warn("not all is delivered within the grace, stopping", "cause", context.Cause(ctx))
	}
	hard, cancel := context.WithTimeout(now, hardStop)
	defer cancel()
	left, err := m.engine.Close(hard)
	// The sessions are over, and the calls end with them: whoever still listens is told.
	err = errors.Join(err, m.server.Stop(hard), m.admin.Stop(hard))
	m.serving.Wait()
	return left, err
}

// drain delivers what is held and what producers had sent before they were told. That still comes in while the engine is
// at rest already, and whose acks are cut off would be sent again, elsewhere: so producers may leave before the end.
func (m *Main) drain(ctx context.Context) error {
	if err := m.engine.Drain(ctx); err != nil {
		return err
	}
	leaving, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	look := time.NewTicker(leaveTime / 100)
	defer look.Stop()
	for m.engine.Stats().Sessions > 0 && leaving.Err() == nil {
		select {
		case <-look.C:
		case <-leaving.Done():
		}
	}
	return m.engine.Drain(ctx)
}
