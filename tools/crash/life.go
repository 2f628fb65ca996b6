package main

import (
	"context"
	"path/filepath"
	"time"
)

const (
	startUpKills = 0.2                   // of all: most of them before the gateway says that it listens
	startUpTime  = 80 * time.Millisecond // of these
	lateEvery    = 10                    // lives: one is longer than the window, or checkpoints that come late were not found
	tellEvery    = 20                    // kills
)

// live starts a gateway, and kills it at a random moment.
func (t *trial) live(ctx context.Context) {
	g, err := t.order.start(ctx)
	if err != nil {
		t.fault(err)
		return
	}
	t.report.starts++
	t.fault(t.wait(ctx, g))
	killed, err := g.kill()
	t.fault(err)
	t.report.kills++
	if !g.log.hears() {
		t.report.startUps++
	}
	saved, err := lastCheckpoint(filepath.Join(t.dir, "buffer"))
	t.fault(err)
	t.watch.end(life{killed, saved})
	t.hear(g)
	if t.report.kills%tellEvery == 0 {
		t.tell("%s: %d of %d kills, %d lines in the file, %d of them duplicates", t.kind, t.report.kills, t.kills,
			t.watch.verdict().written, t.watch.verdict().duplicates)
	}
}

// wait waits until it is time to kill. The error says that the gateway was faster.
func (t *trial) wait(ctx context.Context, g *gateway) error {
	late := t.report.kills%lateEvery == lateEvery/2
	if !late && t.random.Float64() < startUpKills {
		return g.lives(ctx, time.Duration(t.random.Int64N(int64(startUpTime))))
	}
	start := time.Now()
	if err := g.listens(ctx); err != nil {
		return err
	}
	t.report.start = max(t.report.start, time.Since(start))
	start = time.Now()
	length := t.shortest + time.Duration(t.random.Int64N(int64(t.longest-t.shortest)))
	if late {
		length += t.window.interval + t.window.slack
	}
	if err := g.lives(ctx, length/2); err != nil {
		return err
	}
	t.report.repeated += g.repeated(ctx)
	return g.lives(ctx, length-time.Since(start))
}

// hear notes what a gateway that is gone has said.
func (t *trial) hear(g *gateway) {
	faults, cut := g.log.told()
	t.report.mishaps = append(t.report.mishaps, faults...)
	t.report.cut += cut
}
