package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
)

type serveCmd struct {
	Config string `type:"path" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Config file. Without one: memory, and everything to standard output."`
	logging
}

// Help has examples.
func (serveCmd) Help() string {
	return `On SIGTERM, SIGINT or SIGHUP the gateway takes no new streams and delivers what it holds for up to server.shutdown_grace; then
it says what of which stream was not delivered where, and exits with 3 if there was any. What a disk buffer keeps for the next start
does not count; what it could not store does, and was not acked. On a second signal it does so at once. A config is read at the start
alone.

Go's memory limit is set to 90 % of the process's less what the engine may hold, unless GOMEMLIMIT is set, and its heap is
collected when it has grown by half, unless GOGC is set.

Examples:
  sluice serve
  sluice serve --config /etc/sluice/sluice.yaml --log-level debug`
}

// Run runs the gateway until a signal or ctx ends it.
func (c serveCmd) Run(ctx context.Context, t terminal) error {
	log := c.logger(t.err)
	here := config.Here()
	memory := here.Memory
	conf := config.Default()
	if c.Config != "" {
		var warnings config.Faults
		var err error
		conf, warnings, err = config.Load(c.Config, here)
		if err != nil {
			return badConfig(t, err)
		}
		for _, w := range warnings {
			log.Warn("config", "fault", w.String())
		}
	}
	limits := conf.EngineLimits(memory)
	setMemoryLimit(config.RuntimeLimit(limits, conf.ReadBack(limits), memory), log)
	setCollection()

	signals, stop := stopSignals()
	defer stop()

	m := &Main{Config: conf, Memory: memory, Log: log, Stdout: t.out}
	if err := m.Run(ctx); err != nil {
		return err
	}
	describe(m)
	failure := c.wait(ctx, m, signals)
	if failure != nil {
		log.Error("cannot go on", "err", failure)
	}
	err := shutDown(ctx, m, signals)
	if err == nil && failure != nil {
		err = &exitError{code: exitFailure} // it is in the log
	}
	return err
}

// setMemoryLimit sets GOMEMLIMIT, unless the environment does. 0: no limit is known.
func setMemoryLimit(limit int64, log *slog.Logger) {
	if limit <= 0 {
		return
	}
	if _, err := memlimit.Set(memlimit.WithRatio(1), memlimit.WithProvider(memlimit.Limit(uint64(limit)))); err != nil {
		log.Warn("memory limit not set", "err", err)
		return
	}
	log.Debug("memory limit", "go", limit)
}

// collection is how much the heap may grow before it is collected, in percent of what lives. The records do not lie in it,
// so half of Go's default cost no CPU that could be measured from streams to null, and 1,000 idle streams a twentieth less memory.
const collection = 50

// setCollection sets GOGC, unless the environment does.
func setCollection() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collection)
	}
}

// describe says what runs.
func describe(m *Main) {
	limits := m.Config.EngineLimits(m.Memory)
	for _, o := range m.Config.Outputs {
		log := m.Log.With("name", o.Name, "type", o.Type, "scheduler", o.Scheduler.Type)
		if dead := m.Config.DeadLetterOf(o); dead != "" {
			log = log.With("dead_letter", dead)
		}
		log.Info("output")
	}
	for _, r := range m.Config.Routes {
		m.Log.Info("route", "match", r.Match, "outputs", strings.Join(r.Outputs, " "))
	}
	m.Log.Info("limits", "engine", bytesText(limits.Engine), "stream", bytesText(limits.Stream), "streams", limits.Streams)
	buffer := m.Log.With("type", m.Config.Buffer.Type)
	if d := m.Config.Buffer.Disk; d != nil {
		buffer = buffer.With("path", d.Path, "storage", d.Storage.String(), "fsync", d.Fsync)
	}
	buffer.Info("buffer")
	if m.AdminAddr != nil {
		m.Log.Info("admin", "address", m.AdminAddr.String())
	}
	m.Log.Info("listening", "address", m.Addr.String(), "tls", m.Config.Server.TLS != nil, "version", version)
}

// wait returns when the gateway is to stop, with an error where that is because it failed.
func (serveCmd) wait(ctx context.Context, m *Main, signals <-chan os.Signal) error {
	select {
	case s := <-signals:
		m.Log.Info("draining", "signal", s.String(), "grace", m.Config.Server.ShutdownGrace.String())
		return nil
	case <-ctx.Done():
		m.Log.Info("draining", "grace", m.Config.Server.ShutdownGrace.String())
		return nil
	case err := <-m.Failed():
		return err
	}
}

// shutDown closes the gateway: softly until the grace is over, at once after a signal more. What went wrong is in the log;
// the error has the exit code alone.
func shutDown(ctx context.Context, m *Main, signals <-chan os.Signal) error {
	now, atOnce := context.WithCancelCause(context.WithoutCancel(ctx))
	grace, cancel := context.WithTimeoutCause(now, m.Config.Server.ShutdownGrace, errors.New("shutdown_grace is over"))
	defer cancel()
	closed := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case s := <-signals:
			atOnce(fmt.Errorf("second signal: %s", s))
		case <-closed:
			atOnce(nil)
		}
	}()
	start := time.Now()
	left, err := m.Close(grace, now)
	close(closed)
	<-watched

	records, kept := tellUndelivered(m.Log, left)
	if err != nil {
		m.Log.Error("not all ended in order", "err", err)
	}
	m.Log.Info("stopped", "undelivered", records, "kept", kept, "took", time.Since(start).Round(time.Millisecond).String())
	switch {
	case records > 0:
		return &exitError{code: exitUndelivered}
	case err != nil:
		return &exitError{code: exitFailure}
	default:
		return nil
	}
}

// tellUndelivered says exactly what was not delivered, and gives how many records of these nobody keeps here, and how many the buffer
// does: for each output that has yet to deliver them.
func tellUndelivered(log *slog.Logger, left []engine.Undelivered) (records, kept int64) {
	for _, u := range left {
		switch {
		case u.Kept:
			log.Warn("kept for the next start", "records", u.Records, "output", u.Output)
			kept += u.Records
			continue
		case u.Output == "":
			log.Error("not stored, and not acked", "records", u.Records, "stream", u.Stream.ID, "tag", u.Stream.Tag,
				"tenant", u.Stream.Tenant)
		default:
			log.Error("not delivered", "records", u.Records, "output", u.Output, "stream", u.Stream.ID, "tag", u.Stream.Tag,
				"tenant", u.Stream.Tenant)
		}
		records += u.Records
	}
	return records, kept
}
