package disk

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A restarting is a buffer that is opened and closed again and again, on a real directory.
type restarting struct {
	*Buffer
	t        *testing.T
	options  Options
	outputs  []string
	optional map[string]bool
	start    map[string]func(tag string) bool // which of them begin with the oldest, of which tags
	routes   map[string]func(tag string) bool // which tags the others take; all, where it does not say
	mint     enginetest.Mint
	next     uint64
}

func newRestarting(t *testing.T, outputs ...string) *restarting {
	r := &restarting{t: t, options: Options{Dir: t.TempDir(), SegmentSize: 64 << 10, Checkpoint: time.Hour}, outputs: outputs, next: 1}
	r.open()
	return r
}

func (r *restarting) open() {
	r.t.Helper()
	var outputs []engine.BufferOutput
	for _, name := range r.outputs {
		takes, oldest := r.start[name]
		if !oldest {
			takes = r.routes[name]
		}
		outputs = append(outputs, engine.BufferOutput{
			Name: name, Share: engine.NewMeter(1 << 30), StartOldest: oldest, Takes: takes,
			Optional: r.optional[name],
		})
	}
	b, err := Open(r.options, outputs)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Buffer = b
}

func (r *restarting) restart() {
	r.t.Helper()
	r.close()
	r.open()
}

func (r *restarting) close() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.mint.Check(r.t)
}

// append appends a chunk of so many records to the outputs, and waits until it is safe.
func (r *restarting) append(records int, outputs ...int) {
	r.t.Helper()
	var set engine.OutputSet
	for _, o := range outputs {
		set = set.With(o)
	}
	bodies := make([]string, records)
	for i := range bodies {
		bodies[i] = fmt.Sprint("record ", r.next+uint64(i))
	}
	s := &engine.Stream{Tenant: "default", ID: "s", Tag: "t"}
	c := r.mint.Chunk(s, r.next, set, bodies...)
	c.Resource, c.Scope, c.Urgent = enginetest.Resource("host.name", "h"), []byte("scope"), r.next%2 == 0
	r.next += uint64(records)
	safe := make(chan struct{})
	if _, err := r.Append([]*engine.Chunk{c}, func() { close(safe) }); err != nil {
		r.t.Fatal(err)
	}
	<-safe
}

// read gives what an output's cursor gives out until there is no more: the first sequence of each chunk, to its position.
func (r *restarting) read(output string) (firsts []uint64, at map[uint64]engine.Part) {
	r.t.Helper()
	c, err := r.Cursor(output)
	if err != nil {
		r.t.Fatal(err)
	}
	at = map[uint64]engine.Part{}
	for {
		part, chunk, ok := c.Next()
		if !ok {
			return firsts, at
		}
		for i, body := range enginetest.Bodies(chunk) {
			if want := fmt.Sprint("record ", chunk.First+uint64(i)); body != want {
				r.t.Errorf("%q, want %q", body, want)
			}
		}
		firsts, at[chunk.First] = append(firsts, chunk.First), part
		chunk.Release()
	}
}

func (r *restarting) done(output string, p engine.Part, from, to int) {
	r.t.Helper()
	c, err := r.Cursor(output)
	if err == nil {
		err = c.Done([]engine.Part{{Pos: p.Pos, Records: engine.SelectRange(from, to)}})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *restarting) wantRead(output string, want ...uint64) map[uint64]engine.Part {
	r.t.Helper()
	got, at := r.read(output)
	if !slices.Equal(got, want) {
		r.t.Errorf("output %s reads %d, want %d", output, got, want)
	}
	return at
}

func (r *restarting) wantBacklog(output string, chunks int, records int64) {
	r.t.Helper()
	c, err := r.Cursor(output)
	if err != nil {
		r.t.Fatal(err)
	}
	if b := c.Backlog(); b.Chunks != chunks || b.Records != records || (chunks == 0) != (b.Bytes == 0) {
		r.t.Errorf("output %s: backlog %+v, want %d chunks of %d records", output, b, chunks, records)
	}
}

// What was not done is given out again, in order, and what was is not; whatever else was read.
func TestRestart(t *testing.T) {
	r := newRestarting(t, "a", "b")
	r.append(3, 0, 1) // 1
	r.append(2, 0)    // 4
	r.append(4, 0, 1) // 6
	r.append(1, 1)    // 10
	at := r.wantRead("a", 1, 4, 6)
	r.done("a", at[4], 0, 2)
	r.done("a", at[6], 1, 3)
	r.restart()
	r.wantBacklog("a", 2, 5)
	r.wantBacklog("b", 3, 8)
	r.append(1, 0, 1) // 11
	at = r.wantRead("a", 1, 6, 11)
	if got := slices.Collect(at[6].Records.All()); !slices.Equal(got, []int{0, 3}) || at[1].Records.Len() != 3 {
		t.Errorf("records %d of the chunk at 6 are given out again, and %d of that at 1", got, at[1].Records.Len())
	}
	r.done("a", at[1], 0, 3)
	r.done("a", at[6], 0, 1)
	r.done("a", at[6], 3, 4)
	r.wantBacklog("a", 1, 1)
	at = r.wantRead("b", 1, 6, 10, 11)
	for first, records := range map[uint64]int{1: 3, 6: 4, 10: 1, 11: 1} {
		r.done("b", at[first], 0, records)
	}
	r.restart()
	r.wantRead("b")
	at = r.wantRead("a", 11)
	r.done("a", at[11], 0, 1)
	r.wantBacklog("a", 0, 0)
	r.close()
}

// What does not fit in memory comes from the disk, and a segment that nobody needs is freed.
func TestBacklogOfManySegments(t *testing.T) {
	r := newRestarting(t, "a", "b")
	var all []uint64
	for range 400 {
		all = append(all, r.next)
		r.append(50, 0, 1)
	}
	if n := len(r.log.Segments()); n < 10 {
		t.Fatalf("%d segments: the test shows little", n)
	}
	r.options.Memory = 10_000
	for range 2 {
		r.restart()
		r.wantBacklog("a", 400, 20_000)
		r.wantRead("a", all...)
	}
	at := r.wantRead("b", all...)
	for _, first := range all[:200] {
		r.done("b", at[first], 0, 50)
	}
	r.restart()
	at = r.wantRead("a", all...)
	for _, first := range all {
		r.done("a", at[first], 0, 50)
	}
	at = r.wantRead("b", all[200:]...)
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	before := len(r.log.Segments())
	for _, first := range all[200:] {
		r.done("b", at[first], 0, 50)
	}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if after := len(r.log.Segments()); after > 2 || before < 4 || len(r.holdings) > after {
		t.Errorf("%d segments, then %d; %d holdings", before, after, len(r.holdings))
	}
	r.close()
}

// An output that is new begins with what comes; one that is gone keeps what it needs, and finds it when it is there again.
func TestOutputsComeAndGo(t *testing.T) {
	r := newRestarting(t, "a", "b")
	r.append(1, 0, 1) // 1
	r.append(1, 1)    // 2
	r.close()
	r.outputs = []string{"c", "a"}
	r.open()
	r.append(1, 0) // 3, to c
	r.append(1, 1) // 4, to a
	at := r.wantRead("a", 1, 4)
	r.done("a", at[1], 0, 1)
	r.wantRead("c", 3)
	r.close()
	r.outputs = []string{"b", "c", "a"}
	r.open()
	r.wantRead("b", 1, 2)
	r.wantRead("c", 3)
	r.wantRead("a", 4)
	r.close()
}
