package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A throughputRow is one gateway under one workload, beside the floor under the same.
type throughputRow struct {
	Scheduler  string `json:"scheduler"`
	Append     int    `json:"records_per_append"`
	Attributes int    `json:"attributes"`
	Streams    int    `json:"streams"`

	CPU       comparison `json:"cpu_seconds_per_million"`
	Rate      comparison `json:"records_per_second"`
	Pauses    int        `json:"pauses"`
	IsDefault bool       `json:"default_point,omitempty"`
}

// A star has its workloads around one point: what differs between two of them is one thing, but for the matrix of sizes
// and attributes.
type star struct {
	workload
	schedulers []string
}

// maxConnections is how many connections a loader makes at most; more streams share them.
const maxConnections = 16

// stars are the workloads. Their records are as many as keep a floor busy for half a second or so.
func stars(quick bool) []star {
	of := func(appendSize int, attributes bool, streams int, millions float64, schedulers ...string) star {
		if quick {
			millions /= 2
		}
		return star{
			workload: workload{
				Streams: streams, Connections: min(streams, maxConnections), Append: appendSize, Attributes: attributes,
				Records: int64(millions * 1e6),
			},
			schedulers: schedulers,
		}
	}
	return []star{
		of(1000, false, 16, 6, "keyed", "sync", "concurrent"),
		of(1000, true, 16, 4, "keyed"),
		of(100, false, 16, 4, "keyed"),
		of(100, true, 16, 3, "keyed"),
		of(10, false, 16, 1.5, "keyed"),
		of(10, true, 16, 1.5, "keyed"),
		of(1000, false, 1, 4, "keyed"),
		of(1000, false, 256, 6, "keyed"),
	}
}

// throughput measures all workloads, the default point first.
func (b bench) throughput(ctx context.Context) ([]throughputRow, error) {
	rounds := 3
	if !b.quick {
		rounds = 7
	}
	var rows []throughputRow
	for i, w := range stars(b.quick) {
		some, err := b.beside(ctx, w, rounds)
		if err != nil {
			return nil, fmt.Errorf("%d streams, %d a message: %w", w.Streams, w.Append, err)
		}
		some[0].IsDefault = i == 0
		rows = append(rows, some...)
	}
	return rows, nil
}

// beside measures gateways beside a floor: in each round the floor first, then every gateway. A first round, shorter, is
// not counted.
func (b bench) beside(ctx context.Context, w star, rounds int) (rows []throughputRow, err error) {
	servers, err := b.startAll(ctx, w.schedulers)
	defer func() { err = errors.Join(err, finishAll(servers)) }()
	if err != nil {
		return nil, err
	}
	for _, scheduler := range w.schedulers {
		row := throughputRow{Scheduler: scheduler, Append: w.Append, Streams: w.Streams}
		if w.Attributes {
			row.Attributes = 5
		}
		rows = append(rows, row)
	}
	warm := w.workload
	warm.Records /= 4
	for _, s := range servers {
		if _, _, err := b.load(ctx, s, warm); err != nil {
			return nil, err
		}
	}
	for range rounds {
		var floor figures
		for i, s := range servers {
			f, pauses, err := b.figures(ctx, s, w.workload)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				floor = f
				continue
			}
			row := &rows[i-1]
			row.CPU.add(floor.cpu, f.cpu)
			row.Rate.add(floor.rate, f.rate)
			row.Pauses += pauses
		}
	}
	for i := range rows {
		r := &rows[i]
		progress("throughput: %4d a message, %d attributes, %3d streams, %-10s  %s", r.Append, r.Attributes, r.Streams, r.Scheduler, &r.CPU)
	}
	return rows, nil
}

// figures are one server's under one load.
type figures struct {
	cpu  float64 // CPU-seconds per million records
	rate float64 // records a second
}

func (b bench) figures(ctx context.Context, s *server, w workload) (figures, int, error) {
	a, cpu, err := b.load(ctx, s, w)
	if err != nil {
		return figures{}, 0, err
	}
	records := float64(w.total())
	return figures{cpu: cpu.Seconds() / records * 1e6, rate: records / a.Seconds}, a.Pauses, pause(ctx, 50*time.Millisecond)
}

// startAll starts a floor, then a gateway of each scheduler. What it started it gives also where it fails.
func (b bench) startAll(ctx context.Context, schedulers []string) ([]*server, error) {
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	servers := []*server{floor}
	for _, scheduler := range schedulers {
		s, err := b.startGateway(ctx, toNull(scheduler))
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func finishAll(servers []*server) error {
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.end())
	}
	return errors.Join(errs...)
}

// end lets the server go: the gateway by a signal, as it is in life.
func (s *server) end() error {
	if s.admin != "" {
		return s.terminate()
	}
	return s.finish()
}
