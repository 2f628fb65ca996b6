package e2e

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server"
)

// What an operator looks at is there, and true, after a stream that was paused, an output that failed, and a record that
// was refused.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, hosts := &destination{}, &network{}
		failing := errors.New("not now")
		out.will(func(context.Context, *engine.Batch) error { return failing })
		bad := keyed("bad", &destination{answer: func(context.Context, *engine.Batch) error { return engine.Permanent("odd", failing) }})
		g := start(t, hosts.listen("gateway"), engine.Options{
			Limits:  engine.Limits{Stream: streamLimit},
			Outputs: []engine.OutputOptions{keyed("out", out), bad},
		}, server.Options{})
		p := newProducer(t.Context(), t, hosts.connect(t, sendsWire())).open(&sluicev1.Open{StreamId: "s", Tag: "app"})
		p.append(1, strings.Repeat("x", streamLimit))
		p.raw(wire{}.field(2, wire{}.varint(1, 2).field(2, []byte{0xff})))
		p.untilState(sluicev1.State_STATE_PAUSED)
		time.Sleep(10 * time.Second)
		size := float64(len(marshal(t, appendRequest(0, strings.Repeat("x", streamLimit)).GetAppend())))

		m := g.metrics()
		for series, want := range map[string]float64{
			`sluice_limit_bytes`:                                                         256 << 20,
			`sluice_tenant_held_bytes{tenant="default"}`:                                 size,
			`sluice_streams`:                                                             1,
			`sluice_sessions`:                                                            1,
			`sluice_streams_paused{reason="stream_limit"}`:                               1,
			`sluice_pauses_total{reason="stream_limit"}`:                                 1,
			`sluice_pauses_total{reason="engine_limit"}`:                                 0,
			`sluice_records_total`:                                                       1,
			`sluice_record_bytes_total`:                                                  size,
			`sluice_acked_records_total`:                                                 0,
			`sluice_rejected_records_total{code="malformed"}`:                            1,
			`sluice_output_backlog_records{output="out"}`:                                1,
			`sluice_output_in_flight{output="out"}`:                                      0,
			`sluice_output_in_flight_limit{output="out"}`:                                8,
			`sluice_output_last_success_timestamp_seconds{output="out"}`:                 0,
			`sluice_done_records_total{output="bad",reason="odd",result="dropped"}`:      1,
			`sluice_done_record_bytes_total{output="bad",reason="odd",result="dropped"}`: size,
			`sluice_output_attempts_total{output="bad",result="permanent"}`:              1,
		} {
			if got, ok := m[series]; !ok || got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
		for series, least := range map[string]float64{
			`sluice_held_bytes`: size,
			`sluice_paused_seconds_total{reason="stream_limit"}`:            9,
			`sluice_output_oldest_unflushed_seconds{output="out"}`:          9,
			`sluice_output_attempts_total{output="out",result="retryable"}`: 5,
			`sluice_output_flush_seconds_count{output="out"}`:               5,
			`sluice_output_batch_records_count{output="out"}`:               5,
			`sluice_output_batch_bytes_sum{output="out"}`:                   5 * size,
		} {
			if got := m[series]; got < least {
				t.Errorf("%s is %v, want at least %v", series, got, least)
			}
		}

		out.will(nil)
		p.untilAcked(2)
		p.leave()
		m = g.metrics()
		for series, want := range map[string]float64{
			`sluice_held_bytes`: 0, `sluice_acked_records_total`: 2, `sluice_streams_paused{reason="stream_limit"}`: 0,
			`sluice_done_records_total{output="out",reason="",result="delivered"}`: 1,
			`sluice_output_attempts_total{output="out",result="ok"}`:               1,
			`sluice_output_oldest_unflushed_seconds{output="out"}`:                 0,
			`sluice_calls_total{code="OK",method="StreamLogs"}`:                    1,
		} {
			if got, ok := m[series]; !ok || got != want {
				t.Errorf("at the end %s is %v, want %v", series, got, want)
			}
		}
		if at := m[`sluice_output_last_success_timestamp_seconds{output="out"}`]; at < float64(time.Now().Add(-time.Minute).Unix()) {
			t.Errorf("last success at %v", at)
		}
		g.stop()
	})
}

// Series must not multiply with what producers send: no label holds a stream, a tag or an address.
func TestLabelsAreBounded(t *testing.T) {
	play(t, func(s *scene) {
		p := s.producer(&sluicev1.Open{})
		p.append(1, "one")
		p.untilAcked(1)
		p.leave()
		known := regexp.MustCompile(`^(output|result|reason|code|method|tenant|version|le|quantile)$`)
		label := regexp.MustCompile(`[{,](\w+)="`)
		for series := range s.metrics() {
			if !strings.HasPrefix(series, "sluice_") {
				continue
			}
			for _, found := range label.FindAllStringSubmatch(series, -1) {
				if !known.MatchString(found[1]) {
					t.Errorf("label %s in %s", found[1], series)
				}
			}
			if strings.Contains(series, culprit) {
				t.Errorf("%s names a stream", series)
			}
		}
	}, nil)
}

// The probes follow the gateway's life; what is wrong with a destination fails neither.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, engine.Limits{}, server.Options{})
		want := func(when string, live, ready int, says string) {
			t.Helper()
			liveCode, lively := s.get("/livez")
			readyCode, readily := s.get("/readyz")
			if liveCode != live || readyCode != ready || !strings.Contains(lively+readily, says) {
				t.Errorf("%s: livez %d %s, readyz %d %s", when, liveCode, lively, readyCode, readily)
			}
		}
		s.admin.SetReady(false)
		want("before it listens", 200, 503, "starting")
		s.admin.SetReady(true)
		want("at rest", 200, 200, "ok")

		s.out.will(func(context.Context, *engine.Batch) error { return errors.New("connection refused") })
		p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "s", Tag: "app"})
		p.append(1, "one")
		time.Sleep(time.Hour)
		want("with an output down for an hour", 200, 200, "1 records wait, last error: connection refused")

		letGo := make(chan struct{})
		end := sync.OnceFunc(func() { close(letGo) })
		t.Cleanup(end)
		s.out.will(func(context.Context, *engine.Batch) error { <-letGo; return nil })
		time.Sleep(10 * time.Minute)
		want("with a write that hangs", 503, 200, "1 writes ignore their deadline")
		end()
		p.untilAcked(1)
		want("once that is over", 200, 200, "ok")

		s.server.Drain()
		if err := s.engine.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		want("while it drains", 200, 503, "draining")
		if err := p.end(); status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v", err)
		}
		s.stop()
	})
}
