package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

// A hook is a destination behind HTTP that keeps what it took.
type hook struct {
	*httptest.Server

	mu     sync.Mutex // guards what follows
	answer func(lines []line) int
	took   []line
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// will makes the hook answer with this status from now on; nil: it takes everything, but for what came before.
func (h *hook) will(answer func(lines []line) int) {
	if answer == nil { // a gateway that was stopped may have left something on the way
		h.CloseClientConnections()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// ServeHTTP takes a batch, or refuses it.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	answer := h.answer
	h.mu.Unlock()
	var lines []line
	for scan := json.NewDecoder(r.Body); ; {
		var l line
		if err := scan.Decode(&l); err != nil {
			break
		}
		lines = append(lines, l)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if answer != nil {
		if code := answer(lines); code != http.StatusOK {
			w.WriteHeader(code)
			return
		}
	}
	h.took = append(h.took, lines...)
}

func (h *hook) lines() []line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.took)
}

// isDown is the answer of a destination that takes nothing at the moment.
func isDown([]line) int { return http.StatusServiceUnavailable }

// refusesBad refuses batches with a body that is bad, for good.
func refusesBad(lines []line) int {
	for _, l := range lines {
		if strings.Contains(fmt.Sprint(l.Body), "bad") {
			return http.StatusBadRequest
		}
	}
	return http.StatusOK
}

// onDisk is a config's buffer in a directory.
func onDisk(dir string) string {
	return fmt.Sprintf("buffer: {type: disk, disk: {path: %q, storage: 64MiB, segment: 4MiB, checkpoint: 10ms}}\n", dir)
}

// to is an output of a config that posts to the hook, and retries soon.
func (h *hook) to(name string, more ...string) string {
	return fmt.Sprintf("{name: %s, type: http, http: {url: %q}, batch: {linger: 1ms}, retry: {base: 1ms, cap: 10ms}%s}", name, h.URL,
		strings.Join(append([]string{""}, more...), ", "))
}

// halt stops a gateway that has so long to deliver, and gives what it keeps for the next start, by output.
func halt(t *testing.T, m *Main, grace time.Duration) (kept map[string]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	left, err := m.Close(ctx, context.Background())
	m.engine = nil
	if err != nil {
		t.Errorf("close: %v", err)
	}
	kept = map[string]int64{}
	for _, u := range left {
		if kept[u.Output] += u.Records; !u.Kept {
			t.Errorf("not stored: %+v", u)
		}
	}
	return kept
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("in vain: %s", what)
		}
	}
}

// logs opens the stream s of the SDK to an address, logs 1 to n, and waits until all is acked.
func logs(t *testing.T, addr string, n int) {
	t.Helper()
	client, stream := logTo(t, addr)
	for i := range n {
		if err := stream.Log(t.Context(), fmt.Sprint(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func logTo(t *testing.T, addr string) (*sluice.Client, *sluice.Stream) {
	t.Helper()
	client, err := sluice.New(addr, sluice.WithPlaintext(), sluice.WithDialOptions(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond},
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = client.Close(ctx)
	})
	stream, err := client.Stream(t.Context(), sluice.StreamOptions{ID: "s", Tag: "app", BackoffBase: time.Millisecond, BackoffCap: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return client, stream
}

// An ack means stored: all is acked while the destination is down. A gateway that is stopped then keeps it, says so, and has done
// its duty; the next one delivers all of it, once and in order.
func TestDiskAckMeansStored(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off") // the test's own is left alone
	const n = 1_000
	h, dir := newHook(t), t.TempDir()
	h.will(isDown)
	yaml := onDisk(filepath.Join(dir, "buffer")) + "outputs: [" + h.to("hook") + "]\n"
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, "server: {listen: '127.0.0.1:0', admin: '', shutdown_grace: 1ms}\n"+yaml)
	ctx, terminate := context.WithCancel(t.Context())
	defer terminate()
	said, w := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--config", file}, terminal{nil, io.Discard, w})
		_ = w.Close()
	}()
	var kept []map[string]any
	for scan := bufio.NewScanner(said); scan.Scan(); {
		var l map[string]any
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("log is not JSON: %s", scan.Text())
		}
		switch l["msg"] {
		case "listening":
			go func() {
				logs(t, l["address"].(string), n)
				terminate()
			}()
		case "kept for the next start":
			kept = append(kept, l)
		case "not delivered", "not stored, and not acked":
			t.Errorf("%v", l)
		}
	}
	if code := <-exit; code != exitOK {
		t.Errorf("exit %d", code)
	}
	if len(kept) != 1 || kept[0]["output"] != "hook" || kept[0]["records"] != float64(n) || len(h.lines()) > 0 {
		t.Errorf("kept %v, and %d came", kept, len(h.lines()))
	}

	h.will(nil)
	m := start(t, yaml)
	eventually(t, "all is delivered", func() bool { return len(h.lines()) >= n })
	stop(t, m)
	wantNumbers(t, h.lines(), n, 1)
}

// A program logs on while its gateway is stopped and started at the same address: it loses nothing, and nothing comes twice. Each
// gateway goes on where the one before it was.
func TestDiskRestartUnderLoad(t *testing.T) {
	const restarts = 2
	h, dir := newHook(t), t.TempDir()
	yaml := onDisk(dir) + "outputs: [" + h.to("hook") + "]\n"
	m := start(t, yaml)
	addr := m.Addr.String()
	client, stream := logTo(t, addr)
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	logged := make(chan int, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		n := 0
		for ctx.Err() == nil {
			for range 3 {
				n++
				if err := stream.Log(t.Context(), fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
			}
			<-tick.C
		}
		logged <- n
	}()
	for i := range restarts + 1 {
		before := stream.Stats().Acked
		eventually(t, "records are acked", func() bool { return stream.Stats().Acked >= before+100 })
		if i == restarts {
			break
		}
		grace := 10 * time.Second // a write that is cut off is tried again, though the destination may have taken it
		if i%2 == 1 {
			h.will(isDown)
			grace = 100 * time.Millisecond
		}
		halt(t, m, grace)
		m = startServer(t, fmt.Sprintf("server: {listen: %q, admin: ''}\n", addr)+yaml)
		h.will(nil)
	}
	enough()
	n := <-logged
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, m)
	if st := stream.Stats(); st.Reconnects < restarts || st.Dropped.Total() != 0 {
		t.Errorf("%+v", st)
	}
	wantNumbers(t, h.lines(), n, 1)
}

// startLogged is start with a log, as text.
func startLogged(t *testing.T, yaml string) (*Main, *safeBuffer) {
	t.Helper()
	c, _, err := config.Parse("test.yaml", []byte("server: {listen: '127.0.0.1:0', admin: ''}\n"+yaml), config.Environment{
		Lookup: os.LookupEnv, Memory: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	said := &safeBuffer{}
	m := &Main{Config: c, Memory: 1 << 30, Log: slog.New(slog.NewTextHandler(said, nil))}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, m) })
	return m, said
}

// An output that is taken out of the config keeps what it needs, which is told at the start, until it is back or forgotten. One that
// is new gets what comes, or what is still there.
func TestDiskOutputsComeAndGo(t *testing.T) {
	const n = 300
	a, b, c, dir := newHook(t), newHook(t), newHook(t), t.TempDir()
	b.will(isDown)
	m := start(t, onDisk(dir)+"outputs: ["+a.to("a")+", "+b.to("b")+"]\n")
	logs(t, m.Addr.String(), n)
	eventually(t, "a is done with all", func() bool {
		return len(a.lines()) >= n && m.engine.Stats().Outputs[0].Backlog.Records == 0
	})
	if kept := halt(t, m, time.Millisecond); kept["b"] != n || kept["a"] != 0 {
		t.Errorf("kept %v", kept)
	}

	without := onDisk(dir) + "outputs: [" + a.to("a") + "]\n"
	m, said := startLogged(t, without)
	if want := fmt.Sprintf("output=b records=%d ", n); !strings.Contains(said.String(), want) || strings.Contains(said.String(), "output=a") {
		t.Errorf("%s is not in the log:\n%s", want, said)
	}
	stop(t, m)

	m = start(t, onDisk(dir)+"outputs: ["+a.to("a")+", "+c.to("oldest", "buffer: {start: oldest}")+", "+c.to("newest")+"]\n")
	eventually(t, "the new output has all that is there", func() bool { return len(c.lines()) >= n })
	stop(t, m)
	wantNumbers(t, c.lines(), n, 1)

	if code, out, failed := command(t.Context(), nil, "buffer", "forget", "--yes", dir, "b"); code != exitOK || !strings.Contains(out, fmt.Sprint(n, " records")) {
		t.Errorf("forget: exit %d, said %q, %q", code, out, failed)
	}
	b.will(nil)
	m, said = startLogged(t, onDisk(dir)+"outputs: ["+a.to("a")+", "+b.to("b")+"]\n")
	logs(t, m.Addr.String(), 10)
	stop(t, m)
	wantNumbers(t, b.lines(), 10, 1)
	wantNumbers(t, a.lines()[n:], 10, 1)
	if strings.Contains(said.String(), "output=b") {
		t.Errorf("an output that was forgotten is told of:\n%s", said)
	}
}
