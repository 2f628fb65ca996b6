package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// closeTime is how long producers may take until all that they have is acked.
const closeTime = 3 * time.Minute

// finish lets a last gateway live until all producers are done, has it drain, and accounts for everything.
func (t *trial) finish(ctx context.Context) {
	if g, err := t.order.start(ctx); err != nil {
		t.fault(err)
	} else {
		t.report.starts++
		t.drain(ctx, g)
		t.watch.end(life{})
		t.hear(g)
		t.fault(t.order.verify(ctx, filepath.Join(t.dir, "buffer")))
	}
	logged := map[string]uint64{}
	for _, p := range t.producers {
		stream, records := p.logged()
		logged[stream] = records
		t.report.logged += records
		t.report.resent += p.resent()
		t.report.pauses += p.pauses()
	}
	t.watch.account(logged)
	t.report.verdict = t.watch.verdict()
	t.fault(t.segments())
}

func (t *trial) drain(ctx context.Context, g *gateway) {
	if err := g.listens(ctx); err != nil {
		t.fault(err)
		_, _ = g.kill() // it may be gone already
		return
	}
	t.part(ctx, g)
	t.report.repeated += g.repeated(ctx)
	t.fault(g.stop(ctx))
}

// part closes the producers, and gives that up when the gateway is gone.
func (t *trial) part(ctx context.Context, g *gateway) {
	closing, cancel := context.WithTimeout(ctx, closeTime)
	var watching, parting sync.WaitGroup
	watching.Go(func() {
		select {
		case <-g.gone:
			cancel()
		case <-closing.Done():
		}
	})
	faults := make(chan error, len(t.producers))
	for _, p := range t.producers {
		parting.Go(func() { faults <- p.close(closing) })
	}
	parting.Wait()
	cancel()
	watching.Wait()
	for range t.producers {
		t.fault(<-faults)
	}
}

// segments counts those that there were, and the files that there are: their names are in engine/disk/FORMAT.md.
func (t *trial) segments() error {
	files, err := os.ReadDir(filepath.Join(t.dir, "buffer"))
	if err != nil {
		return err
	}
	for _, f := range files {
		var number int
		if _, err := fmt.Sscanf(f.Name(), "%d.seg", &number); err != nil {
			continue
		}
		t.report.files++
		if strings.HasSuffix(f.Name(), ".seg") {
			t.report.segments = max(t.report.segments, number)
		}
	}
	return nil
}
