package enginetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// hang is how long the suite waits for what must come before it says that it does not.
const hang = time.Minute

// TestBuffer checks that a buffer keeps the contract of engine.Buffer. newBuffer makes an empty one for the outputs; the suite
// closes it. Where Durable says so, what is appended must become safe by itself; otherwise by being done.
func TestBuffer(t *testing.T, newBuffer func(t testing.TB, outputs []engine.BufferOutput) engine.Buffer) {
	for _, c := range bufferCases() {
		t.Run(c.name, func(t *testing.T) {
			b := newBufferBench(t, newBuffer, "a", "b", "?optional")
			c.run(t, b)
			b.finish(t)
		})
	}
	t.Run("model", func(t *testing.T) { testBufferModel(t, newBuffer) })
	t.Run("stress", func(t *testing.T) { testBufferStress(t, newBuffer) })
}

// The outputs of the table's cases.
const (
	outA        = 0
	outB        = 1
	outOptional = 2
)

// to is the set of these outputs.
func to(outputs ...int) (s engine.OutputSet) {
	for _, o := range outputs {
		s = s.With(o)
	}
	return s
}

// A bufferBench is a buffer on the bench, with all that is around it.
type bufferBench struct {
	engine.Buffer
	outputs []engine.BufferOutput
	cursors []engine.Cursor
	stream  *engine.Stream
	mint    Mint
	next    uint64 // sequence

	mu   sync.Mutex // guards what follows
	safe []string   // names of the appends that were told safe, in order
	told chan struct{}
}

// newBufferBench makes a buffer for outputs of these names, each with a share; "?" marks the optional ones.
func newBufferBench(t testing.TB, newBuffer func(testing.TB, []engine.BufferOutput) engine.Buffer, names ...string) *bufferBench {
	b := &bufferBench{stream: &engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, next: 1, told: make(chan struct{}, 1)}
	for _, name := range names {
		o := engine.BufferOutput{Name: name, Share: engine.NewMeter(1 << 30)}
		if name[0] == '?' {
			o.Name, o.Optional = name[1:], true
		}
		b.outputs = append(b.outputs, o)
	}
	b.Buffer = newBuffer(t, b.outputs)
	for _, o := range b.outputs {
		c, err := b.Cursor(o.Name)
		if err != nil {
			t.Fatalf("Cursor(%q): %v", o.Name, err)
		}
		b.cursors = append(b.cursors, c)
	}
	return b
}

// finish closes the buffer and checks that nothing of what passed through is left.
func (b *bufferBench) finish(t testing.TB) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	b.mint.Check(t)
	for _, o := range b.outputs {
		if used := o.Share.Used(); used != 0 {
			t.Errorf("share of %s at the end: %d, want 0", o.Name, used)
		}
	}
}

// chunk makes a chunk of n records, whose bodies say their sequence, that goes to the outputs.
func (b *bufferBench) chunk(n int, outputs ...int) *engine.Chunk {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = body(b.next + uint64(i))
	}
	c := b.mint.Chunk(b.stream, b.next, to(outputs...), bodies...)
	c.Arrived = arrived(b.next)
	b.next += uint64(n)
	return c
}

func body(sequence uint64) string { return fmt.Sprintf("record %d", sequence) }

func arrived(sequence uint64) time.Time { return epoch().Add(time.Duration(sequence) * time.Second) }

// append appends under a name, and fails the test unless the buffer takes it and answers already as wanted.
func (b *bufferBench) append(t testing.TB, name string, already bool, cs ...*engine.Chunk) {
	t.Helper()
	got, err := b.Append(cs, func() { b.tell(name) })
	if err != nil {
		t.Fatalf("Append %s: %v", name, err)
	}
	if got != already {
		t.Errorf("Append %s: already %v, want %v", name, got, already)
	}
}

func (b *bufferBench) tell(name string) {
	b.mu.Lock()
	b.safe = append(b.safe, name)
	b.mu.Unlock()
	select {
	case b.told <- struct{}{}:
	default:
	}
}

func (b *bufferBench) safes() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.safe...)
}

// wantSafe checks which appends were told safe so far, in order. A durable buffer tells in its own time and by itself: there
// it checks nothing.
func (b *bufferBench) wantSafe(t testing.TB, names ...string) {
	t.Helper()
	if got := b.safes(); !b.Durable() && fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("told safe: %v, want %v", got, names)
	}
}

// waitSafe waits until so many appends were told safe.
func (b *bufferBench) waitSafe(t testing.TB, n int) {
	t.Helper()
	timeout := time.After(hang)
	for len(b.safes()) < n {
		select {
		case <-b.told:
		case <-timeout:
			t.Fatalf("told safe: %v, want %d appends", b.safes(), n)
		}
	}
}

// wantFrees checks how often the chunk was freed. A durable buffer may hold it, or let it go, as it likes.
func (b *bufferBench) wantFrees(t testing.TB, c *engine.Chunk, want int) {
	t.Helper()
	if got := b.mint.Frees(c); !b.Durable() && got != want {
		t.Errorf("chunk was freed %d times, want %d", got, want)
	}
}

// A place is a chunk that a cursor gave out, and what it should hold.
type place struct {
	pos   engine.Pos
	chunk *engine.Chunk // retained until release
}

// read waits for the output's next chunk and checks that it begins with the sequence and holds so many records.
func (b *bufferBench) read(t testing.TB, output int, first uint64, count int) place {
	t.Helper()
	p, c := b.await(t, output)
	wantChunk(t, c, first, count)
	return place{p, c}
}

// await waits for the output's next chunk.
func (b *bufferBench) await(t testing.TB, output int) (engine.Pos, *engine.Chunk) {
	t.Helper()
	timeout := time.After(hang)
	for {
		if p, c, ok := b.cursors[output].Next(); ok {
			wantAll(t, p, c)
			return p.Pos, c
		}
		select {
		case <-b.cursors[output].Wake():
		case <-timeout:
			t.Fatalf("output %s: no wake-up", b.outputs[output].Name)
		}
	}
}

// wantAll checks that all records of a chunk are given out.
func wantAll(t testing.TB, p engine.Part, c *engine.Chunk) {
	t.Helper()
	if p.Records.Len() != c.Count || c.Count > 0 && p.Records.At(0) != 0 {
		t.Errorf("%d records are given out of the chunk at %d, want %d", p.Records.Len(), c.First, c.Count)
	}
}

// wantNone checks that the output has no more to read.
func (b *bufferBench) wantNone(t testing.TB, output int) {
	t.Helper()
	if p, c, ok := b.cursors[output].Next(); ok {
		t.Errorf("output %s: Next gave sequence %d at position %d, want none", b.outputs[output].Name, c.First, p.Pos)
		c.Release()
	}
}

// wantChunk checks a chunk that came out of a buffer against what chunk made.
func wantChunk(t testing.TB, c *engine.Chunk, first uint64, count int) {
	t.Helper()
	if c.First != first || c.Count != count || c.Last != first+uint64(count)-1 || c.Epoch != 1 {
		t.Fatalf("chunk of epoch %d holds %d records, %d to %d; want epoch 1, %d from %d",
			c.Epoch, c.Count, c.First, c.Last, count, first)
	}
	if !c.Arrived.Equal(arrived(first)) || c.Stream == nil || c.Stream.ID != "s" {
		t.Fatalf("chunk arrived %v, of stream %+v", c.Arrived, c.Stream)
	}
	for i, got := range Bodies(c) {
		if want := body(first + uint64(i)); got != want {
			t.Fatalf("record %d of chunk %d: %q, want %q", i, first, got, want)
		}
	}
}

// done tells the output that it is done with the range of records, and releases nothing.
func (b *bufferBench) done(t testing.TB, output int, p place, from, until int) {
	t.Helper()
	b.tellDone(t, output, engine.Part{Pos: p.pos, Records: engine.SelectRange(from, until)})
}

func (b *bufferBench) tellDone(t testing.TB, output int, parts ...engine.Part) {
	t.Helper()
	if err := b.cursors[output].Done(parts); err != nil {
		t.Fatalf("output %s: Done: %v", b.outputs[output].Name, err)
	}
}

// wantBacklog checks an output's backlog. oldest is the sequence of the oldest chunk, 0 for none.
func (b *bufferBench) wantBacklog(t testing.TB, output, chunks int, records int64, oldest uint64, charged int64) {
	t.Helper()
	want := engine.Backlog{Chunks: chunks, Records: records, Bytes: charged}
	if oldest != 0 {
		want.Oldest = arrived(oldest)
	}
	got := b.cursors[output].Backlog()
	if got.Chunks != want.Chunks || got.Records != want.Records || got.Bytes != want.Bytes || !got.Oldest.Equal(want.Oldest) {
		t.Errorf("output %s: backlog %+v, want %+v", b.outputs[output].Name, got, want)
	}
	if used := b.outputs[output].Share.Used(); used != charged {
		t.Errorf("output %s: share %d, want %d", b.outputs[output].Name, used, charged)
	}
}
