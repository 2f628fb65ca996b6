package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// replayLetters and replayBytes bound what of a replay is on its way at a time: it is out of the store when all of that is safe.
	replayLetters = 1000
	replayBytes   = 1 << 20
	// replayWait is how often a replay looks whether there is room for it.
	replayWait = 100 * time.Millisecond
)

// chunkRecords is the field of the records in a chunk's data.
const chunkRecords = 2

// Replay gives the chosen letters of a store back to the outputs that refused them, in the order in which they were stored, by
// the normal path: through the buffer, and to no other output. A letter leaves the store once its record is safe in the buffer; so
// a crash in between has it replayed again. It waits while the buffer has no room. told is called, where it is not nil, with how
// many were replayed so far. It gives how many there were in all, also with an error, which is ctx's, or says what of the letters
// could not be replayed; those stay.
// It ends when the engine is closed, which waits for it.
func (e *Engine) Replay(ctx context.Context, store LetterStore, f LetterFilter, told func(n int64)) (int64, error) {
	if !e.replays.begin() {
		return 0, stopped()
	}
	defer e.replays.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	return Replay(ctx, store, f, e.replay, told)
}

// replays counts those that run, until the engine is closed.
type replays struct {
	mu      sync.Mutex // guards what follows
	running int
	over    chan struct{} // closed when the last one has ended; nil: the engine is open
}

// begin reports whether one may run; then it ends with end.
func (r *replays) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over != nil {
		return false
	}
	r.running++
	return true
}

func (r *replays) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running--; r.running == 0 && r.over != nil {
		close(r.over)
	}
}

// close lets none begin any more, and waits for those that run, whose contexts are over, or until ctx ends.
func (r *replays) close(ctx context.Context) error {
	r.mu.Lock()
	if r.over == nil {
		r.over = make(chan struct{})
	}
	over, running := r.over, r.running
	r.mu.Unlock()
	if running == 0 {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d replays of dead letters have not ended: %w", running, ctx.Err())
	}
}

// Replay is [Engine.Replay] for whoever has no engine: append appends a chunk to what the named output is to have, and calls safe
// when it is. It takes over the chunk, which has no stream's meter, and no outputs yet.
func Replay(ctx context.Context, store LetterStore, f LetterFilter, appendTo AppendTo, told func(n int64)) (int64, error) {
	r := replay{store: store, append: appendTo, told: told}
	for l, err := range store.Letters(ctx, f) {
		switch {
		case ctx.Err() != nil:
			return r.replayed, errors.Join(append(r.failed, ctx.Err())...)
		case err != nil:
			r.failed = append(r.failed, err)
			continue
		}
		r.add(l)
		if r.letters >= replayLetters || r.bytes >= replayBytes {
			if err := r.flush(ctx); err != nil {
				return r.replayed, errors.Join(append(r.failed, err)...)
			}
		}
	}
	err := r.flush(ctx)
	return r.replayed, errors.Join(append(r.failed, err)...)
}

// AppendTo appends a chunk for an output, and calls safe when that is. It fails with [ErrNoOutput] where there is no such output.
type AppendTo func(ctx context.Context, output string, c *Chunk, safe func()) error

// ErrNoOutput says that no output has the name.
var ErrNoOutput = errors.New("no output has that name")

// A replay is letters on their way back.
type replay struct {
	store  LetterStore
	append AppendTo
	told   func(int64)

	runs     []run
	letters  int // in the runs
	bytes    int
	replayed int64
	failed   []error
}

// A run is letters that become a chunk: of one output and one stream, with sequences that follow each other.
type run struct {
	Letter // the first one, but for its record
	data   []byte
	ids    []uint64
}

func (r *run) goesOn(l *Letter) bool {
	return l.Output == r.Output && l.Tenant == r.Tenant && l.StreamID == r.StreamID && l.Tag == r.Tag && l.Epoch == r.Epoch &&
		l.Sequence == r.Sequence+uint64(len(r.ids)) && bytes.Equal(l.Resource, r.Resource) && bytes.Equal(l.Scope, r.Scope)
}

// add takes a letter up, whose bytes are valid until the next one comes.
func (r *replay) add(l *Letter) {
	n := len(r.runs)
	if n == 0 || !r.runs[n-1].goesOn(l) {
		first := *l
		first.Resource, first.Scope, first.Record = bytes.Clone(l.Resource), bytes.Clone(l.Scope), Record{}
		r.runs = append(r.runs, run{Letter: first})
		n++
	}
	last := &r.runs[n-1]
	before := len(last.data)
	last.data = protowire.AppendTag(last.data, chunkRecords, protowire.BytesType)
	last.data = protowire.AppendBytes(last.data, l.Record.Wire)
	last.ids = append(last.ids, l.ID)
	r.letters++
	r.bytes += len(last.data) - before
}

// chunk is the run as it was when it was admitted.
func (r *run) chunk() *Chunk {
	return &Chunk{
		Stream: &Stream{Tenant: r.Tenant, ID: r.StreamID, Tag: r.Tag}, Epoch: r.Epoch,
		First: r.Sequence, Last: r.Sequence + uint64(len(r.ids)) - 1, Count: len(r.ids),
		Resource: r.Resource, Scope: r.Scope, Data: r.data, Arrived: r.Arrived,
	}
}

// flush appends all runs, waits until they are safe, and takes their letters out of the store.
func (r *replay) flush(ctx context.Context) error {
	ids, underWay, failure := r.appendAll(ctx)
	if len(ids) == 0 {
		return failure
	}
	if err := underWay.wait(ctx); err != nil {
		return errors.Join(failure, fmt.Errorf("wait until %d letters are safe, which stay in the store: %w", len(ids), err))
	}
	if err := r.store.Remove(context.WithoutCancel(ctx), ids); err != nil {
		return errors.Join(failure, fmt.Errorf("take %d letters out of the store that were replayed: %w", len(ids), err))
	}
	r.replayed += int64(len(ids))
	if r.told != nil {
		r.told(r.replayed)
	}
	return failure
}

// appendAll appends the runs, until one fails, and gives the letters that are on their way.
func (r *replay) appendAll(ctx context.Context) (ids []uint64, underWay *tally, failure error) {
	underWay = newTally()
	for i := range r.runs {
		run := &r.runs[i]
		underWay.add()
		err := r.append(ctx, run.Output, run.chunk(), underWay.done)
		if err == nil {
			ids = append(ids, run.ids...)
			continue
		}
		underWay.done()
		if !errors.Is(err, ErrNoOutput) {
			failure = fmt.Errorf("letter %d: %w", run.ID, err)
			break
		}
		r.failed = append(r.failed, fmt.Errorf("%d letters from number %d: output %q: %w", len(run.ids), run.ID, run.Output, err))
	}
	underWay.done()
	r.runs, r.letters, r.bytes = r.runs[:0], 0, 0
	return ids, underWay, failure
}

// A tally counts what is not done yet, whoever makes it included.
type tally struct {
	left atomic.Int64
	over chan struct{} // closed when nothing is left
}

func newTally() *tally {
	t := &tally{over: make(chan struct{})}
	t.add()
	return t
}

func (t *tally) add() { t.left.Add(1) }

func (t *tally) done() {
	if t.left.Add(-1) == 0 {
		close(t.over)
	}
}

// replayGrace is how long what is on its way may take to be safe when a replay is ended: or it would be replayed again.
const replayGrace = 2 * time.Second

func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.over:
		return nil
	case <-ctx.Done():
	}
	more := time.NewTimer(replayGrace)
	defer more.Stop()
	select {
	case <-t.over:
		return nil
	case <-more.C:
		return ctx.Err()
	}
}

// replay is an AppendTo: it waits for room like any producer.
func (e *Engine) replay(ctx context.Context, output string, c *Chunk, safe func()) error {
	i := slices.IndexFunc(e.outputs, func(d *delivery) bool { return d.Name == output })
	if i < 0 {
		return ErrNoOutput
	}
	c.Outputs = c.Outputs.With(i)
	c.Stream.meter = e.streams.tenantOf(c.Stream.Tenant)
	c.Own(nil, e.freeChunk)
	in := &intake{engine: e, name: streamName{tenant: c.Stream.Tenant, id: c.Stream.ID}}
	look := time.NewTicker(replayWait)
	defer look.Stop()
	for in.fullness(c.Outputs).full() || e.shareFull(i) || !e.meter.TryAdd(c.Charge(), e.limits.Engine) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for room: %w", ctx.Err())
		}
	}
	c.Stream.meter.Add(int64(len(c.Data)))
	already, err := e.buffer.Append([]*Chunk{c}, safe)
	if already {
		safe()
	}
	return err
}

// shareFull reports whether an output needs all of its share: in memory, too, where fullness is nothing.
func (e *Engine) shareFull(output int) bool { return e.outputs[output].share.Free() <= 0 }
