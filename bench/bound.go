package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A boundResult is what became of the gateway while its output was down. Its baseline is the engine's limit.
type boundResult struct {
	Clients     int     `json:"clients"`
	DownSeconds float64 `json:"down_seconds"`
	LimitMiB    float64 `json:"limit_mib"`
	RestMiB     float64 `json:"rss_at_rest_mib"`
	PeakMiB     float64 `json:"rss_peak_mib"`
	OfLimit     float64 `json:"peak_of_limit"`
	GoalMiB     float64 `json:"goal_mib"`

	Sent            uint64   `json:"sent"`
	Delivered       uint64   `json:"delivered"`
	Lost            int64    `json:"lost"` // negative: there were duplicates
	OutOfOrder      int      `json:"out_of_order"`
	Refused         float64  `json:"refused"` // appends and streams, by the gateway's count; and records, by the clients'
	Reconnects      uint64   `json:"reconnects"`
	Pauses          uint64   `json:"pauses"`
	RequestsRefused int      `json:"requests_refused_by_output"`
	Faults          []string `json:"faults,omitempty"`
}

const (
	boundClients = 16
	boundLimit   = 64 << 20
	goalPeak     = 110 << 20
)

// toHTTP is the config of a gateway with that limit, to a web server.
func toHTTP(url string) string {
	return fmt.Sprintf(`limits: {engine: {memory: %d}, streams: 64}
outputs:
  - name: hook
    type: http
    retry: {base: 200ms, cap: 1s}
    http: {url: %q, key: "{stream}"}
`, boundLimit, url)
}

// bound has clients push while the output is up, down, and up again.
func (b bench) bound(ctx context.Context) (result *boundResult, err error) {
	up, down := 3*time.Second, 20*time.Second
	if b.quick {
		up, down = 2*time.Second, 8*time.Second
	}
	lis, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := newDestination(lis)
	defer func() { err = errors.Join(err, d.close()) }()
	gateway, err := b.startGateway(ctx, toHTTP(d.url))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gateway.end()) }()

	r := &boundResult{Clients: boundClients, DownSeconds: down.Seconds(), LimitMiB: mib(boundLimit), GoalMiB: mib(goalPeak)}
	if err := b.outage(ctx, r, gateway, d, up, down); err != nil {
		return nil, err
	}
	refused, err := gateway.refused(ctx)
	if err != nil {
		return nil, err
	}
	r.Refused += refused
	progress("bound: %d MiB limit, output down for %s: peak %.0f MiB; sent %d delivered %d lost %d out of order %d refused %.0f",
		boundLimit>>20, down, r.PeakMiB, r.Sent, r.Delivered, r.Lost, r.OutOfOrder, r.Refused)
	return r, nil
}

// outage is the course of it, up to when all is acked.
func (b bench) outage(ctx context.Context, r *boundResult, gateway *server, d *destination, up, down time.Duration) error {
	rest, _, err := residentMemory(gateway.pid())
	if err != nil {
		return err
	}
	clients, err := b.role(ctx, rolePush, pushOrder{Addr: gateway.addr, Clients: boundClients})
	if err != nil {
		return err
	}
	for _, phase := range []struct {
		down bool
		time time.Duration
	}{{false, up}, {true, down}, {false, up}} {
		d.setDown(phase.down)
		if err := pause(ctx, phase.time); err != nil {
			return err
		}
	}
	var answer pushAnswer
	if err := clients.stdin.Close(); err != nil {
		return err
	}
	if err := clients.answer(&answer); err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	_, peak, err := residentMemory(gateway.pid())
	if err != nil {
		return err
	}
	r.RestMiB, r.PeakMiB, r.OfLimit = mib(rest), mib(peak), float64(peak)/boundLimit
	r.fill(answer, d.tally())
	return clients.wait(nil)
}

// fill compares what was sent with what arrived.
func (r *boundResult) fill(sent pushAnswer, got tally) {
	r.Sent, r.Delivered, r.Lost = sent.Added, got.Records, int64(sent.Added)-int64(got.Records)
	r.OutOfOrder, r.RequestsRefused = got.Wrong, got.Refused
	r.Reconnects, r.Pauses = sent.Reconnects, sent.Pauses
	r.Refused = float64(sent.Rejected + sent.Dropped)
	r.Faults = got.Faults
	if sent.Faults != "" {
		r.Faults = append(r.Faults, "clients: "+sent.Faults)
	}
	if sent.Acked != sent.Added {
		r.Faults = append(r.Faults, fmt.Sprintf("clients: %d of %d acked", sent.Acked, sent.Added))
	}
}

// err tells of records that were not delivered once and in order, which no figure makes good.
func (r *boundResult) err() error {
	if r.Lost != 0 || r.OutOfOrder > 0 || r.Refused > 0 || len(r.Faults) > 0 {
		return fmt.Errorf("lost %d, out of order %d, refused %.0f: %v", r.Lost, r.OutOfOrder, r.Refused, r.Faults)
	}
	return nil
}

// refused is how many streams, appends and records the gateway has refused, by its metrics.
func (s *server) refused(ctx context.Context) (total float64, err error) {
	status, err := get(ctx, "http://"+s.admin+"/metrics", func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), "} ")
			if !strings.HasPrefix(name, "sluice_refused_total{") && !strings.HasPrefix(name, "sluice_rejected_records_total{") {
				continue
			}
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %w", name, err)
			}
			total += n
		}
		return lines.Err()
	})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("metrics: status %d", status)
	}
	return total, err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
