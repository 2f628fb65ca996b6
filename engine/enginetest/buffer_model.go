package enginetest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// testBufferModel drives a buffer and a plain model of it through random histories of appends, reads, partial Dones and
// false ones, and compares them after each step.
func testBufferModel(t *testing.T, newBuffer func(testing.TB, []engine.BufferOutput) engine.Buffer) {
	rapid.Check(t, func(rt *rapid.T) {
		var names []string
		for i := range rapid.IntRange(1, 4).Draw(rt, "outputs") {
			name := fmt.Sprint("o", i)
			if rapid.Bool().Draw(rt, "optional") {
				name = "?" + name
			}
			names = append(names, name)
		}
		// rapid's own T is no testing.TB: what the buffer needs of one, such as a directory, comes from the outer test.
		m := &bufferModel{bufferBench: newBufferBench(t, newBuffer, names...), T: t, outs: make([]modelOutput, len(names))}
		defer m.Close()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"next":    m.read,
			"load":    m.load,
			"done":    m.done,
			"false":   m.falseDone,
			"release": m.release,
			"":        m.check,
		})
		m.settle(rt)
	})
}

// A bufferModel is what a buffer ought to be.
type bufferModel struct {
	*bufferBench
	T       testing.TB
	outs    []modelOutput
	chunks  []*modelChunk
	appends []*modelAppend
	safe    []string // in the order in which they became so, by Done
	held    []*modelHold
}

type modelOutput struct {
	open   []*modelNeed // in order of append
	unread int          // of open, the last ones
}

type modelAppend struct {
	order, open int
}

type modelChunk struct {
	*engine.Chunk
	first          uint64
	count          int
	charge         int64
	in             *modelAppend
	needed, unsafe int
	held           int
}

type modelNeed struct {
	*modelChunk
	pos  engine.Pos
	left []uint32
}

type modelHold struct {
	got *engine.Chunk
	of  *modelChunk
}

func (m *bufferModel) append(rt *rapid.T) {
	a := &modelAppend{order: len(m.appends)}
	var cs []*engine.Chunk
	for range rapid.IntRange(1, 3).Draw(rt, "chunks") {
		var outs []int
		for o := range m.outs {
			if rapid.Bool().Draw(rt, "to") {
				outs = append(outs, o)
			}
		}
		c := m.chunk(rapid.IntRange(1, 6).Draw(rt, "records"), outs...)
		cs = append(cs, c)
		m.model(a, c, outs)
	}
	m.appends = append(m.appends, a)
	m.bufferBench.append(m.fatal(rt), strconv.Itoa(a.order), a.open == 0, cs...)
}

// model adds a chunk to the model.
func (m *bufferModel) model(a *modelAppend, c *engine.Chunk, outs []int) {
	mc := &modelChunk{Chunk: c, first: c.First, count: c.Count, charge: c.Charge(), in: a, needed: len(outs)}
	m.chunks = append(m.chunks, mc)
	for _, o := range outs {
		n := &modelNeed{modelChunk: mc}
		for i := range c.Count {
			n.left = append(n.left, uint32(i))
		}
		m.outs[o].open = append(m.outs[o].open, n)
		m.outs[o].unread++
		if !m.outputs[o].Optional {
			mc.unsafe++
		}
	}
	if mc.unsafe > 0 {
		a.open++
	}
}

func (m *bufferModel) read(rt *rapid.T) {
	o := m.output(rt)
	out := &m.outs[o]
	if out.unread == 0 {
		m.wantNone(m.fatal(rt), o)
		return
	}
	n := out.open[len(out.open)-out.unread]
	out.unread--
	p := m.bufferBench.read(m.fatal(rt), o, n.first, n.count)
	n.pos = p.pos
	for _, other := range m.given(o) {
		if other != n && other.pos == n.pos {
			rt.Fatalf("output %d: position %d given twice", o, n.pos)
		}
	}
	m.hold(rt, p.chunk, n.modelChunk)
}

func (m *bufferModel) load(rt *rapid.T) {
	o := m.output(rt)
	n := pick(rt, m.given(o))
	c, err := m.cursors[o].Load(m.T.Context(), n.pos)
	if err != nil {
		rt.Fatalf("Load(%d): %v", n.pos, err)
	}
	wantChunk(m.fatal(rt), c, n.first, n.count)
	m.hold(rt, c, n.modelChunk)
}

// hold keeps what was read for a while, or not.
func (m *bufferModel) hold(rt *rapid.T, got *engine.Chunk, of *modelChunk) {
	if !rapid.Bool().Draw(rt, "hold") {
		got.Release()
		return
	}
	of.held++
	m.held = append(m.held, &modelHold{got, of})
}

func (m *bufferModel) release(rt *rapid.T) {
	h := pick(rt, m.held)
	m.letGo(rt, h)
	m.held = slices.DeleteFunc(m.held, func(other *modelHold) bool { return other == h })
}

func (m *bufferModel) letGo(rt *rapid.T, h *modelHold) {
	wantChunk(m.fatal(rt), h.got, h.of.first, h.of.count)
	h.of.held--
	h.got.Release()
}

func (m *bufferModel) done(rt *rapid.T) {
	o := m.output(rt)
	var parts []engine.Part
	for range rapid.IntRange(1, 5).Draw(rt, "parts") {
		given := m.given(o)
		if len(given) == 0 {
			break
		}
		n := rapid.SampledFrom(given).Draw(rt, "chunk")
		parts = append(parts, engine.Part{Pos: n.pos, Records: n.take(rt)})
		if len(n.left) == 0 {
			m.met(o, n)
		}
	}
	m.keepPromises()
	m.tellDone(m.fatal(rt), o, parts...)
}

// take removes some of the records that are left, as a Selection of either kind.
func (n *modelNeed) take(rt *rapid.T) engine.Selection {
	var list, rest []uint32
	all := rapid.Bool().Draw(rt, "all")
	for _, i := range n.left {
		if all || rapid.Bool().Draw(rt, "take") {
			list = append(list, i)
		} else {
			rest = append(rest, i)
		}
	}
	n.left = rest
	if len(list) == 0 {
		return engine.SelectRange(0, 0)
	}
	if from := int(list[0]); int(list[len(list)-1])-from == len(list)-1 && rapid.Bool().Draw(rt, "range") {
		return engine.SelectRange(from, from+len(list))
	}
	return engine.SelectList(list)
}

// met takes the need out of the model.
func (m *bufferModel) met(o int, n *modelNeed) {
	out := &m.outs[o]
	out.open = slices.DeleteFunc(out.open, func(other *modelNeed) bool { return other == n })
	n.needed--
	if m.outputs[o].Optional {
		return
	}
	if n.unsafe--; n.unsafe == 0 {
		n.in.open--
	}
}

// keepPromises notes, in order of append, which appends became safe with the last call of Done.
func (m *bufferModel) keepPromises() {
	for _, a := range m.appends {
		if name := strconv.Itoa(a.order); a.open == 0 && m.promised(a) && !slices.Contains(m.safe, name) {
			m.safe = append(m.safe, name)
		}
	}
}

// promised reports whether any chunk of the append went to an output that takes part in safe.
func (m *bufferModel) promised(a *modelAppend) bool {
	return slices.ContainsFunc(m.chunks, func(c *modelChunk) bool {
		return c.in == a && slices.ContainsFunc(slices.Collect(c.Outputs.All()), func(o int) bool { return !m.outputs[o].Optional })
	})
}

func (m *bufferModel) falseDone(rt *rapid.T) {
	o := m.output(rt)
	p := engine.Part{Pos: 987654321, Records: engine.SelectRange(0, 1)}
	if given := m.given(o); len(given) > 0 && rapid.Bool().Draw(rt, "too many") {
		n := rapid.SampledFrom(given).Draw(rt, "chunk")
		p = engine.Part{Pos: n.pos, Records: engine.SelectRange(0, len(n.left)+1)}
	}
	if err := m.cursors[o].Done([]engine.Part{p}); err == nil {
		rt.Fatalf("Done of %d records at position %d: no error", p.Records.Len(), p.Pos)
	}
}

// check compares the buffer with the model.
func (m *bufferModel) check(rt *rapid.T) {
	for o, out := range m.outs {
		var records, charge int64
		var oldest uint64
		for _, n := range slices.Backward(out.open) {
			records, charge, oldest = records+int64(len(n.left)), charge+n.charge, n.first
		}
		m.wantBacklog(m.fatal(rt), o, len(out.open), records, oldest, charge)
	}
	m.wantSafe(m.fatal(rt), m.safe...)
	for _, c := range m.chunks {
		want := 1
		if c.needed > 0 || c.held > 0 {
			want = 0
		}
		m.wantFrees(m.fatal(rt), c.Chunk, want)
	}
}

// settle ends a history: a durable buffer must tell every append safe, and any must let go of everything.
func (m *bufferModel) settle(rt *rapid.T) {
	if m.Durable() {
		promised := 0
		for _, a := range m.appends {
			if m.promised(a) {
				promised++
			}
		}
		m.waitSafe(m.fatal(rt), promised)
	}
	for _, h := range m.held {
		m.letGo(rt, h)
	}
	m.finish(m.fatal(rt))
}

func (m *bufferModel) output(rt *rapid.T) int {
	return rapid.IntRange(0, len(m.outs)-1).Draw(rt, "output")
}

// given are the chunks that the output has read and is not done with.
func (m *bufferModel) given(o int) []*modelNeed {
	out := m.outs[o]
	return out.open[:len(out.open)-out.unread]
}

// pick draws one of them, or skips the step where there is none.
func pick[T any](rt *rapid.T, from []T) T {
	if len(from) == 0 {
		rt.Skip("none")
	}
	return rapid.SampledFrom(from).Draw(rt, "pick")
}

// fatal is a testing.TB that fails rapid's test, so that it shrinks the history.
func (m *bufferModel) fatal(rt *rapid.T) testing.TB { return rapidTB{m.T, rt} }

type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (r rapidTB) Helper()                           { r.rt.Helper() }
func (r rapidTB) Errorf(format string, args ...any) { r.rt.Errorf(format, args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.rt.Fatalf(format, args...) }
func (r rapidTB) Error(args ...any)                 { r.rt.Error(args...) }
func (r rapidTB) Fatal(args ...any)                 { r.rt.Fatal(args...) }
