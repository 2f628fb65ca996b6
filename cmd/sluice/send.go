package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

type sendCmd struct {
	Addr     string            `default:"127.0.0.1:4317" env:"SLUICE_ADDR" placeholder:"HOST:PORT" help:"The gateway: ${default}."`
	Tag      string            `default:"send" placeholder:"T" help:"Tag of the stream, which routes match: ${default}."`
	StreamID string            `placeholder:"ID" help:"Name of the stream. Without one the gateway makes one up."`
	Resource map[string]string `mapsep:"none" placeholder:"K=V" help:"Attribute of whoever sends, such as host.name=a. May be repeated."`
	Severity string            `enum:",trace,debug,info,warn,error,fatal" default:"" placeholder:"S" help:"Severity of every record: trace, debug, info, warn, error or fatal."`
	TLS      bool              `name:"tls" help:"Encrypt, and check the gateway's certificate with the machine's CAs."`
	CA       string            `name:"ca" type:"path" placeholder:"FILE" help:"Encrypt, and check it with the CAs in this file, PEM."`
	Connect  time.Duration     `name:"connect-timeout" default:"10s" help:"How long the gateway may take to answer at first. Later on it is waited for."`
	Grace    time.Duration     `default:"10s" help:"How long to wait for acks after an interrupt."`
	Quiet    bool              `short:"q" help:"No progress, pauses and resumes."`
	Files    []string          `arg:"" optional:"" name:"file" type:"path" help:"Files to read; standard input without any, or for -."`
}

// Help has examples.
func (sendCmd) Help() string {
	return `Each line becomes a record, also an empty one; its body is the line without its end (\n or \r\n). A line that is not
UTF-8 is sent as bytes. One that is longer than the gateway takes is left out and told, and the exit code is 1. It is 0
only when every line was acked. An interrupt ends the reading, and what was read is waited for; a second one ends all.

A second run with the same --stream-id is a new epoch of that stream: nothing of it is taken for a repeat.

Examples:
  seq 1 1000000 | sluice send --tag demo.seq
  sluice send --tag nginx.access --stream-id web-1 --resource host.name=web-1 /var/log/nginx/access.log
  journalctl -f -o cat | sluice send --addr logs.example:4317 --tls --tag journal`
}

// Run sends the lines.
func (c sendCmd) Run(ctx context.Context, t terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	sources, err := openSources(c.Files, t.in)
	if err != nil {
		return err
	}
	defer sources.close()
	show := newDisplay(t.err, sources.size, c.Quiet)

	options, err := c.dialOptions()
	if err != nil {
		return err
	}
	client, err := sluice.New(c.Addr, options...)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	life := context.WithoutCancel(ctx) // an interrupt ends the reading, not the stream
	stream, err := client.Stream(life, sluice.StreamOptions{
		Tag: c.Tag, ID: c.StreamID, Resource: c.resource(), Hooks: show.hooks(),
	})
	if err != nil {
		return errors.Join(err, client.Close(life))
	}
	err = c.send(ctx, stream, sources, show)
	return errors.Join(err, client.Close(life))
}

func (c sendCmd) dialOptions() ([]sluice.Option, error) {
	if c.CA == "" {
		if c.TLS {
			return nil, nil // the SDK's default
		}
		return []sluice.Option{sluice.WithPlaintext()}, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--ca: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &exitError{exitUsage, fmt.Errorf("--ca: no certificate in %s", c.CA)}
	}
	return []sluice.Option{sluice.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})}, nil
}

func (c sendCmd) resource() *sluicev1.Resource {
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(c.Resource)) {
		attrs = append(attrs, slog.String(key, c.Resource[key]))
	}
	return sluice.NewResource(attrs...)
}

// send reads until the sources or ctx end, and waits until all is acked.
func (c sendCmd) send(ctx context.Context, stream *sluice.Stream, sources *sources, show *display) error {
	start := time.Now()
	err := c.ready(ctx, stream)
	var got intake
	if err == nil {
		got = c.read(ctx, stream, sources, show)
		err = got.err
	}
	waiting, cancel := c.waiting(ctx, err)
	defer cancel()
	report, closeErr := stream.Close(waiting)
	stats := stream.Stats()
	show.summary(stats, report.Lost(), got.skipped, time.Since(start))
	switch {
	case err != nil:
		return err
	case closeErr != nil:
		return closeErr
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

// waiting is how long acks are waited for: as long as it takes, until the grace after an interrupt, and not at all after an
// error.
func (c sendCmd) waiting(ctx context.Context, err error) (context.Context, context.CancelFunc) {
	waiting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if err != nil {
		cancel(err)
	}
	stop := context.AfterFunc(ctx, func() {
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
	err     error
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
				got.err = fmt.Errorf("read %s: %w", source.name, err)
				return got
			}
			if whole {
				err = c.record(ctx, stream, string(line))
			}
			switch {
			case !whole || errors.Is(err, sluice.ErrTooLarge):
				got.skipped++
				show.say("%s:%d: left out, longer than the gateway takes (%s)", source.name, number,
					bytesText(stream.Stats().MaxAppendBytes))
			case err != nil && ctx.Err() != nil:
				return got
			case err != nil:
				got.err = err
				return got
			}
			show.progress(read)
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
