package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// It prints its URL, serves, and says in the end what came.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, options{
			Addr: "127.0.0.1:0", CountOnly: true, TLS: true, CAFile: filepath.Join(t.TempDir(), "ca.pem"),
			Fault: "throttle=0.1", Create: []string{"eu-west-1:g:s"},
		}, w)
		_ = w.Close()
	}()
	line := make([]byte, 100)
	n, err := r.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "https://127.0.0.1:") {
		t.Fatalf("%s, %v", line[:n], err)
	}
	plain := strings.Replace(strings.TrimSpace(string(line[:n])), "https", "http", 1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plain, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s := rest.String(); !strings.Contains(s, "0 in 0 puts") || !strings.Contains(s, "connections  1") {
		t.Errorf("the summary is:\n%s", s)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, o := range []options{
		{Addr: "127.0.0.1:0", Fault: "x"},
		{Addr: "127.0.0.1:0", Create: []string{"x"}},
		{Addr: "127.0.0.1:0", Create: []string{"r:a b:s"}},
		{Addr: "nowhere"},
	} {
		if err := run(t.Context(), o, io.Discard); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
