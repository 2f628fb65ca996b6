package main

import (
	"context"
	"errors"
	"fmt"
)

// A throughRow is a gateway from disk to null under one workload, beside one from memory to null under the same.
type throughRow struct {
	Append  int `json:"records_per_append"`
	Streams int `json:"streams"`

	CPU        comparison `json:"cpu_seconds_per_million"`
	Rate       comparison `json:"records_per_second"`
	Pauses     int        `json:"pauses"` // on disk
	BasePauses int        `json:"memory_pauses"`
	Skipped    string     `json:"skipped,omitempty"` // why it was not measured
}

// throughLoads are the workloads.
func throughLoads(quick bool) []workload {
	of := func(appendSize, streams int, millions float64) workload {
		if quick {
			millions /= 2
		}
		return workload{
			Streams: streams, Connections: min(streams, maxConnections), Append: appendSize, Records: int64(millions * 1e6),
		}
	}
	return []workload{of(1000, 16, 6), of(100, 16, 3), of(10, 16, 1), of(1000, 1, 3)}
}

// onDisk is the config of a gateway from the disk to null.
func onDisk(dir, scheduler string) string {
	return fmt.Sprintf("buffer: {type: disk, disk: {path: %q, storage: 10GiB}}\n", dir) + toNull(scheduler)
}

// throughDisk measures all workloads.
func (b bench) throughDisk(ctx context.Context) ([]throughRow, error) {
	rounds := 5
	if b.quick {
		rounds = 2
	}
	var rows []throughRow
	for _, w := range throughLoads(b.quick) {
		row := throughRow{Append: w.Append, Streams: w.Streams}
		if err := b.throughRow(ctx, &row, w, rounds); err != nil {
			return nil, fmt.Errorf("%d streams, %d a message: %w", w.Streams, w.Append, err)
		}
		rows = append(rows, row)
		if row.Skipped != "" {
			break
		}
	}
	return rows, nil
}

// throughRow runs the rounds: in each the gateway on memory first, then the one on disk. A first round, shorter, is not counted.
func (b bench) throughRow(ctx context.Context, row *throughRow, w workload, rounds int) (err error) {
	dir, remove, err := b.diskDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	onMemory, err := b.startGateway(ctx, toNull("keyed"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, onMemory.end()) }()
	gateway, err := b.startGateway(ctx, onDisk(dir, "keyed"))
	if err != nil {
		row.Skipped = "the gateway does not start with a disk buffer"
		progress("disk: %s: %v", row.Skipped, err)
		return ctx.Err()
	}
	defer func() { err = errors.Join(err, gateway.end()) }()
	for i := range 1 + rounds {
		load := w
		if i == 0 {
			load.Records /= 4
		}
		base, basePauses, err := b.figures(ctx, onMemory, load)
		if err != nil {
			return err
		}
		f, pauses, err := b.figures(ctx, gateway, load)
		if err != nil {
			return err
		}
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		row.CPU.add(base.cpu, f.cpu)
		row.Rate.add(base.rate, f.rate)
		row.Pauses += pauses
		row.BasePauses += basePauses
	}
	progress("disk: %4d a message, %3d streams, disk beside memory  CPU %s; rate %s", row.Append, row.Streams, &row.CPU, &row.Rate)
	return nil
}
