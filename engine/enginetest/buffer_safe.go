package enginetest

import (
	"fmt"
	"testing"

	"github.com/sluicelog/sluice/engine"
)

func caseSafe(t *testing.T, b *bufferBench) {
	b.append(t, "1", false, b.chunk(2, outA, outB), b.chunk(3, outB), b.chunk(1))
	a := b.read(t, outA, 1, 2)
	b1, b2 := b.read(t, outB, 1, 2), b.read(t, outB, 3, 3)
	for _, p := range []place{a, b1, b2} {
		p.chunk.Release()
	}
	b.done(t, outB, b2, 0, 3)
	b.done(t, outA, a, 0, 2)
	b.done(t, outB, b1, 1, 2)
	b.wantSafe(t)
	b.done(t, outB, b1, 0, 1)
	b.wantSafe(t, "1")
	b.waitSafe(t, 1)
	if got := b.safes(); len(got) != 1 {
		t.Errorf("told safe: %v, want once", got)
	}
}

func caseSafeOrder(t *testing.T, b *bufferBench) {
	var parts []engine.Part
	names := []string{"1", "2", "3", "4"}
	for i, name := range names {
		b.append(t, name, false, b.chunk(1, outA))
		p := b.read(t, outA, uint64(i+1), 1)
		p.chunk.Release()
		parts = append(parts, engine.Part{Pos: p.pos, Records: engine.SelectRange(0, 1)})
	}
	b.tellDone(t, outA, parts[2], parts[0], parts[3], parts[1])
	b.waitSafe(t, 4)
	if got := b.safes(); fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("told safe: %v, want %v", got, names)
	}
}

func caseSafeReenters(t *testing.T, b *bufferBench) {
	told := make(chan struct{})
	again := b.chunk(1, outA, outB)
	used := int64(-1)
	_, err := b.Append([]*engine.Chunk{b.chunk(1, outA)}, func() {
		used = b.outputs[outB].Share.Used()
		b.append(t, "2", false, again)
		for _, c := range b.cursors {
			c.Backlog()
			if _, err := c.Load(t.Context(), 987654321); err == nil {
				t.Error("Load of an unknown position: no error")
			}
			if err := c.Done(nil); err != nil {
				t.Errorf("Done of nothing: %v", err)
			}
		}
		close(told)
	})
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	p, c := b.await(t, outA)
	for c.First != 2 { // again was made first
		c.Release()
		p, c = b.await(t, outA)
	}
	c.Release()
	b.done(t, outA, place{pos: p}, 0, 1)
	<-told
	if used != 0 {
		t.Errorf("share of b when safe was called: %d, want 0", used)
	}
}

func caseUnneeded(t *testing.T, b *bufferBench) {
	one, two := b.chunk(3), b.chunk(1)
	b.append(t, "1", true, one, two)
	b.append(t, "none", true)
	if b.mint.Frees(one) != 1 || b.mint.Frees(two) != 1 {
		t.Error("chunks that nobody takes were not freed at once")
	}
	for o := range b.cursors {
		b.wantNone(t, o)
		b.wantBacklog(t, o, 0, 0, 0, 0)
	}
	b.wantSafe(t)
}

func caseOptional(t *testing.T, b *bufferBench) {
	only, both, later := b.chunk(2, outOptional), b.chunk(2, outA, outOptional), b.chunk(1, outA, outOptional)
	b.append(t, "only", true, only)
	b.append(t, "both", false, both)
	b.append(t, "later", false, later)
	o1, o2 := b.read(t, outOptional, 1, 2), b.read(t, outOptional, 3, 2)
	a, aLater := b.read(t, outA, 3, 2), b.read(t, outA, 5, 1)
	for _, p := range []place{o1, o2, a, aLater} {
		p.chunk.Release()
	}
	b.done(t, outA, a, 0, 2) // safe before the optional output is done with it, and held for it
	b.wantSafe(t, "both")
	b.wantFrees(t, both, 0)
	b.done(t, outOptional, o1, 0, 2)
	b.wantFrees(t, only, 1)
	b.done(t, outOptional, o2, 0, 2)
	b.wantFrees(t, both, 1)
	oLater := b.read(t, outOptional, 5, 1)
	oLater.chunk.Release()
	b.done(t, outOptional, oLater, 0, 1) // done there first: no matter
	b.wantSafe(t, "both")
	b.done(t, outA, aLater, 0, 1)
	b.wantSafe(t, "both", "later")
	b.waitSafe(t, 2)
	if got := b.safes(); len(got) != 2 {
		t.Errorf("told safe: %v, want both and later", got)
	}
}
