package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// A recoveryRow is a log of one size, whose process was killed, and that is opened and read by another.
type recoveryRow struct {
	GiB     int    `json:"gib"`
	Chunk   int    `json:"chunk_bytes"`
	Skipped string `json:"skipped,omitempty"` // why it was not measured

	Chunks   []float64 `json:"chunks"`
	FillRate []float64 `json:"fill_mb_per_second"` // without a sync for each commit
	Seconds  []float64 `json:"open_seconds"`
	RestMiB  []float64 `json:"rss_at_rest_mib"`
	OpenMiB  []float64 `json:"rss_peak_opened_mib"`
	ReadMiB  []float64 `json:"rss_peak_read_mib"`
	// Read is the rate, in MB/s, at which a cursor gets through the first GiB, beside that of reading the files.
	Read comparison `json:"read_mb_per_second"`
}

const gib = 1 << 30

// readBacklog is how much of a log is read.
const readBacklog = gib

// recoveryRows are the logs.
func recoveryRows(quick bool) []recoveryRow {
	rows := []recoveryRow{{GiB: 1, Chunk: 256 << 10}, {GiB: 1, Chunk: 4 << 10}}
	if !quick {
		rows = append(rows, recoveryRow{GiB: 10, Chunk: 256 << 10}, recoveryRow{GiB: 20, Chunk: 256 << 10})
	}
	return rows
}

// spareRoom is how much of the disk is left free.
const spareRoom = 2 * gib

// recoveries measures all logs. Those of a GiB have as many rounds as all else, the others one.
func (b bench) recoveries(ctx context.Context) ([]recoveryRow, error) {
	rows := recoveryRows(b.quick)
	for i := range rows {
		row := &rows[i]
		free, err := freeSpace(b.dir)
		if err != nil {
			return nil, err
		}
		if need := int64(row.GiB)*gib + spareRoom; free < need {
			row.Skipped = fmt.Sprintf("needs %d GiB of disk, %.1f are free", need/gib, float64(free)/gib)
			progress("disk: recovery of %d GiB: %s", row.GiB, row.Skipped)
			continue
		}
		rounds := 3
		if b.quick || row.GiB > 1 {
			rounds = 1
		}
		for range rounds {
			if err := b.recoveryRound(ctx, row); err != nil {
				return nil, fmt.Errorf("recovery of %d GiB: %w", row.GiB, err)
			}
		}
		progress("disk: recovery of %2d GiB in chunks of %3d KiB: opened in %.3f s, %.0f MiB, then %.0f; MB/s read, files %s", row.GiB,
			row.Chunk>>10, quantile(row.Seconds, 0.5), quantile(row.OpenMiB, 0.5), quantile(row.ReadMiB, 0.5), &row.Read)
	}
	return rows, nil
}

// recoveryRound fills a log, kills who did it, and has another process open it.
func (b bench) recoveryRound(ctx context.Context, row *recoveryRow) (err error) {
	dir, remove, err := b.diskDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	filled, err := b.fill(ctx, fillOrder{Dir: dir, Chunk: row.Chunk, Bytes: int64(row.GiB) * gib})
	if err != nil {
		return err
	}
	row.Chunks = append(row.Chunks, float64(filled.Chunks))
	row.FillRate = append(row.FillRate, float64(filled.Bytes)/filled.Seconds/1e6)

	if err := chill(dir); err != nil {
		return err
	}
	return b.recover(ctx, row, dir, filled)
}

// fill has a filler make a log, and kills it.
func (b bench) fill(ctx context.Context, order fillOrder) (filled fillAnswer, err error) {
	filler, err := b.role(ctx, roleFill, order)
	if err != nil {
		return filled, err
	}
	if err := filler.answer(&filled); err != nil {
		return filled, err
	}
	return filled, filler.kill()
}

// kill ends a process without giving it the time to do anything.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	if _, killed := errors.AsType[*exec.ExitError](p.cmd.Wait()); !killed {
		return fmt.Errorf("%s: it ended before it was killed", p.cmd.Args[1])
	}
	return nil
}

// recover has a process open the log, and read of it what was read from the files before.
func (b bench) recover(ctx context.Context, row *recoveryRow, dir string, filled fillAnswer) (err error) {
	p, err := b.role(ctx, roleRecover, recoverOrder{Dir: dir})
	if err != nil {
		return err
	}
	var ready bool
	if err := p.answer(&ready); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.finish()) }()
	_, rest, err := residentMemory(p.pid())
	if err != nil {
		return err
	}
	opened, afterOpen, err := p.recoverStep(0)
	if err != nil {
		return err
	}
	if opened.Backlog != filled.Chunks {
		return fmt.Errorf("%d chunks are in the log, and %d were appended", opened.Backlog, filled.Chunks)
	}
	plain, err := readCold(dir, readBacklog)
	if err != nil {
		return err
	}
	read, afterRead, err := p.recoverStep(readBacklog)
	if err != nil {
		return err
	}
	row.Seconds = append(row.Seconds, opened.Seconds)
	row.RestMiB = append(row.RestMiB, mib(rest))
	row.OpenMiB = append(row.OpenMiB, mib(afterOpen))
	row.ReadMiB = append(row.ReadMiB, mib(afterRead))
	row.Read.add(plain, float64(read.Bytes)/read.Seconds/1e6)
	return nil
}

// recoverStep has it open the log, or read so many bytes, and gives the most memory that it had up to then.
func (p *process) recoverStep(bytes int64) (a recoverAnswer, peak int64, err error) {
	if err := p.ask(recoverStep{Read: bytes}, &a); err != nil {
		return a, 0, err
	}
	_, peak, err = residentMemory(p.pid())
	return a, peak, err
}
