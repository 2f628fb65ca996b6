package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

func TestInterruptWhileInputIsOpen(t *testing.T) {
	dir := t.TempDir()
	m := start(t, "outputs: [{name: f, type: file, file: {path: "+dir+"/out}}]")
	ctx, interrupt := context.WithCancel(t.Context())
	in, feed := io.Pipe()
	go func() {
		_, _ = feed.Write([]byte("1\n2\n3\n"))
		_, _ = feed.Write([]byte("4")) // the three lines are queued when this is read
		interrupt()
	}()
	code, _, said := command(ctx, in, sendTo(m)...)
	_ = feed.Close()
	if code != exitFailure || !strings.Contains(said, "acked 3 ") || !strings.Contains(said, "interrupted") {
		t.Errorf("exit %d: %s", code, said)
	}
	stop(t, m)
	wantNumbers(t, readLines(t, filepath.Join(dir, "out")), 3, 1)
}

// What was read before a source failed is sent like all else.
func TestSourceThatFails(t *testing.T) {
	m := start(t, "outputs: [{name: n, type: 'null', null: {delay: 50ms}}]")
	in := io.MultiReader(strings.NewReader("1\n2\n3\n"), iotest.ErrReader(errors.New("input/output error")))
	code, _, said := command(t.Context(), in, sendTo(m)...)
	if code != exitFailure || !strings.Contains(said, "read stdin: input/output error") || !strings.Contains(said, "sent 3 acked 3 ") {
		t.Errorf("exit %d: %s", code, said)
	}
}

// A rejection is told before the ack that passes it.
func TestSummaryOfRejectedBeforeAcked(t *testing.T) {
	var said safeBuffer
	newDisplay(&said, -1, false).summary(sluice.Stats{Sent: 3, Acked: 1, Rejected: 2}, 2, 0, time.Second)
	if want := "sent 3 acked 0 rejected 2 in 1s (0 rec/s)"; !strings.HasPrefix(said.String(), want) {
		t.Errorf("said %s, want %s", &said, want)
	}
}

func TestSendFailures(t *testing.T) {
	m := start(t, "outputs: [{name: n, type: 'null'}]\nroutes: [{match: a, outputs: [n]}]")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no route":          {sendTo(m, "--tag", "b"), exitFailure, `no route takes tag "b"`},
		"no such file":      {sendTo(m, filepath.Join(t.TempDir(), "none")), exitUsage, "no such file"},
		"directory":         {sendTo(m, t.TempDir()), exitUsage, "is a directory"},
		"nobody there":      {[]string{"send", "--addr", "127.0.0.1:1", "--connect-timeout", "50ms"}, exitFailure, "no answer from 127.0.0.1:1 within 50ms"},
		"no port":           {[]string{"send", "--addr", "127.0.0.1:x"}, exitUsage, `--addr "127.0.0.1:x": want HOST:PORT`},
		"no tag":            {sendTo(m, "--tag", ""), exitUsage, "no Tag"},
		"unknown flag":      {sendTo(m, "--bogus"), exitUsage, "unknown flag --bogus"},
		"unknown severity":  {sendTo(m, "--severity", "loud"), exitUsage, "--severity must be one of"},
		"CA is not there":   {sendTo(m, "--ca", filepath.Join(t.TempDir(), "none")), exitUsage, "--ca: "},
		"TLS, no such peer": {sendTo(m, "--tls", "--connect-timeout", "50ms"), exitFailure, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, said := command(t.Context(), strings.NewReader("x\n"), c.args...)
			if code != c.code || !strings.Contains(said, c.want) {
				t.Errorf("exit %d, want %d and %q in:\n%s", code, c.code, c.want, said)
			}
		})
	}
}

// With an output that hangs nothing is acked: the first signal ends the reading, the second one the waiting.
func TestSecondSignalEndsSend(t *testing.T) {
	m := start(t, "outputs: [{name: slow, type: 'null', null: {delay: 1h}}]")
	signals := make(chan os.Signal, 1)
	in, feed := io.Pipe()
	defer feed.Close()
	go func() {
		_, _ = feed.Write([]byte("1\n"))
		_, _ = feed.Write([]byte("2")) // the first line is queued when this is read
		signals <- os.Interrupt
	}()
	var said safeBuffer
	c := sendCmd{Addr: m.Addr.String(), Tag: "t", Connect: time.Minute, Grace: time.Hour}
	err := c.run(t.Context(), terminal{in, io.Discard, writer(func(p []byte) {
		_, _ = said.Write(p)
		if bytes.Contains(p, []byte("interrupt: reading no more, waiting up to 1h0m0s for acks")) {
			signals <- os.Interrupt
		}
	})}, signals)
	if err == nil || !strings.Contains(err.Error(), "1 records not acked") || !strings.Contains(err.Error(), "second signal: interrupt") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(said.String(), "not acked 1") {
		t.Errorf("said %s", &said)
	}
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	_, _ = m.Close(cut, context.Background())
	m.engine = nil // it is stopped
}

func TestGatewayAddress(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:4400": "127.0.0.1:4400", "logs.example": "logs.example:4317", ":4400": ":4400",
		"[::1]:4400": "[::1]:4400", "[::1]": "[::1]:4317",
		"dns:///logs.example:4400": "dns:///logs.example:4400", "unix:/run/sluice.sock": "unix:/run/sluice.sock",
		"": "", "::1": "", "a:b": "", "a:0": "", "a:65536": "", "http://a:4317": "", "https://a": "", "a b": "", "a/b": "",
	} {
		if got, err := gatewayAddress(given); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", given, got, err, want)
		}
	}
}

func TestPlainErrors(t *testing.T) {
	for given, want := range map[string]string{
		`connect: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: "connect: dial tcp 127.0.0.1:1: connect: connection refused",
		`rpc error: code = Unavailable desc = connection error: desc = "error reading server preface: EOF"`:                                                          "error reading server preface: EOF",
		`fenced: rpc error: code = Aborted desc = stream "a" was taken over`:                                                                                         `fenced: stream "a" was taken over`,
		`read "x": no such file`: `read "x": no such file`,
	} {
		if got := plain(errors.New(given)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", given, got, want)
		}
	}
}
