package e2e

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A destination is an output that keeps what it was given, whose key is the stream. It first does as it is told. Several
// gateways may share one.
type destination struct {
	mu     sync.Mutex // guards what follows
	answer func(ctx context.Context, b *engine.Batch) error
	got    map[string][]arrival // by stream
}

type arrival struct {
	sequence uint64
	body     string
	wire     []byte
}

// Write implements engine.Output.
func (d *destination) Write(ctx context.Context, b *engine.Batch) error {
	d.mu.Lock()
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, b); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.got == nil {
		d.got = map[string][]arrival{}
	}
	for _, r := range b.All() {
		id := r.Chunk.Stream.ID
		d.got[id] = append(d.got[id], arrival{r.Sequence, enginetest.Body(r.Record), slices.Clone(r.Wire)})
	}
	return nil
}

// PerRecord and AppendKey implement engine.Keyer.
func (d *destination) PerRecord(*engine.Chunk) bool { return false }

func (d *destination) AppendKey(dst []byte, c *engine.Chunk, _ engine.Record) []byte {
	return append(dst, c.Stream.ID...)
}

// will sets what the destination does from now on; nil: it takes everything.
func (d *destination) will(answer func(ctx context.Context, b *engine.Batch) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// takes makes a destination take so long for a batch.
func takes(d time.Duration) func(context.Context, *engine.Batch) error {
	return func(ctx context.Context, _ *engine.Batch) error {
		pause(ctx, d)
		return ctx.Err()
	}
}

// arrivals are what came of a stream, in order.
func (d *destination) arrivals(stream string) []arrival {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got[stream])
}

func (d *destination) bodies(stream string) []string {
	var all []string
	for _, a := range d.arrivals(stream) {
		all = append(all, a.body)
	}
	return all
}

// wantBodies checks that these came of a stream and nothing else, each once and in order.
func wantBodies(t testing.TB, d *destination, stream string, want []string) {
	t.Helper()
	got := d.bodies(stream)
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("stream %q: %d records came, want %d; from record %d on %.60q, want %.60q",
		stream, len(got), len(want), i+1, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
}
