package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A gateway is stopped while lines stream in, and another one takes its place: each line comes out once, in order.
func TestRestartUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const outputs = "outputs: [{name: f, type: file, file: {path: %s}}]"
	yaml := fmt.Sprintf(outputs, filepath.Join(dir, "out"))
	first := start(t, yaml)
	const n = 20_000
	lines := numbers(n)
	in, feed := io.Pipe()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_, _ = io.Copy(feed, strings.NewReader(lines))
		_ = feed.Close()
	}()
	half := make(chan struct{}) // closed when half is read
	code := make(chan int, 1)
	var said safeBuffer
	go func() {
		code <- run(t.Context(), sendTo(first, "--stream-id", "s"), terminal{&countdown{in, len(lines) / 2, half}, io.Discard, &said})
	}()
	<-half
	stop(t, first)
	second := startServer(t, fmt.Sprintf("server: {listen: '%s', admin: ''}\n%s", first.Addr, yaml))
	if got := <-code; got != exitOK {
		t.Errorf("exit %d: %s", got, &said)
	}
	<-fed
	stop(t, second)
	wantNumbers(t, readLines(t, filepath.Join(dir, "out")), n, 1)
}

// A countdown closes done when so many bytes were read from it.
type countdown struct {
	io.Reader
	left int
	done chan struct{}
}

func (c *countdown) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if before := c.left; before > 0 {
		if c.left -= n; c.left <= 0 {
			close(c.done)
		}
	}
	return n, err
}

// hang starts a gateway whose only output never returns by itself and has a record to write.
func hang(t *testing.T) *Main {
	t.Helper()
	m := start(t, "limits: {stream: {memory: 1}}\noutputs: [{name: slow, type: 'null', null: {delay: 1h}}]")
	ctx, interrupt := context.WithCancel(t.Context())
	said := writer(func(p []byte) {
		if bytes.Contains(p, []byte("paused")) { // so the record was let in
			interrupt()
		}
	})
	args := sendTo(m, "--grace", "1ms", "--stream-id", "s")
	if code := run(ctx, args, terminal{strings.NewReader("1\n"), io.Discard, said}); code != exitFailure {
		t.Fatalf("send: exit %d", code)
	}
	return m
}

func TestSecondSignalEndsTheGrace(t *testing.T) {
	m := hang(t)
	var logged safeBuffer
	m.Log = logging{LogLevel: "info", LogFormat: "text"}.logger(&logged)
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM // the default grace is 20 s, and the write takes an hour
	err := shutDown(t.Context(), m, signals)
	m.engine = nil // it is stopped
	if failure, ok := errors.AsType[*exitError](err); !ok || failure.code != exitUndelivered {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{
		`cause="second signal: terminated"`, `msg="not delivered" records=1 output=slow stream=s tag=send`, "undelivered=1",
	} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("%s is not in:\n%s", want, &logged)
		}
	}
}

// certify writes the files cert and key, good for a server and a client at 127.0.0.1, and their own CA.
func certify(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&block)))
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir)
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for name, c := range map[string]struct {
		clientCA string
		args     []string
		want     int
	}{
		"TLS":                  {"", []string{"--ca", cert}, exitOK},
		"in plaintext":         {"", nil, exitFailure},
		"mutual TLS":           {cert, []string{"--ca", cert, "--cert", cert, "--key", key}, exitOK},
		"no certificate":       {cert, []string{"--ca", cert}, exitFailure},
		"CA of somebody else":  {"", []string{"--tls"}, exitFailure},
		"certificate, no key":  {cert, []string{"--cert", cert}, exitUsage},
		"CA is no certificate": {"", []string{"--ca", key}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			m := startServer(t, fmt.Sprintf(`
server: {listen: "127.0.0.1:0", admin: "", tls: {cert_file: %q, key_file: %q, client_ca_file: %q}}
outputs: [{name: f, type: file, file: {path: %q}}]`, cert, key, c.clientCA, out))
			args := append([]string{"--connect-timeout", "10s"}, c.args...)
			if c.want == exitFailure {
				args[1] = "100ms"
			}
			code, _, said := command(t.Context(), strings.NewReader("1\n2\n"), sendTo(m, args...)...)
			if code != c.want {
				t.Errorf("exit %d, want %d: %s", code, c.want, said)
			}
			stop(t, m)
			if c.want == exitOK {
				wantNumbers(t, readLines(t, out), 2, 1)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	m := start(t, "outputs: [{name: n, type: 'null'}]")
	for path, want := range map[string]string{
		"/readyz": `"ok"`, "/livez": `"ok"`, "/metrics": `sluice_build_info{version="dev"} 1`, "/debug/pprof/": "goroutine",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.AdminAddr.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, %q", path, answer.Status, err, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// What is wrong only where it runs is told before anything is served, and leaves nothing behind.
func TestRunFails(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ yaml, want string }{
		"certificate": {
			"server: {listen: '127.0.0.1:0', admin: '', tls: {cert_file: " + dir + "/c, key_file: k}}\noutputs: [{name: n, type: 'null'}]",
			"load certificate " + dir + "/c",
		},
		"output": {
			"server: {listen: '127.0.0.1:0', admin: ''}\noutputs: [{name: n, type: 'null'}, {name: h, type: http, http: {url: 'https://x', tls: {ca_file: " + dir + "/ca}}}]",
			`output "h": tls.ca_file: `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "sluice.yaml")
			write(t, file, c.yaml)
			t.Setenv("GOMEMLIMIT", "off")
			if code, _, said := command(t.Context(), nil, "serve", "--config", file); code != exitFailure || !strings.Contains(said, c.want) {
				t.Errorf("exit %d: %s", code, said)
			}
		})
	}
}
