package enginetest_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite must also fit a buffer that is durable: that tells safe by itself, and reads copies back.
func TestBufferDurable(t *testing.T) {
	enginetest.TestBuffer(t, func(_ testing.TB, outputs []engine.BufferOutput) engine.Buffer {
		told := make(chan struct{})
		close(told)
		return &durable{Buffer: memory.New(outputs), told: told}
	})
}

// durable plays a durable buffer: it tells safe in order, from another goroutine.
type durable struct {
	engine.Buffer

	mu   sync.Mutex    // guards what follows
	told chan struct{} // closed when the last append was told
}

func (d *durable) Durable() bool { return true }

func (d *durable) Append(cs []*engine.Chunk, safe func()) (bool, error) {
	already, err := d.Buffer.Append(cs, func() {})
	if already || err != nil {
		return already, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	before, told := d.told, make(chan struct{})
	d.told = told
	go func() {
		<-before
		safe()
		close(told)
	}()
	return false, nil
}

func (d *durable) Cursor(output string) (engine.Cursor, error) {
	c, err := d.Buffer.Cursor(output)
	return cursor{c}, err
}

func (d *durable) Close() error {
	d.mu.Lock()
	told := d.told
	d.mu.Unlock()
	<-told
	return d.Buffer.Close()
}

type cursor struct{ engine.Cursor }

func (c cursor) Load(ctx context.Context, p engine.Pos) (*engine.Chunk, error) {
	was, err := c.Cursor.Load(ctx, p)
	if err != nil {
		return nil, err
	}
	defer was.Release()
	return &engine.Chunk{
		Stream: was.Stream, Epoch: was.Epoch, First: was.First, Last: was.Last, Count: was.Count, Outputs: was.Outputs,
		Resource: was.Resource, Scope: was.Scope, Data: slices.Clone(was.Data), Arrived: was.Arrived, Urgent: was.Urgent,
	}, nil
}
