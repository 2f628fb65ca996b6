package enginetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicelog/sluice/engine"
)

const (
	stressWriters = 4
	stressAppends = 200 // a writer
	stressDoners  = 2   // an output, beside its reader
)

// testBufferStress lets writers append while every output reads, loads and finishes, all at once, and checks that each
// output saw each of its records once and in order, whole.
func testBufferStress(t *testing.T, newBuffer func(testing.TB, []engine.BufferOutput) engine.Buffer) {
	b := newBufferBench(t, newBuffer, "a", "b", "?c", "d")
	s := &bufferStress{bufferBench: b, want: make([]atomic.Int64, len(b.outputs))}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for o := range b.outputs {
		readers.Go(func() { s.readAll(t, o, stop) })
	}
	for w := range stressWriters {
		writers.Go(func() { s.write(t, w) })
	}
	writers.Wait()
	close(stop) // the readers go on until nothing is left
	readers.Wait()
	b.waitSafe(t, int(s.promised.Load()))
	if got := len(b.safes()); got != int(s.promised.Load()) {
		t.Errorf("told safe %d times, want %d", got, s.promised.Load())
	}
	for o := range b.outputs {
		b.wantNone(t, o)
		b.wantBacklog(t, o, 0, 0, 0, 0)
	}
	b.finish(t)
}

type bufferStress struct {
	*bufferBench
	want     []atomic.Int64 // records appended, by output
	promised atomic.Int64   // appends that must be told safe
}

// write appends one stream's chunks.
func (s *bufferStress) write(t *testing.T, w int) {
	rng := rand.New(rand.NewPCG(1, uint64(w)))
	stream := &engine.Stream{Tenant: "default", ID: fmt.Sprint("w", w), Tag: "t"}
	next := uint64(1)
	for a := range stressAppends {
		var cs []*engine.Chunk
		for range 1 + rng.IntN(2) {
			outputs := engine.OutputSet(rng.IntN(1 << len(s.outputs)))
			bodies := make([]string, 1+rng.IntN(20))
			for i := range bodies {
				bodies[i] = fmt.Sprint(stream.ID, "/", next+uint64(i))
			}
			cs = append(cs, s.mint.Chunk(stream, next, outputs, bodies...))
			next += uint64(len(bodies))
			for o := range outputs.All() {
				s.want[o].Add(int64(len(bodies)))
			}
		}
		already, err := s.Append(cs, func() { s.tell(fmt.Sprint(stream.ID, "/", a)) })
		if err != nil {
			t.Errorf("Append: %v", err)
			return
		}
		if !already {
			s.promised.Add(1)
		}
	}
}

// readAll reads an output's chunks until stop and then until all that was written is done. Its doners finish them in parts
// and out of order.
func (s *bufferStress) readAll(t *testing.T, o int, stop <-chan struct{}) {
	work := make(chan place, 64)
	var doners sync.WaitGroup
	for d := range stressDoners {
		doners.Go(func() { s.finishAll(t, o, uint64(d), work) })
	}
	defer doners.Wait()
	defer close(work)
	last := make(map[*engine.Stream]uint64)
	var read int64
	for cur := s.cursors[o]; ; {
		if p, c, ok := cur.Next(); ok {
			if c.First <= last[c.Stream] {
				t.Errorf("output %s: %s: sequence %d after %d", s.outputs[o].Name, c.Stream.ID, c.First, last[c.Stream])
			}
			last[c.Stream] = c.Last
			read += int64(c.Count)
			wantAll(t, p, c)
			work <- place{p.Pos, c}
			continue
		}
		select {
		case <-cur.Wake():
			continue
		case <-stop:
		}
		if read == s.want[o].Load() {
			return
		}
		// Stopped with chunks not read: they wait, or their wake-up does.
		p, c := s.await(t, o)
		read += int64(c.Count)
		work <- place{p, c}
	}
}

// finishAll checks and finishes what comes, a few chunks at a time, half of their records first.
func (s *bufferStress) finishAll(t *testing.T, o int, seed uint64, work <-chan place) {
	rng := rand.New(rand.NewPCG(2, seed))
	var rest []engine.Part
	for p := range work {
		n := p.chunk.Count
		for i, got := range Bodies(p.chunk) {
			if want := fmt.Sprint(p.chunk.Stream.ID, "/", p.chunk.First+uint64(i)); got != want {
				t.Errorf("output %s: read %q, want %q", s.outputs[o].Name, got, want)
			}
		}
		p.chunk.Release()
		half := rng.IntN(n + 1)
		s.finishSome(t, o, engine.Part{Pos: p.pos, Records: engine.SelectRange(half, n)})
		if half == 0 {
			continue
		}
		c, err := s.cursors[o].Load(t.Context(), p.pos)
		if err != nil {
			t.Errorf("output %s: %v", s.outputs[o].Name, err)
			return
		}
		c.Release()
		if rest = append(rest, engine.Part{Pos: p.pos, Records: engine.SelectRange(0, half)}); len(rest) > rng.IntN(16) {
			rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
			s.finishSome(t, o, rest...)
			rest = nil
		}
	}
	s.finishSome(t, o, rest...)
}

func (s *bufferStress) finishSome(t *testing.T, o int, parts ...engine.Part) {
	if err := s.cursors[o].Done(parts); err != nil {
		t.Errorf("output %s: Done: %v", s.outputs[o].Name, err)
	}
}
