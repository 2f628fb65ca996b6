package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources give fixed stats.
func sources(st engine.Stats) Sources {
	return Sources{
		Engine: func() engine.Stats { return st },
		Server: func() server.Stats {
			return server.Stats{Calls: map[server.CallLabel]int64{{Method: "SendLogs", Code: codes.OK}: 12}, Panics: 1}
		},
	}
}

func newServer(t *testing.T, st engine.Stats) *Server {
	t.Helper()
	s, err := New(Options{Sources: sources(st), Metrics: NewMetrics("v1.2.3")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get asks a server that serves over TCP, and stops it.
func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	defer func() {
		if err := errors.Join(s.Stop(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+lis.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestMetrics(t *testing.T) {
	st := engine.Stats{
		Held: 1200, Limit: 1000, Streams: 3, Sessions: 2, Records: 10, Bytes: 2560, Acked: 9,
		TenantHeld: map[string]int64{"default": 1000},
		Paused:     map[engine.Reason]int{engine.ReasonStreamLimit: 1},
		Pauses:     map[engine.Reason]int64{engine.ReasonStreamLimit: 4},
		PausedFor:  map[engine.Reason]time.Duration{engine.ReasonStreamLimit: 1500 * time.Millisecond},
		Rejected:   map[engine.FaultCode]int64{engine.FaultInvalidUTF8: 2},
		Refused:    map[engine.Code]int64{engine.CodeFailedPrecondition: 5},
		Outputs: []engine.OutputStats{{
			Name: "aws", InFlight: 2, Limit: 16, Backlog: engine.Backlog{Records: 7, Bytes: 700, Oldest: time.Now().Add(-90 * time.Second)},
			LastSuccess: time.Unix(1_700_000_000, 0), ParkedKeys: 1,
			Done: map[engine.DoneLabel]engine.Tally{
				{Result: "delivered"}:                  {Records: 100, Bytes: 25600},
				{Result: "dropped", Reason: "odd\xff"}: {Records: 1, Bytes: 2},
			},
			Attempts: map[string]int64{"ok": 9, "retryable": 3},
		}},
	}
	m := NewMetrics("v1.2.3")
	s, err := New(Options{Sources: sources(st), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	m.Flew(engine.Flight{Output: "aws", Records: 10, Bytes: 2560, Latency: 20 * time.Millisecond, Result: "ok"})
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	code, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	for _, want := range []string{
		`sluice_held_bytes 1200`, `sluice_limit_bytes 1000`, `sluice_streams 3`, `sluice_tenant_held_bytes{tenant="default"} 1000`,
		`sluice_streams_paused{reason="stream_limit"} 1`, `sluice_streams_paused{reason="buffer_full"} 0`,
		`sluice_pauses_total{reason="stream_limit"} 4`, `sluice_paused_seconds_total{reason="stream_limit"} 1.5`,
		`sluice_records_total 10`, `sluice_record_bytes_total 2560`, `sluice_acked_records_total 9`,
		`sluice_rejected_records_total{code="invalid_utf8"} 2`, `sluice_refused_total{code="failed_precondition"} 5`,
		`sluice_done_records_total{output="aws",reason="",result="delivered"} 100`,
		"sluice_done_records_total{output=\"aws\",reason=\"odd\uFFFD\",result=\"dropped\"} 1",
		`sluice_output_attempts_total{output="aws",result="retryable"} 3`,
		`sluice_output_in_flight{output="aws"} 2`, `sluice_output_in_flight_limit{output="aws"} 16`,
		`sluice_output_backlog_records{output="aws"} 7`, `sluice_output_oldest_unflushed_seconds{output="aws"} 9`,
		`sluice_output_last_success_timestamp_seconds{output="aws"} 1.7e+09`, `sluice_output_parked_keys{output="aws"} 1`,
		`sluice_output_batch_records_count{output="aws"} 1`, `sluice_output_flush_seconds_sum{output="aws"} 0.02`,
		`sluice_calls_total{code="OK",method="SendLogs"} 12`, `sluice_panics_total 1`,
		`sluice_build_info{version="v1.2.3"} 1`, `go_goroutines `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestLivez(t *testing.T) {
	now := time.Now()
	waiting := engine.Backlog{Records: 5, Oldest: now.Add(-time.Hour)}
	cases := []struct {
		name    string
		out     engine.OutputStats
		code    int
		stuck   string
		failing string
	}{
		{"nothing to do", engine.OutputStats{LastRound: now}, 200, "", ""},
		{"not started", engine.OutputStats{}, 200, "", ""},
		{"busy", engine.OutputStats{LastRound: now, Backlog: waiting, LastSuccess: now.Add(-time.Second)}, 200, "", ""},
		{"destination down for an hour", engine.OutputStats{LastRound: now, Backlog: waiting, LastError: "connection refused"},
			200, "", "5 records wait, last error: connection refused"},
		{"loop hangs", engine.OutputStats{LastRound: now.Add(-time.Minute)}, 503, "its delivery loop hangs", ""},
		{"a write ignores its deadline", engine.OutputStats{LastRound: now, Overdue: 2, OverdueSince: now.Add(-3 * time.Minute)},
			503, "2 writes ignore their deadline", ""},
		{"a write is a little late", engine.OutputStats{LastRound: now, Overdue: 1, OverdueSince: now.Add(-time.Minute)}, 200, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.out.Name = "aws"
			code, body := get(t, newServer(t, engine.Stats{Outputs: []engine.OutputStats{{Name: "fine", LastRound: now}, c.out}}), "/livez")
			var r report
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				t.Fatal(err)
			}
			if code != c.code || what(r.Stuck) != c.stuck || what(r.Failing) != c.failing {
				t.Errorf("answered %d: %s", code, body)
			}
		})
	}
}

// what is the one finding, which must be about the output and say since when.
func what(found []finding) string {
	if len(found) != 1 || found[0].Output != "aws" || found[0].Since.IsZero() {
		return ""
	}
	return found[0].What
}

func TestReadyz(t *testing.T) {
	down := engine.OutputStats{Name: "aws", Backlog: engine.Backlog{Records: 5, Oldest: time.Now().Add(-time.Hour)}}
	s := newServer(t, engine.Stats{})
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, `"starting"`) {
		t.Errorf("before start: %d %s", code, body)
	}
	s = newServer(t, engine.Stats{Outputs: []engine.OutputStats{down}})
	s.SetReady(true)
	if code, body := get(t, s, "/readyz"); code != 200 || !strings.Contains(body, `"output":"aws"`) {
		t.Errorf("with an output that fails: %d %s", code, body)
	}
	s = newServer(t, engine.Stats{Draining: true})
	s.SetReady(true)
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, `"draining"`) {
		t.Errorf("draining: %d %s", code, body)
	}
}

func TestPprof(t *testing.T) {
	if code, body := get(t, newServer(t, engine.Stats{}), "/debug/pprof/goroutine?debug=1"); code != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("answered %d", code)
	}
	if code, _ := get(t, newServer(t, engine.Stats{}), "/nothing"); code != 404 {
		t.Errorf("answered %d", code)
	}
}

// Watching twice would count twice.
func TestWatchOnce(t *testing.T) {
	m := NewMetrics("v1")
	if err := m.Watch(sources(engine.Stats{})); err != nil {
		t.Fatal(err)
	}
	if err := m.Watch(sources(engine.Stats{})); err == nil {
		t.Error("was taken")
	}
}
