package enginetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sluicelog/sluice/engine"
)

// bufferCases are one for each sentence of the contract. Each begins with an empty buffer for outputs a and b and an optional
// one, and ends with everything it read released.
func bufferCases() []bufferCase {
	return []bufferCase{
		{"a cursor for each output", caseCursors},
		{"chunks come in order of append to the outputs that they go to", caseOrder},
		{"a reader that asks again after a wake-up misses nothing", caseWake},
		{"a chunk is kept for whoever retains it", caseRetained},
		{"a chunk is given again until it is done", caseLoad},
		{"records are done in any order", caseDone},
		{"records of several chunks are done in one call", caseDoneMany},
		{"a dead output and a parked chunk hold up nothing else", caseParked},
		{"an append is safe once, with its last chunk", caseSafe},
		{"appends become safe in order", caseSafeOrder},
		{"safe may call the buffer", caseSafeReenters},
		{"what no output needs is safe at once", caseUnneeded},
		{"an optional output takes no part in safe", caseOptional},
		{"a share is charged with what its output needs", caseShare},
		{"the backlog is what is not done", caseBacklog},
		{"a false Done is refused and changes nothing", caseFalseDone},
		{"a chunk for an output that there is not is refused", caseNoSuchOutput},
		{"a closed buffer lets go of everything", caseClose},
		{"a closed buffer answers ErrClosed", caseClosed},
	}
}

type bufferCase struct {
	name string
	run  func(*testing.T, *bufferBench)
}

func caseCursors(t *testing.T, b *bufferBench) {
	again, err := b.Cursor("b")
	if err != nil || again != b.cursors[outB] {
		t.Errorf("Cursor asked again: %v, %v; want the same", again, err)
	}
	if _, err := b.Cursor("nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("Cursor of an unknown output: error %v, want one that names it", err)
	}
	for o := range b.cursors {
		b.wantNone(t, o)
		b.wantBacklog(t, o, 0, 0, 0, 0)
	}
}

func caseOrder(t *testing.T, b *bufferBench) {
	b.append(t, "1", false, b.chunk(3, outA, outB), b.chunk(1, outA)) // 1..3, 4
	b.append(t, "2", false, b.chunk(2, outB, outOptional))            // 5..6
	b.append(t, "3", true, b.chunk(2, outOptional))                   // 7..8
	b.append(t, "4", false, b.chunk(1, outA, outB, outOptional))      // 9
	type run struct {
		first uint64
		count int
	}
	seen := make(map[engine.Pos]bool)
	for o, runs := range [][]run{
		outA:        {{1, 3}, {4, 1}, {9, 1}},
		outB:        {{1, 3}, {5, 2}, {9, 1}},
		outOptional: {{5, 2}, {7, 2}, {9, 1}},
	} {
		clear(seen)
		for _, r := range runs {
			p := b.read(t, o, r.first, r.count)
			if seen[p.pos] {
				t.Errorf("output %s: position %d given twice", b.outputs[o].Name, p.pos)
			}
			seen[p.pos] = true
			p.chunk.Release()
		}
		b.wantNone(t, o)
	}
}

func caseWake(t *testing.T, b *bufferBench) {
	wake := b.cursors[outA].Wake()
	if cap(wake) != 1 {
		t.Errorf("capacity of Wake: %d, want 1", cap(wake))
	}
	b.append(t, "1", false, b.chunk(1, outA))
	b.append(t, "2", false, b.chunk(1, outA)) // nobody took the first signal; this must not block
	b.read(t, outA, 1, 1).chunk.Release()
	b.read(t, outA, 2, 1).chunk.Release()
	for i := range uint64(3) {
		b.wantNone(t, outA) // the reader finds nothing and is about to wait ...
		b.append(t, "3", false, b.chunk(1, outA))
		<-wake // ... for this
		b.read(t, outA, 3+i, 1).chunk.Release()
	}
}

func caseRetained(t *testing.T, b *bufferBench) {
	c := b.chunk(4, outA, outB)
	b.append(t, "1", false, c)
	pa, pb := b.read(t, outA, 1, 4), b.read(t, outB, 1, 4)
	b.done(t, outA, pa, 0, 4)
	b.done(t, outB, pb, 0, 4)
	pa.chunk.Release()
	b.wantFrees(t, c, 0)
	wantChunk(t, pb.chunk, 1, 4)
	pb.chunk.Release()
	b.wantFrees(t, c, 1)
}

func caseLoad(t *testing.T, b *bufferBench) {
	c := b.chunk(4, outA)
	b.append(t, "1", false, c)
	cur := b.cursors[outA]
	p := b.read(t, outA, 1, 4)
	p.chunk.Release()
	b.done(t, outA, p, 1, 3)
	for range 2 {
		again, err := cur.Load(t.Context(), p.pos)
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		wantChunk(t, again, 1, 4)
		again.Release()
	}
	last, err := cur.Load(t.Context(), p.pos)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	b.tellDone(t, outA, engine.Part{Pos: p.pos, Records: engine.SelectList([]uint32{0, 3})})
	wantChunk(t, last, 1, 4)
	b.wantFrees(t, c, 0)
	last.Release()
	for _, pos := range []engine.Pos{p.pos, 987654321} {
		if _, err := cur.Load(t.Context(), pos); err == nil || !strings.Contains(err.Error(), fmt.Sprint(pos)) {
			t.Errorf("Load of position %d, which is not known: error %v, want one that names it", pos, err)
		}
	}
}

func caseDone(t *testing.T, b *bufferBench) {
	first, second := b.chunk(6, outA), b.chunk(2, outA)
	b.append(t, "1", false, first)
	b.append(t, "2", false, second)
	p1, p2 := b.read(t, outA, 1, 6), b.read(t, outA, 7, 2)
	p1.chunk.Release()
	p2.chunk.Release()
	b.wantBacklog(t, outA, 2, 8, 1, first.Charge()+second.Charge())
	b.tellDone(t, outA, engine.Part{Pos: p1.pos, Records: engine.SelectList([]uint32{1, 3, 5})})
	b.wantBacklog(t, outA, 2, 5, 1, first.Charge()+second.Charge())
	b.done(t, outA, p2, 1, 2)
	b.done(t, outA, p2, 0, 1)
	b.wantBacklog(t, outA, 1, 3, 1, first.Charge())
	b.wantFrees(t, second, 1)
	b.tellDone(t, outA,
		engine.Part{Pos: p1.pos, Records: engine.SelectRange(4, 5)},
		engine.Part{Pos: p1.pos, Records: engine.SelectList([]uint32{0, 2}).Slice(1, 2)},
		engine.Part{Pos: p1.pos, Records: engine.SelectRange(0, 0)})
	b.wantBacklog(t, outA, 1, 1, 1, first.Charge())
	b.wantFrees(t, first, 0)
	b.done(t, outA, p1, 0, 1)
	b.wantFrees(t, first, 1)
	b.wantBacklog(t, outA, 0, 0, 0, 0)
}

func caseDoneMany(t *testing.T, b *bufferBench) {
	var cs []*engine.Chunk
	var parts []engine.Part
	for i := range 40 {
		c := b.chunk(2, outA)
		b.append(t, strconv.Itoa(i), false, c)
		p := b.read(t, outA, c.First, 2)
		p.chunk.Release()
		cs, parts = append(cs, c), append(parts, engine.Part{Pos: p.pos, Records: engine.SelectRange(0, 2)})
	}
	b.tellDone(t, outA, parts[10:30]...)
	b.wantBacklog(t, outA, 20, 40, 1, 20*cs[0].Charge())
	b.tellDone(t, outA, append(parts[30:], parts[:10]...)...)
	b.wantBacklog(t, outA, 0, 0, 0, 0)
	for _, c := range cs {
		b.wantFrees(t, c, 1)
	}
}

func caseParked(t *testing.T, b *bufferBench) {
	const n = 100
	parked := b.chunk(1, outA, outB)
	b.append(t, "parked", false, parked)
	pb := b.read(t, outB, 1, 1) // b keeps the first chunk; a, which is dead, never reads
	pb.chunk.Release()
	var total int64
	for i := range uint64(n) {
		c := b.chunk(1, outA, outB)
		total += c.Charge()
		b.append(t, body(2+i), false, c)
		p := b.read(t, outB, 2+i, 1)
		p.chunk.Release()
		b.done(t, outB, p, 0, 1)
		b.wantBacklog(t, outB, 1, 1, 1, parked.Charge())
	}
	b.wantBacklog(t, outA, n+1, n+1, 1, total+parked.Charge())
	b.wantSafe(t)
	b.done(t, outB, pb, 0, 1)
	b.wantBacklog(t, outB, 0, 0, 0, 0)
	for i := range uint64(n + 1) {
		p := b.read(t, outA, 1+i, 1) // a comes back, and finds everything
		p.chunk.Release()
		b.done(t, outA, p, 0, 1)
	}
	b.wantBacklog(t, outA, 0, 0, 0, 0)
	b.waitSafe(t, n+1)
}

func caseShare(t *testing.T, b *bufferBench) {
	c1, c2 := b.chunk(100, outA, outB), b.chunk(1, outB)
	big, small := c1.Charge(), c2.Charge()
	if big == small {
		t.Fatal("both chunks charge the same: the case shows little")
	}
	want := func(a, bb int64) {
		t.Helper()
		for o, want := range []int64{a, bb, 0} {
			if got := b.outputs[o].Share.Used(); got != want {
				t.Errorf("share of %s: %d, want %d", b.outputs[o].Name, got, want)
			}
		}
	}
	b.append(t, "1", false, c1, c2)
	want(big, big+small)
	pa, pb := b.read(t, outA, 1, 100), b.read(t, outB, 1, 100)
	pa.chunk.Release()
	b.done(t, outA, pa, 0, 99)
	want(big, big+small) // a chunk is charged to its last record
	b.done(t, outA, pa, 99, 100)
	want(0, big+small)
	b.done(t, outB, pb, 0, 100)
	want(0, small) // whoever retains it: that is not the output's need
	pb.chunk.Release()
	p := b.read(t, outB, 101, 1)
	p.chunk.Release()
	b.done(t, outB, p, 0, 1)
	want(0, 0)
}

func caseBacklog(t *testing.T, b *bufferBench) {
	var ps []place
	var charge int64
	for i := range 4 {
		c := b.chunk(2, outA)
		charge = c.Charge()
		b.append(t, strconv.Itoa(i), false, c)
	}
	b.wantBacklog(t, outA, 4, 8, 1, 4*charge) // read or not
	b.wantBacklog(t, outB, 0, 0, 0, 0)
	for i := range 3 {
		ps = append(ps, b.read(t, outA, uint64(1+2*i), 2))
		ps[i].chunk.Release()
	}
	b.wantBacklog(t, outA, 4, 8, 1, 4*charge)
	b.done(t, outA, ps[1], 0, 2)
	b.wantBacklog(t, outA, 3, 6, 1, 3*charge)
	b.done(t, outA, ps[0], 0, 1)
	b.wantBacklog(t, outA, 3, 5, 1, 3*charge)
	b.done(t, outA, ps[0], 1, 2)
	b.wantBacklog(t, outA, 2, 4, 5, 2*charge)
	b.done(t, outA, ps[2], 0, 2)
	b.wantBacklog(t, outA, 1, 2, 7, charge) // the one that is not read yet
	p := b.read(t, outA, 7, 2)
	p.chunk.Release()
	b.done(t, outA, p, 0, 2)
	b.wantBacklog(t, outA, 0, 0, 0, 0)
}

func caseFalseDone(t *testing.T, b *bufferBench) {
	c1, c2 := b.chunk(3, outA), b.chunk(2, outA)
	b.append(t, "1", false, c1)
	b.append(t, "2", false, c2)
	p1 := b.read(t, outA, 1, 3)
	p1.chunk.Release()
	refuse := func(name string, bad engine.Part, others ...engine.Part) {
		t.Helper()
		err := b.cursors[outA].Done(append([]engine.Part{bad}, others...))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(bad.Pos)) {
			t.Errorf("Done, %s at position %d: error %v, want one that names it", name, bad.Pos, err)
		}
	}
	all := engine.SelectRange(0, 3)
	refuse("unknown", engine.Part{Pos: 987654321, Records: all})
	refuse("too many", engine.Part{Pos: p1.pos, Records: engine.SelectRange(0, 4)})
	b.wantBacklog(t, outA, 2, 5, 1, c1.Charge()+c2.Charge())

	// The false part is not taken, the others are.
	refuse("unknown", engine.Part{Pos: 987654321, Records: all}, engine.Part{Pos: p1.pos, Records: engine.SelectRange(0, 1)})
	b.wantBacklog(t, outA, 2, 4, 1, c1.Charge()+c2.Charge())
	refuse("too many left", engine.Part{Pos: p1.pos, Records: all})
	b.wantBacklog(t, outA, 2, 4, 1, c1.Charge()+c2.Charge())
	b.wantSafe(t)
	b.done(t, outA, p1, 1, 3)
	refuse("done already", engine.Part{Pos: p1.pos, Records: engine.SelectRange(0, 1)})
	b.wantBacklog(t, outA, 1, 2, 4, c2.Charge())

	p2 := b.read(t, outA, 4, 2)
	p2.chunk.Release()
	if p2.pos == p1.pos {
		t.Errorf("position %d given again", p1.pos)
	}
	refuse("done long ago", engine.Part{Pos: p1.pos, Records: engine.SelectRange(0, 1)})
	b.done(t, outA, p2, 0, 2)
	b.wantSafe(t, "1", "2")
	b.wantBacklog(t, outA, 0, 0, 0, 0)
}

func caseNoSuchOutput(t *testing.T, b *bufferBench) {
	good, bad := b.chunk(1, outA), b.chunk(1, outA, 17)
	if _, err := b.Append([]*engine.Chunk{good, bad}, func() { b.tell("never") }); err == nil {
		t.Error("Append to an output that there is not: no error")
	}
	if b.mint.Frees(good) != 1 || b.mint.Frees(bad) != 1 {
		t.Error("chunks of a failed append were not released")
	}
	b.wantNone(t, outA)
	b.wantBacklog(t, outA, 0, 0, 0, 0)
	b.wantSafe(t)
}

func caseClose(t *testing.T, b *bufferBench) {
	unread, partly, kept := b.chunk(2, outA, outB), b.chunk(3, outB), b.chunk(1, outB, outOptional)
	b.append(t, "1", false, unread, partly)
	b.append(t, "2", false, kept)
	b.read(t, outB, 1, 2).chunk.Release()
	p := b.read(t, outB, 3, 3)
	p.chunk.Release()
	b.done(t, outB, p, 0, 1)
	held := b.read(t, outOptional, 6, 1)
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if b.mint.Frees(unread) != 1 || b.mint.Frees(partly) != 1 {
		t.Error("Close did not release what it held")
	}
	wantChunk(t, held.chunk, 6, 1) // a reader's reference is its own
	held.chunk.Release()
	b.wantSafe(t)
	for o := range b.cursors {
		b.wantNone(t, o)
		if used := b.outputs[o].Share.Used(); used != 0 {
			t.Errorf("share of %s: %d, want 0", b.outputs[o].Name, used)
		}
	}
}

func caseClosed(t *testing.T, b *bufferBench) {
	b.append(t, "1", false, b.chunk(2, outA))
	p := b.read(t, outA, 1, 2)
	p.chunk.Release()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	cs := []*engine.Chunk{b.chunk(1, outA), b.chunk(1)}
	if _, err := b.Append(cs, func() { b.tell("never") }); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Append: %v, want ErrClosed", err)
	}
	if b.mint.Frees(cs[0]) != 1 || b.mint.Frees(cs[1]) != 1 {
		t.Error("chunks of a refused append were not released")
	}
	if _, err := b.cursors[outA].Load(t.Context(), p.pos); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Load: %v, want ErrClosed", err)
	}
	part := engine.Part{Pos: p.pos, Records: engine.SelectRange(0, 2)}
	var wg sync.WaitGroup
	for _, c := range b.cursors {
		wg.Go(func() {
			if err := c.Done([]engine.Part{part}); !errors.Is(err, engine.ErrClosed) {
				t.Errorf("Done: %v, want ErrClosed", err)
			}
		})
	}
	wg.Wait()
	b.wantSafe(t)
}
