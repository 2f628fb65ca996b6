package memory

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBuffer(t *testing.T) {
	enginetest.TestBuffer(t, func(_ testing.TB, outputs []engine.BufferOutput) engine.Buffer { return New(outputs) })
}

func TestAppendWithoutRecords(t *testing.T) {
	b := New([]engine.BufferOutput{{Name: "a"}})
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{}, 1, engine.OutputSet(0).With(0))
	if _, err := b.Append([]*engine.Chunk{c}, func() {}); err == nil {
		t.Error("a chunk that could never be done was taken")
	}
	mint.Check(t)
}

// A cursor keeps no trace of what it is done with, whatever it still needs in front of it.
func TestCursorForgets(t *testing.T) {
	const n = 20_000
	b := New([]engine.BufferOutput{{Name: "a"}})
	cur := b.cursors[0]
	shared := &engine.Chunk{Count: 1, Outputs: engine.OutputSet(0).With(0)}
	for range n {
		shared.Retain()
		if _, err := b.Append([]*engine.Chunk{shared}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	var all []engine.Part
	for {
		p, c, ok := cur.Next()
		if !ok {
			break
		}
		c.Release()
		all = append(all, p)
	}
	if err := cur.Done(all[1:]); err != nil { // the first is parked
		t.Fatal(err)
	}
	if cur.needs.first == nil || cur.needs.first != cur.needs.last {
		t.Error("the list holds more than the parked need")
	}
	if got := len(cur.given.needs); got != 1 {
		t.Errorf("%d places are kept, want 1", got)
	}
	if cur.given.peak > minPlaces {
		t.Errorf("room is kept for %d places, want at most %d", cur.given.peak, minPlaces)
	}
	if p, err := cur.Load(t.Context(), all[0].Pos); err != nil {
		t.Error(err)
	} else {
		p.Release()
	}
}

// One chunk of an append that is held up does not keep the others' memory.
func TestAppendPartsFreed(t *testing.T) {
	b := New([]engine.BufferOutput{{Name: "a"}})
	var mint enginetest.Mint
	s := &engine.Stream{}
	one, two := mint.Chunk(s, 1, 1, "x"), mint.Chunk(s, 2, 1, "y")
	if _, err := b.Append([]*engine.Chunk{one, two}, func() {}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, c, _ := b.cursors[0].Next()
		c.Release()
	}
	if err := b.cursors[0].Done([]engine.Part{{Pos: 2, Records: engine.SelectRange(0, 1)}}); err != nil {
		t.Fatal(err)
	}
	if mint.Frees(one) != 0 || mint.Frees(two) != 1 {
		t.Errorf("freed %d and %d times, want 0 and 1", mint.Frees(one), mint.Frees(two))
	}
	if n := b.cursors[0].needs.first.node; n.promise.open != 1 {
		t.Errorf("%d chunks are open, want 1", n.promise.open)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	mint.Check(t)
}

// A stream that is told looks at the meters: they must have fallen.
func TestMetersFallBeforeSafe(t *testing.T) {
	share := engine.NewMeter(1 << 20)
	b := New([]engine.BufferOutput{{Name: "a", Share: share}})
	var mint enginetest.Mint
	told := false
	safe := func() {
		told = true
		if mint.Held() != 0 || share.Used() != 0 {
			t.Errorf("when told safe, %d chunks are held and the share is %d, want 0", mint.Held(), share.Used())
		}
	}
	if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{}, 1, 1, "x")}, safe); err != nil {
		t.Fatal(err)
	}
	p, c, _ := b.cursors[0].Next()
	c.Release()
	if err := b.cursors[0].Done([]engine.Part{p}); err != nil {
		t.Fatal(err)
	}
	if !told {
		t.Error("not told safe")
	}
}

// BenchmarkBuffer is a chunk's whole way: Append, and Next, Load and Done at every output.
func BenchmarkBuffer(b *testing.B) {
	for _, outputs := range []int{1, 3} {
		b.Run(fmt.Sprintf("outputs=%d", outputs), func(b *testing.B) { benchmarkBuffer(b, outputs) })
	}
}

func benchmarkBuffer(b *testing.B, outputs int) {
	var outs []engine.BufferOutput
	var set engine.OutputSet
	for i := range outputs {
		outs = append(outs, engine.BufferOutput{Name: fmt.Sprint("o", i), Share: engine.NewMeter(1 << 30)})
		set = set.With(i)
	}
	buf := New(outs)
	c := &engine.Chunk{Count: 1000, Outputs: set} // a chunk and its reuse are not what is measured
	cs, parts := []*engine.Chunk{c}, make([]engine.Part, 1)
	told := 0
	safe := func() { told++ }
	b.ReportAllocs()
	for b.Loop() {
		c.Retain()
		if _, err := buf.Append(cs, safe); err != nil {
			b.Fatal(err)
		}
		for _, cur := range buf.cursors {
			<-cur.Wake()
			p, got, _ := cur.Next()
			got.Release()
			got, err := cur.Load(b.Context(), p.Pos)
			if err != nil {
				b.Fatal(err)
			}
			got.Release()
			parts[0] = p
			if err := cur.Done(parts); err != nil {
				b.Fatal(err)
			}
		}
	}
	if told != b.N {
		b.Fatalf("told safe %d times of %d", told, b.N)
	}
}
