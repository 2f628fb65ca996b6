package main

import (
	"context"
	"fmt"
	"time"
)

// A putRow is one gateway to the fake of CloudWatch Logs, beside a loop of the plain SDK to the same.
type putRow struct {
	Streams   int     `json:"streams"` // of producers, and as many log streams
	LatencyMS float64 `json:"latency_ms"`
	TLS       bool    `json:"tls"`
	Scheduler string  `json:"scheduler"`
	Encoding  string  `json:"encoding"`

	CPU  comparison `json:"cpu_seconds_per_million"`
	Rate comparison `json:"records_per_second"`
	// OfPlain is CPU beside that of a gateway with the SDK's own encoding, where there was one.
	OfPlain *comparison `json:"cpu_beside_plain_sdk,omitempty"`

	Calls           []float64 `json:"calls"`
	CallBytes       []float64 `json:"bytes_per_call"` // as AWS counts
	WireBytes       []float64 `json:"wire_bytes_per_call"`
	Busy            []float64 `json:"busy"` // from the first call to the last
	InFlight        []float64 `json:"in_flight"`
	Connections     []float64 `json:"connections"` // that were made
	BaseConnections []float64 `json:"baseline_connections"`
	FakeCPU         []float64 `json:"fake_cpu_seconds_per_million"`
	LoaderCPU       []float64 `json:"loader_cpu_seconds_per_million"`
	Pauses          int       `json:"pauses"` // of producers: there was a backlog

	// Of the gateway's records in all rounds.
	Lost       int64 `json:"lost"`
	Reordered  int64 `json:"out_of_order"`
	Duplicates int64 `json:"duplicates"`
}

// The encodings of what is put.
const (
	encodeJSON  = "json"
	encodeGzip  = "gzip"
	encodePlain = "plain_sdk" // the SDK's own JSON
)

// The goals. The first two are of 16 streams, the third is of one through sync, all at 20 ms.
const (
	goalPutCPU  = 0.5 // CPU-seconds per million records
	goalPutRate = 1e6 // records a second
	goalBusy    = 0.95
	goalAt      = 20 * time.Millisecond
)

// A putGroup is gateways that differ in their encoding, and share a baseline.
type putGroup struct {
	streams   int
	latency   time.Duration
	tls       bool
	scheduler string
	encodings []string
	records   int64
}

// putGroups are what is measured, that which has goals first. Records are as many as keep a gateway busy for a second or so.
func putGroups(quick bool) []putGroup {
	of := func(streams int, latency time.Duration, tls bool, millions float64, encodings ...string) putGroup {
		if quick {
			millions /= 2
		}
		g := putGroup{streams, latency, tls, "keyed", encodings, int64(millions * 1e6)}
		if streams == 1 {
			g.scheduler = "sync"
		}
		return g
	}
	return []putGroup{
		of(16, goalAt, true, 1.2, encodeJSON, encodeGzip, encodePlain),
		of(1, goalAt, true, 0.2, encodeJSON),
		of(16, goalAt, false, 1.2, encodeJSON, encodeGzip, encodePlain),
		of(16, 0, false, 1.2, encodeJSON, encodeGzip),
		of(1, goalAt, false, 0.2, encodeJSON, encodeGzip),
		of(1, 0, false, 0.6, encodeJSON, encodeGzip),
	}
}

// puts measures all groups.
func (b bench) puts(ctx context.Context) ([]putRow, error) {
	rounds := 5
	if b.quick {
		rounds = 2
	}
	var rows []putRow
	for _, g := range putGroups(b.quick) {
		some, err := b.putGroup(ctx, g, rounds)
		if err != nil {
			return nil, fmt.Errorf("%d to %d, %s: %w", g.streams, g.streams, g.latency, err)
		}
		rows = append(rows, some...)
	}
	for i := range rows {
		if err := rows[i].err(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// putGroup measures gateways beside the loop: in each round the loop first, then every gateway. A first round, shorter, is
// not counted.
func (b bench) putGroup(ctx context.Context, g putGroup, rounds int) ([]putRow, error) {
	s, err := b.startPuts(ctx, g)
	if err != nil {
		return nil, err
	}
	rows, err := s.measure(ctx, rounds)
	if err := s.end(err); err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		progress("cloudwatch: %2d to %-2d %3.0f ms  %-5s  %-9s  CPU %s; rate %s", r.Streams, r.Streams, r.LatencyMS,
			r.scheme(), r.Encoding, &r.CPU, r.Rate.Ratio)
	}
	return rows, nil
}

// row is the empty row of an encoding.
func (g *putGroup) row(encoding string) putRow {
	return putRow{
		Streams: g.streams, LatencyMS: float64(g.latency) / float64(time.Millisecond), TLS: g.tls,
		Scheduler: g.scheduler, Encoding: encoding,
	}
}

// add adds a round of the gateway beside the loop's.
func (r *putRow) add(base, gateway putFigures) {
	t := gateway.tally
	calls := float64(max(t.Calls, 1))
	r.CPU.add(base.cpu, gateway.cpu)
	r.Rate.add(base.rate, gateway.rate)
	r.Calls = append(r.Calls, float64(t.Calls))
	r.CallBytes = append(r.CallBytes, float64(t.Bytes)/calls)
	r.WireBytes = append(r.WireBytes, float64(t.Wire)/calls)
	r.Busy = append(r.Busy, t.BusyPart)
	r.InFlight = append(r.InFlight, float64(t.Flight)/float64(max(t.Busy, 1)))
	r.Connections = append(r.Connections, float64(t.Connections))
	r.BaseConnections = append(r.BaseConnections, float64(base.tally.Connections))
	r.FakeCPU = append(r.FakeCPU, gateway.fakeCPU)
	r.LoaderCPU = append(r.LoaderCPU, gateway.loaderCPU)
	r.Pauses += gateway.pauses
	r.Lost += gateway.records - (t.Arrived - t.Duplicates)
	r.Reordered += t.Reordered
	r.Duplicates += t.Duplicates
}

// beside compares with a gateway of the same rounds that has the SDK encode.
func (r *putRow) beside(plain *putRow) {
	r.OfPlain = &comparison{}
	for i, cpu := range plain.CPU.Gateway {
		r.OfPlain.add(cpu, r.CPU.Gateway[i])
	}
}

// err tells of records that did not arrive once and in order, which no figure makes good.
func (r *putRow) err() error {
	if r.Lost != 0 || r.Reordered > 0 || r.Duplicates > 0 {
		return fmt.Errorf("%d to %d, %.0f ms, %s, %s: lost %d, out of order %d, duplicates %d", r.Streams, r.Streams, r.LatencyMS,
			r.scheme(), r.Encoding, r.Lost, r.Reordered, r.Duplicates)
	}
	return nil
}

func (r *putRow) scheme() string {
	if r.TLS {
		return "https"
	}
	return "http"
}
