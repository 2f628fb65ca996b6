package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/render"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch"
	"github.com/sluicelog/sluice/outputs/file"
	"github.com/sluicelog/sluice/outputs/http"
	"github.com/sluicelog/sluice/outputs/null"
	"github.com/sluicelog/sluice/outputs/stdout"
	"github.com/sluicelog/sluice/server"
)

// What follows turns a config that was checked into the options of the parts. There is no registry: what can be configured
// is what these switches name.

// newBuffer makes the buffer of the config's type.
func (m *Main) newBuffer(limits engine.Limits) func([]engine.BufferOutput) (engine.Buffer, error) {
	return func(outputs []engine.BufferOutput) (engine.Buffer, error) {
		switch c := m.Config.Buffer; c.Type {
		case "memory":
			return memory.New(outputs), nil
		case "disk":
			return openDisk(diskOptions(*c.Disk, limits, m.Log), outputs)
		default:
			return nil, fmt.Errorf("no such buffer: %s", c.Type)
		}
	}
}

func diskOptions(c config.Disk, limits engine.Limits, log *slog.Logger) disk.Options {
	return disk.Options{
		Dir:         c.Path,
		Room:        int64(c.Storage),
		SegmentSize: int64(c.Segment),
		Sync: map[string]seglog.SyncPolicy{
			"always": seglog.SyncAlways, "interval": seglog.SyncInterval, "never": seglog.SyncNever,
		}[c.Fsync],
		Interval:   c.FsyncInterval,
		Checkpoint: c.Checkpoint,
		Memory:     c.Memory.Of(limits.Engine),
		StreamTTL:  c.StreamTTL,
		Streams:    limits.Streams,
		Log:        log,
	}
}

// openLetters opens the store of dead letters, where there is one. It lies in the buffer's directory.
func openLetters(c *config.Config, log *slog.Logger) (*deadletter.Store, error) {
	d := c.Buffer.Disk
	if d == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if err := disk.Probe(disk.Options{Dir: d.Path}); errors.Is(err, seglog.ErrLocked) { // before anything is made in there
		return nil, fmt.Errorf("buffer.disk.path: %s is used by another gateway; stop that, or give this one a directory of its own", d.Path)
	} else if err != nil {
		return nil, fmt.Errorf("buffer.disk.path: %w", err)
	}
	store, err := deadletter.Open(deadletter.Options{
		Dir: filepath.Join(d.Path, config.StoreName), Room: int64(d.DeadLetters.Storage),
		SegmentSize: c.LettersSegment(), Spare: true, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("buffer.disk.path: %w", err)
	}
	return store, nil
}

// newOutputs makes all outputs. Where one cannot be made, the others are closed again.
func (m *Main) newOutputs(ctx context.Context, limits engine.Limits) (options []engine.OutputOptions, err error) {
	defer func() {
		if err != nil {
			for _, o := range options {
				if closer, ok := o.Output.(io.Closer); ok {
					err = errors.Join(err, closer.Close())
				}
			}
		}
	}()
	readBack := m.Config.ReadBack(limits) / int64(len(m.Config.Outputs)+1) // each output's, and the store's
	quotas := cloudwatch.NewQuotas()
	for _, c := range m.Config.Outputs {
		output, err := m.newOutput(ctx, c, quotas)
		if err != nil {
			return options, fmt.Errorf("output %q: %w", c.Name, err)
		}
		batch := batching(c, output)
		batch.MaxPinned = int(readBack / 2) // one flies, and the next one is prepared
		options = append(options, engine.OutputOptions{
			Name:         c.Name,
			Output:       output,
			Scheduler:    newScheduler(c, batch),
			Linger:       batch.Linger,
			Retry:        engine.Retry{Base: c.Retry.Base, Cap: c.Retry.Cap, GiveUpAfter: c.Retry.GiveUpAfter},
			FlushTimeout: c.FlushTimeout,
			ParkLimit:    c.ParkLimit,
			DeadLetter:   m.Config.DeadLetterOf(c),
			Share:        m.share(c, limits),
			ReadBack:     readBack,
			StartOldest:  c.Buffer.Start == "oldest",
			DropOldest:   c.Buffer.WhenFull == "drop_oldest",
		})
	}
	if m.letters, err = openLetters(m.Config, m.Log); err != nil {
		return options, err
	} else if m.letters != nil {
		options = append(options, m.lettersOutput(readBack))
	}
	return options, nil
}

// lettersOutput is the store of dead letters as an output: one write at a time, each with a sync of its own.
func (m *Main) lettersOutput(readBack int64) engine.OutputOptions {
	limits := engine.BatchLimits{MaxRecords: 1000, MaxBytes: 1 << 20, MaxPinned: int(readBack / 2)}
	return engine.OutputOptions{
		Name: config.StoreName, Output: m.letters, Scheduler: schedule.NewSync(limits),
		Share: int64(m.Config.Buffer.Disk.Storage), ReadBack: readBack,
	}
}

// share is how much may wait for an output, in bytes. 0: the engine's own default.
func (m *Main) share(c config.Output, limits engine.Limits) int64 {
	d := m.Config.Buffer.Disk
	if d == nil {
		return c.Buffer.Share.Of(limits.Engine)
	}
	storage, outputs := int64(d.Storage), int64(len(m.Config.Outputs))
	switch share := c.Buffer.Share.Of(storage); {
	case share > 0:
		return share
	case outputs > 1:
		return storage / (outputs + 1)
	default:
		return storage
	}
}

// newOutput makes an output. The quotas are shared by those that go to AWS.
func (m *Main) newOutput(ctx context.Context, c config.Output, quotas *cloudwatch.Quotas) (engine.Output, error) {
	switch c.Type {
	case "stdout":
		return stdout.New(stdout.Options{Options: format(c.Stdout.Format), Writer: m.Stdout})
	case "file":
		return file.New(fileOptions(*c.File, m.Log.With("output", c.Name)))
	case "http":
		return http.New(httpOptions(*c.HTTP))
	case "cloudwatch":
		o := c.CloudWatch.Options()
		o.Quotas, o.Log = quotas, m.Log.With("output", c.Name)
		return cloudwatch.New(ctx, o)
	case "null":
		return null.New(null.Options{Delay: c.Null.Delay, FailureRate: c.Null.FailureRate, Seed: uint64(c.Null.Seed)})
	default:
		return nil, fmt.Errorf("no such type: %s", c.Type)
	}
}

func format(c config.Format) render.Options {
	return render.Options{Format: c.Format, Template: c.Template, EscapeNewlines: c.EscapeNewlines}
}

func fileOptions(c config.File, log *slog.Logger) file.Options {
	return file.Options{
		Path:    c.Path,
		Options: format(c.Format),
		Missing: c.Missing,
		Rotate: file.Rotate{
			Size: int64(c.Rotate.Size), Age: c.Rotate.Age, Gzip: c.Rotate.Gzip, Keep: c.Rotate.Keep, KeepFor: c.Rotate.KeepFor,
		},
		Fsync:     c.Fsync,
		Rate:      int64(c.Rate),
		MaxOpen:   c.MaxOpen,
		IdleClose: c.IdleClose,
		FileMode:  string(c.FileMode),
		DirMode:   string(c.DirMode),
		Log:       log,
	}
}

func httpOptions(c config.HTTP) http.Options {
	o := http.Options{
		URL: c.URL, Format: c.Format, Gzip: c.Gzip, Headers: c.Headers, Key: c.Key, MaxBody: int64(c.MaxBody),
		Timeout: c.Timeout, IdleTimeout: c.IdleTimeout,
	}
	if t := c.TLS; t != nil {
		o.TLS = http.TLS{
			CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile,
			ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify,
		}
	}
	return o
}

// batching bounds the batches. What the config leaves out is as the output wants it.
func batching(c config.Output, output engine.Output) engine.BatchLimits {
	var limits engine.BatchLimits
	if b, ok := output.(engine.Batcher); ok {
		limits = b.Batching()
	}
	limits.MaxBytes = cmp.Or(int(c.Batch.MaxBytes), limits.MaxBytes)
	limits.MaxRecords = cmp.Or(c.Batch.MaxRecords, limits.MaxRecords)
	if c.Batch.Linger != nil {
		limits.Linger = *c.Batch.Linger
	}
	return limits
}

// newScheduler makes the config's scheduler.
func newScheduler(c config.Output, limits engine.BatchLimits) engine.Scheduler {
	if c.Scheduler.Type == "sync" {
		return schedule.NewSync(limits)
	}
	var inFlight schedule.Limit = schedule.Fixed(c.Scheduler.InFlight)
	if c.Scheduler.Adaptive {
		inFlight = schedule.NewAdaptive(1, c.Scheduler.InFlight)
	}
	if c.Scheduler.Type == "concurrent" {
		return schedule.NewConcurrent(limits, inFlight)
	}
	return schedule.NewKeyed(limits, inFlight)
}

func newRoutes(cs []config.Route) []engine.Route {
	routes := make([]engine.Route, len(cs))
	for i, c := range cs {
		routes[i] = engine.Route{Match: c.Match, Outputs: c.Outputs}
	}
	return routes
}

func serverOptions(c config.Server, limits engine.Limits, log *slog.Logger) server.Options {
	g, k := c.GRPC, c.GRPC.Keepalive
	o := server.Options{
		StreamWindow:     int32(g.StreamWindow),
		ConnectionWindow: int32(g.ConnectionWindow),
		MaxStreams:       uint32(cmp.Or(g.MaxStreams, limits.Streams)),
		MaxHeaderList:    uint32(g.MaxHeaders),
		HandshakeTimeout: g.HandshakeTimeout,
		Keepalive: server.Keepalive{
			Time: k.Time, Timeout: k.Timeout, MinTime: k.MinTime,
			MaxConnectionIdle: k.MaxIdle, MaxConnectionAge: k.MaxAge, MaxConnectionAgeGrace: k.AgeGrace,
		},
		Log: log,
	}
	if t := c.TLS; t != nil {
		o.TLS = server.TLS{Cert: t.CertFile, Key: t.KeyFile, ClientCA: t.ClientCAFile}
	}
	return o
}
