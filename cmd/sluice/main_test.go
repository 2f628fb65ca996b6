package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

func TestMain(m *testing.M) {
	if os.Getenv("SLUICE_RUN_MAIN") != "" { // see inProcess
		main()
	}
	goleak.VerifyTestMain(m)
}

// start runs a gateway of this config on free ports and stops it with the test. The config says nothing of server.
func start(t *testing.T, yaml string) *Main {
	t.Helper()
	return startServer(t, "server: {listen: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"+yaml)
}

func startServer(t *testing.T, yaml string) *Main {
	t.Helper()
	c, _, err := config.Parse("test.yaml", []byte(yaml), config.Environment{Lookup: os.LookupEnv, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	m := &Main{Config: c, Memory: 1 << 30}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, m) })
	return m
}

// stop closes the gateway, once, and waits until all is delivered.
func stop(t *testing.T, m *Main) {
	t.Helper()
	if m.engine == nil {
		return
	}
	left, err := m.Close(context.Background(), context.Background())
	m.engine = nil
	if err != nil || len(left) > 0 {
		t.Errorf("close: %v, undelivered %+v", err, left)
	}
}

// command runs a command line with an input and gives its exit code and what it wrote.
func command(ctx context.Context, in io.Reader, args ...string) (code int, out, err string) {
	var stdout, stderr safeBuffer
	code = run(ctx, args, terminal{in, &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

func sendTo(m *Main, args ...string) []string {
	return append([]string{"send", "--addr", m.Addr.String()}, args...)
}

// A safeBuffer may be written to by several goroutines.
type safeBuffer struct {
	mu  sync.Mutex // guards what follows
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A writer is called with what is written.
type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// A line is what the tests look at of an NDJSON record.
type line struct {
	Body       any
	Severity   string
	Tag        string
	Stream     string
	Sequence   uint64
	Attributes map[string]any
	Resource   map[string]any
}

func readLines(t *testing.T, file string) []line {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for text := range strings.Lines(string(data)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v in %q", file, err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// wantNumbers checks that the lines are runs of 1 to n, each whole and in order.
func wantNumbers(t *testing.T, lines []line, n, runs int) {
	t.Helper()
	if len(lines) != n*runs {
		t.Fatalf("%d records, want %d", len(lines), n*runs)
	}
	for i, l := range lines {
		if want := fmt.Sprint(i%n + 1); l.Body != want || l.Sequence != uint64(i%n+1) {
			t.Fatalf("record %d: body %v, sequence %d; want %s", i, l.Body, l.Sequence, want)
		}
	}
}

func TestEveryLineOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	m := start(t, "outputs: [{name: f, type: file, file: {path: '"+dir+"/{tag}.ndjson'}}]")
	const n = 20_000
	for range 2 { // the second run is not taken for a repeat of the first
		code, _, said := command(t.Context(), strings.NewReader(numbers(n)), sendTo(m, "--tag", "t", "--stream-id", "same")...)
		if code != exitOK || !strings.Contains(said, fmt.Sprintf("sent %d acked %d rejected 0 in ", n, n)) {
			t.Fatalf("exit %d: %s", code, said)
		}
	}
	stop(t, m)
	wantNumbers(t, readLines(t, filepath.Join(dir, "t.ndjson")), n, 2)
}

func TestPausesAreShown(t *testing.T) {
	dir := t.TempDir()
	m := start(t, `
limits: {stream: {memory: 64KiB}}
outputs: [{name: f, type: file, file: {path: `+dir+`/out, rate: 4MB}}]`)
	const n = 20_000
	code, _, said := command(t.Context(), strings.NewReader(numbers(n)), sendTo(m)...)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, said)
	}
	for _, want := range []string{"paused: stream_limit, ", " held of 64.0 KiB", "resumed after "} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, said)
		}
	}
	stop(t, m)
	wantNumbers(t, readLines(t, filepath.Join(dir, "out")), n, 1)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	m := start(t, "outputs: [{name: f, type: file, file: {path: "+dir+"/out}}]")
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, "a\r\n\nb")
	write(t, two, "c\r\r\n\xff\xfe\n")
	code, _, said := command(t.Context(), nil, sendTo(m, "--severity", "warn", "--resource", "host.name=h",
		"--resource", "k=a;b=c", one, two)...)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, said)
	}
	stop(t, m)
	lines := readLines(t, filepath.Join(dir, "out"))
	var bodies []string
	for _, l := range lines {
		bodies = append(bodies, fmt.Sprint(l.Body))
		if l.Severity != "WARN" || l.Tag != "send" || l.Resource["host.name"] != "h" || l.Resource["k"] != "a;b=c" {
			t.Errorf("record %+v", l)
		}
	}
	// Bytes that are not UTF-8 come out in base64.
	if got, want := strings.Join(bodies, "|"), "a||b|c\r|//4="; got != want {
		t.Errorf("bodies %q, want %q", got, want)
	}
}

func TestLinesThatAreTooLong(t *testing.T) {
	dir := t.TempDir()
	m := start(t, "limits: {max_append: 10KiB}\noutputs: [{name: f, type: file, file: {path: "+dir+"/out}}]")
	input := "1\n" + strings.Repeat("x", 10<<10-5) + "\n2\n" + strings.Repeat("y", 1<<20) + "\n3\n"
	code, _, said := command(t.Context(), strings.NewReader(input), sendTo(m)...)
	if code != exitFailure {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"stdin:2: left out, longer", "stdin:4: left out, longer", "acked 3 ", "left out 2"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, said)
		}
	}
	stop(t, m)
	if lines := readLines(t, filepath.Join(dir, "out")); len(lines) != 3 {
		t.Errorf("%d records", len(lines))
	}
}

// serve is stopped while an output hangs: the exit code is 3, and the log says exactly what was left.
func TestServeTellsWhatWasNotDelivered(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off") // the test's own is left alone
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, `
server: {listen: "127.0.0.1:0", admin: "", shutdown_grace: 1ms}
limits: {stream: {memory: 1}}
outputs:
- {name: slow, type: "null", null: {delay: 1h}}
- {name: quick, type: "null"}`)
	ctx, terminate := context.WithCancel(t.Context())
	defer terminate()
	logs, w := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--config", file}, terminal{nil, io.Discard, w})
		_ = w.Close()
	}()

	var left []map[string]any
	feed, feeding := io.Pipe()
	sent := make(chan int, 1)
	for scan := bufio.NewScanner(logs); scan.Scan(); {
		var l map[string]any
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("log is not JSON: %s", scan.Text())
		}
		switch l["msg"] {
		case "listening":
			args := []string{"send", "--addr", l["address"].(string), "--stream-id", "s", "--tag", "a.b", "--grace", "1ms"}
			go func() { _, _ = feeding.Write([]byte("1\n")) }()
			go func() { // at this limit the pause says that the record was let in
				said := writer(func(p []byte) {
					if bytes.Contains(p, []byte("paused")) {
						terminate()
					}
				})
				sent <- run(ctx, args, terminal{feed, io.Discard, said})
			}()
		case "not delivered":
			left = append(left, l)
		}
	}
	if code := <-exit; code != exitUndelivered {
		t.Errorf("exit %d", code)
	}
	_ = feeding.Close()
	if code := <-sent; code != exitFailure {
		t.Errorf("send: exit %d", code)
	}
	if len(left) != 1 {
		t.Fatalf("undelivered %v", left)
	}
	for key, want := range map[string]any{"output": "slow", "stream": "s", "tag": "a.b", "records": 1.0} {
		if left[0][key] != want {
			t.Errorf("%s is %v, want %v", key, left[0][key], want)
		}
	}
}

func TestWrongConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, "outputs: [{name: a, type: stdot}]\nroute: []\n")
	want := file + ":1:27: outputs[0].type: \"stdot\": no such type; did you mean \"stdout\"?\n" +
		file + ":2:1: route: unknown key; did you mean \"routes\"?\n"
	for _, args := range [][]string{{"check", file}, {"serve", "--config", file}} {
		if code, _, said := command(t.Context(), nil, args...); code != exitUsage || said != want {
			t.Errorf("%s: exit %d, said\n%swant\n%s", args[0], code, said, want)
		}
	}
	for _, args := range [][]string{{"check", file + ".none"}, {"serve", "--config", file + ".none"}, {"check"}, {"bogus"}, {}} {
		if code, _, said := command(t.Context(), nil, args...); code != exitUsage || said == "" {
			t.Errorf("%v: exit %d, said %q", args, code, said)
		}
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, "server: {listen: ':4317'}\noutputs: [{name: a, type: stdout}]\n")
	code, out, warned := command(t.Context(), nil, "check", file)
	if code != exitOK || !strings.Contains(out, "good, with 1 output, 1 route and ") || !strings.Contains(warned, "(warning)") {
		t.Errorf("exit %d, out %q, warned %q", code, out, warned)
	}
	code, out, _ = command(t.Context(), nil, "check", "--schema")
	if code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("exit %d, schema %q", code, out)
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := command(t.Context(), nil, "version"); code != exitOK || out != "sluice dev\n" {
		t.Errorf("exit %d, said %q", code, out)
	}
}

func TestAddressInUse(t *testing.T) {
	m := start(t, "outputs: [{name: n, type: 'null'}]")
	c := config.Default()
	c.Server.Listen, c.Server.Admin = "127.0.0.1:0", m.AdminAddr.String()
	if err := (&Main{Config: c, Log: slog.New(slog.DiscardHandler)}).Run(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "listen on "+c.Server.Admin) {
		t.Errorf("error %v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
