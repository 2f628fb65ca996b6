package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

type sendCmd struct {
	Addr     string            `default:"127.0.0.1:4317" env:"SLUICE_ADDR" placeholder:"HOST:PORT" help:"Address of the gateway. Default: ${default}; without a port, 4317."`
	Tag      string            `default:"send" placeholder:"T" help:"Tag of the stream, which routes match. Default: ${default}."`
	StreamID string            `placeholder:"ID" help:"Name of the stream. Without one the gateway makes one up."`
	Resource map[string]string `mapsep:"none" placeholder:"K=V" help:"Attribute of whoever sends, such as host.name=a. May be repeated."`
	Severity string            `enum:",trace,debug,info,warn,error,fatal" default:"" placeholder:"S" help:"Severity of every record: trace, debug, info, warn, error or fatal."`
	TLS      bool              `name:"tls" help:"Encrypt, and check the gateway's certificate with the machine's CAs."`
	CA       string            `name:"ca" type:"path" placeholder:"FILE" help:"Encrypt, and check it with the CAs in this file, PEM."`
	Cert     string            `type:"path" placeholder:"FILE" help:"Certificate to show to a gateway that asks for one, PEM. Encrypts."`
	Key      string            `type:"path" placeholder:"FILE" help:"Its private key, PEM."`
	Connect  time.Duration     `name:"connect-timeout" default:"10s" help:"How long the gateway may take to answer at first. Later on it is waited for."`
	Grace    time.Duration     `default:"10s" help:"How long to wait for acks after an interrupt."`
	Quiet    bool              `short:"q" help:"No progress, pauses and resumes."`
	Files    []string          `arg:"" optional:"" name:"file" type:"path" help:"Files to read; standard input without any, or for -."`
}

// Help has examples.
func (sendCmd) Help() string {
	return `Each line becomes a record, also an empty one; its body is the line without its end (\n or \r\n). A line that is not
UTF-8 is sent as bytes. One that is longer than the gateway takes is left out and told, and the exit code is 1, as it is
where a file cannot be read on: what was read until then is sent. It is 0 only when every line was acked.

SIGINT, SIGTERM or SIGHUP ends the reading, and the acks of what was read are waited for, up to --grace; a second one ends that,
too. A gateway that goes away is waited for without end: what it had not acked is sent again.

A second run with the same --stream-id is a new epoch of that stream: nothing of it is taken for a repeat.

Examples:
  seq 1 1000000 | sluice send --tag demo.seq
  sluice send --tag nginx.access --stream-id web-1 --resource host.name=web-1 /var/log/nginx/access.log
  journalctl -f -o cat | sluice send --addr logs.example:4317 --tls --tag journal`
}

// Run sends the lines.
func (c sendCmd) Run(ctx context.Context, t terminal) error {
	signals, stop := stopSignals()
	defer stop()
	return c.run(ctx, t, signals)
}

// run sends the lines. The first signal, and ctx, end the reading; the second signal ends the waiting for acks.
func (c sendCmd) run(ctx context.Context, t terminal, signals <-chan os.Signal) error {
	sources, err := openSources(c.Files, t.in)
	if err != nil {
		return err
	}
	defer sources.close()
	show := newDisplay(t.err, sources.size, c.Quiet)
	reading, now, unwatch := c.watch(ctx, signals, show)
	defer unwatch()

	address, err := gatewayAddress(c.Addr)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	options, err := c.dialOptions()
	if err != nil {
		return err
	}
	client, err := sluice.New(address, options...)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	life := context.WithoutCancel(ctx) // a signal ends the reading, not the stream
	stream, err := client.Stream(life, sluice.StreamOptions{
		Tag: c.Tag, ID: c.StreamID, Resource: c.resource(), Hooks: show.hooks(),
	})
	if err != nil {
		return errors.Join(&exitError{exitUsage, err}, client.Close(life))
	}
	err = c.send(reading, now, stream, sources, show)
	return errors.Join(err, client.Close(life))
}

// watch gives a context that is done with the first signal, or with ctx, and one that is done with the second.
func (c sendCmd) watch(ctx context.Context, signals <-chan os.Signal, show *display) (reading, now context.Context, stop func()) {
	reading, interrupt := context.WithCancelCause(ctx)
	now, atOnce := context.WithCancelCause(context.WithoutCancel(ctx))
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer atOnce(nil)
		defer interrupt(nil)
		select {
		case s := <-signals:
			interrupt(fmt.Errorf("%s", s))
			show.note("%s: reading no more, waiting up to %s for acks; once more ends that, too", s, c.Grace)
		case <-quit:
			return
		}
		select {
		case s := <-signals:
			atOnce(fmt.Errorf("second signal: %s", s))
			<-quit
		case <-quit:
		}
	}()
	return reading, now, func() {
		close(quit)
		<-done
	}
}

func (c sendCmd) resource() *sluicev1.Resource {
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(c.Resource)) {
		attrs = append(attrs, slog.String(key, c.Resource[key]))
	}
	return sluice.NewResource(attrs...)
}

// send reads until the sources or reading end, and waits until all is acked or now is done.
func (c sendCmd) send(reading, now context.Context, stream *sluice.Stream, sources *sources, show *display) error {
	start := time.Now()
	err := c.ready(reading, stream)
	var got intake
	stopFollowing := func() {}
	if err == nil {
		stopFollowing = show.follow(func() uint64 { return stream.Stats().Acked })
		got = c.read(reading, stream, sources, show)
		err = got.err
	}
	waiting, cancel := c.waiting(reading, now, err)
	defer cancel()
	report, closeErr := stream.Close(waiting)
	stopFollowing()
	stats := stream.Stats()
	show.summary(stats, report.Lost(), got.skipped, time.Since(start))
	switch {
	case err != nil:
		return err
	case closeErr != nil || got.failed != nil:
		return errors.Join(got.failed, closeErr)
	case !got.all:
		return errors.New("interrupted, not all was read")
	case got.skipped > 0 || stats.Rejected > 0 || stats.Dropped.Total() > 0:
		return &exitError{code: exitFailure} // each was told
	}
	return nil
}

// ready waits until the gateway has taken the stream.
func (c sendCmd) ready(ctx context.Context, stream *sluice.Stream) error {
	ready, cancel := context.WithTimeoutCause(ctx, c.Connect, fmt.Errorf("no answer from %s within %s", c.Addr, c.Connect))
	defer cancel()
	return stream.Ready(ready)
}

// waiting is how long acks are waited for: as long as it takes, until the grace after the end of reading, until now is
// done, and not at all after an error of the stream.
func (c sendCmd) waiting(reading, now context.Context, err error) (context.Context, context.CancelFunc) {
	waiting, cancel := context.WithCancelCause(now)
	if err != nil {
		cancel(err)
	}
	stop := context.AfterFunc(reading, func() {
		timer := time.NewTimer(c.Grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(fmt.Errorf("the grace of %s is over", c.Grace))
		case <-waiting.Done():
		}
	})
	return waiting, func() {
		stop()
		cancel(nil)
	}
}

// An intake is how far reading came.
type intake struct {
	all     bool  // the sources were read to their ends
	skipped int64 // lines that were left out
	failed  error // of a source: what was read before is waited for as at the end
	err     error // of the stream
}

// read queues every line. It returns when ctx is done or the stream has ended, even while a read blocks: then the goroutine
// that reads ends with the next line, or with the process, as nothing can interrupt a read from a terminal.
func (c sendCmd) read(ctx context.Context, stream *sluice.Stream, sources *sources, show *display) intake {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan intake, 1)
	go func() { ended <- c.readAll(ctx, stream, sources, show) }()
	select {
	case got := <-ended:
		return got
	case <-ctx.Done():
		return intake{}
	case <-stream.Done():
		return intake{err: stream.Err()}
	}
}

func (c sendCmd) readAll(ctx context.Context, stream *sluice.Stream, sources *sources, show *display) (got intake) {
	for _, source := range sources.all {
		lines := newLineReader(source, stream.Stats().MaxAppendBytes)
		for number := 1; ; number++ {
			line, read, whole, err := lines.next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				got.failed = fmt.Errorf("read %s: %w", source.name, err)
				return got
			}
			if whole {
				err = c.record(ctx, stream, string(line))
			}
			switch {
			case !whole || errors.Is(err, sluice.ErrTooLarge):
				whole = false
				got.skipped++
				show.say("%s:%d: left out, longer than the gateway takes (%s)", source.name, number,
					bytesText(stream.Stats().MaxAppendBytes))
			case err != nil && ctx.Err() != nil:
				return got
			case err != nil:
				got.err = err
				return got
			}
			show.read(read, whole)
		}
	}
	got.all = true
	return got
}

// record queues a line.
func (c sendCmd) record(ctx context.Context, stream *sluice.Stream, line string) error {
	if c.Severity == "" {
		return stream.Log(ctx, line)
	}
	r := &sluicev1.LogRecord{
		TimeUnixNano:   uint64(time.Now().UnixNano()),
		SeverityNumber: severities()[c.Severity],
		SeverityText:   strings.ToUpper(c.Severity),
		Body:           &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: line}},
	}
	if !utf8.ValidString(line) {
		r.Body.Value = &sluicev1.AnyValue_BytesValue{BytesValue: []byte(line)}
	}
	return stream.Add(ctx, r)
}

func severities() map[string]sluicev1.SeverityNumber {
	return map[string]sluicev1.SeverityNumber{
		"trace": sluicev1.SeverityNumber_SEVERITY_NUMBER_TRACE,
		"debug": sluicev1.SeverityNumber_SEVERITY_NUMBER_DEBUG,
		"info":  sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO,
		"warn":  sluicev1.SeverityNumber_SEVERITY_NUMBER_WARN,
		"error": sluicev1.SeverityNumber_SEVERITY_NUMBER_ERROR,
		"fatal": sluicev1.SeverityNumber_SEVERITY_NUMBER_FATAL,
	}
}
