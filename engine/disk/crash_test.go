package disk

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/enginetest"
)

var (
	histories = flag.Int("histories", 150, "how many random histories TestCrashes goes through")
	history   = flag.Uint64("history", 0, "the only one that it goes through, if not 0")
)

// In random histories the process or the machine stops at any operation, again and again. What was told safe is given out afterwards, in order,
// once, whole, but for the records that were done by the last checkpoint; nothing else is.
func TestCrashes(t *testing.T) {
	from, to := uint64(1), uint64(*histories)
	if *history > 0 {
		from, to = *history, *history
	}
	for seed := from; seed <= to; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).run() })
		})
		if !ok {
			t.Fatalf("go test ./engine/disk -run TestCrashes -history %d", seed)
		}
	}
}

// A pastRecord is what a history knows of a record at an output.
type pastRecord int

const (
	waits       pastRecord = iota
	doneNow                // by no checkpoint yet
	perhaps                // was so when a life ended: it is seen when it is given out again, or not
	doneForGood            // by a checkpoint that was written
)

// A pastChunk is a chunk that was appended.
type pastChunk struct {
	first   uint64
	stream  string
	records int
	safe    bool
	at      map[string][]pastRecord // by output
}

type historyTest struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *crashfs.FS
	b       *Buffer
	mint    *enginetest.Mint
	streams []*engine.Stream
	outputs []engine.BufferOutput
	chunks  map[uint64]*pastChunk // by the first sequence
	next    uint64
	given   map[string]map[uint64]engine.Part // in this life
	last    map[string]uint64
	stopped bool // the disk does nothing any more
	flaky   bool // the disk did not give all as the buffer was opened, once
}

func newHistory(t *testing.T, seed uint64) *historyTest {
	h := &historyTest{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: crashfs.New(), mint: &enginetest.Mint{},
		chunks: map[uint64]*pastChunk{}, next: 1,
	}
	for i := range 3 {
		h.streams = append(h.streams, &engine.Stream{Tenant: "default", ID: fmt.Sprint("s", i), Tag: "t"})
	}
	for _, name := range []string{"a", "b", "c"} {
		h.outputs = append(h.outputs, engine.BufferOutput{Name: name, Optional: name == "c"})
	}
	t.Cleanup(func() { // where the history fails
		if h.b != nil {
			_ = h.b.Close()
		}
	})
	return h
}

func (h *historyTest) run() {
	for range 2 + h.rng.IntN(4) {
		h.open()
		if h.rng.IntN(2) == 0 {
			h.fs.Inject(h.halt(h.fs.Ops() + 1 + h.rng.IntN(60)))
		}
		for range h.rng.IntN(60) {
			h.step()
			synctest.Wait()
		}
		h.stop()
	}
	h.open()
	h.readAll()
	h.check()
	h.stop()
}

// halt has the disk stand still from an operation on.
func (h *historyTest) halt(at int) func(crashfs.Op) crashfs.Fault {
	inject := crashfs.HaltAt(at)
	return func(op crashfs.Op) crashfs.Fault {
		f := inject(op)
		if f.Err != nil {
			h.stopped = true
		}
		return f
	}
}

// fail has the disk fail to give some of what it has for a while.
func (h *historyTest) fail(failed *bool, heads *int) func(crashfs.Op) crashfs.Fault {
	odds := 2 + h.rng.IntN(8)
	return func(op crashfs.Op) crashfs.Fault {
		if op.Kind != crashfs.Read || !strings.HasSuffix(op.Name, ".seg") || h.rng.IntN(odds) > 0 {
			return crashfs.Fault{}
		}
		*failed = true
		if op.Size == 52 {
			*heads++
		}
		return crashfs.Fault{Err: syscall.EIO}
	}
}

// open begins a life. Now and then it is stopped while it begins, or cannot read all at first.
func (h *historyTest) open() {
	h.stopped = false
	h.given, h.last = map[string]map[uint64]engine.Part{}, map[string]uint64{}
	for {
		failed, heads := false, 0
		switch h.rng.IntN(4) {
		case 0:
			h.fs.Inject(h.halt(h.fs.Ops() + 1 + h.rng.IntN(30)))
		case 1:
			h.fs.Inject(h.fail(&failed, &heads))
		}
		outputs := slices.Clone(h.outputs)
		for i := range outputs {
			outputs[i].Share = engine.NewMeter(1 << 30)
		}
		var log strings.Builder
		b, err := Open(Options{
			Dir: "d", FS: h.fs, SegmentSize: 16 << 10, Checkpoint: time.Hour, Memory: int64(h.rng.IntN(20_000)),
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		}, outputs)
		switch {
		case err == nil:
			h.b, h.flaky = b, h.flaky || failed
			h.fs.Inject(nil)
			if lostBy(b) > 0 && !h.flaky {
				h.t.Fatalf("%d records are lost: %s", lostBy(b), &log)
			}
			return
		case heads > 1 && errors.Is(err, syscall.EIO), // of a segment neither head can be read
			failed && strings.Contains(err.Error(), "make the last commit safe"): // and nobody may rely on it
			h.fs.Inject(nil)
			continue
		case !h.stopped:
			h.t.Fatal(err)
		}
		h.stopped = false
		h.fs = h.fs.Crash(h.rng)
	}
}

// stop ends a life in one of three ways.
func (h *historyTest) stop() {
	how := h.rng.IntN(3)
	if how == 0 && !h.stopped {
		if err := h.b.Close(); err != nil && !h.stopped {
			h.t.Fatal(err)
		}
		if !h.stopped {
			h.settle()
		}
	}
	h.turn(doneNow, perhaps)
	before := h.fs
	if how == 1 {
		h.fs = before.Kill()
	} else {
		h.fs = before.Crash(h.rng)
	}
	_ = h.b.Close()
	synctest.Wait()
	h.mint.Check(h.t)
}

func (h *historyTest) step() {
	switch h.rng.IntN(10) {
	case 0, 1, 2, 3:
		h.append()
	case 4, 5, 6:
		h.read(h.outputs[h.rng.IntN(len(h.outputs))].Name)
	case 7, 8:
		h.done(h.outputs[h.rng.IntN(len(h.outputs))].Name)
	case 9:
		if h.b.save() == nil {
			h.settle()
		}
	}
}

// settle notes that a checkpoint was written.
func (h *historyTest) settle() { h.turn(doneNow, doneForGood) }

func (h *historyTest) turn(from, to pastRecord) {
	for _, c := range h.chunks {
		for _, records := range c.at {
			for i, r := range records {
				if r == from {
					records[i] = to
				}
			}
		}
	}
}

func (h *historyTest) append() {
	var cs []*engine.Chunk
	var past []*pastChunk
	for range 1 + h.rng.IntN(3) {
		stream := h.streams[h.rng.IntN(len(h.streams))]
		p := &pastChunk{first: h.next, stream: stream.ID, records: 1 + h.rng.IntN(20), at: map[string][]pastRecord{}}
		var set engine.OutputSet
		for set == 0 {
			set = engine.OutputSet(h.rng.IntN(1 << len(h.outputs)))
		}
		bodies := make([]string, p.records)
		for i := range bodies {
			bodies[i] = bodyAt(p.first + uint64(i))
		}
		for o := range set.All() {
			p.at[h.outputs[o].Name] = make([]pastRecord, p.records)
		}
		cs = append(cs, h.mint.Chunk(stream, p.first, set, bodies...))
		past = append(past, p)
		h.next += uint64(p.records)
	}
	for _, p := range past {
		h.chunks[p.first] = p
	}
	_, err := h.b.Append(cs, func() {
		for _, p := range past {
			p.safe = p.at["a"] != nil || p.at["b"] != nil // what goes to an optional output alone takes no part
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func bodyAt(sequence uint64) string { return fmt.Sprintf("record %d %0*d", sequence, sequence%97, 0) }

// read has an output read a chunk, if there is one, and checks that it may.
func (h *historyTest) read(output string) bool {
	cur, err := h.b.Cursor(output)
	if err != nil {
		h.t.Fatal(err)
	}
	part, c, ok := cur.Next()
	if !ok {
		return false
	}
	defer c.Release()
	p := h.chunks[c.First]
	if p == nil || p.at[output] == nil || c.Count != p.records {
		h.t.Fatalf("output %s is given a chunk of %d at %d that it was not to have", output, c.Count, c.First)
	}
	if c.First <= h.last[output] {
		h.t.Fatalf("output %s is given %d after %d", output, c.First, h.last[output])
	}
	h.last[output] = c.First
	for i, got := range enginetest.Bodies(c) {
		if got != bodyAt(c.First+uint64(i)) {
			h.t.Fatalf("record %d reads %q", c.First+uint64(i), got)
		}
	}
	chosen := slices.Collect(part.Records.All())
	for i, r := range p.at[output] {
		switch in := slices.Contains(chosen, i); {
		case r == waits && !in:
			h.t.Fatalf("output %s is not given record %d, which was not done", output, c.First+uint64(i))
		case r == doneForGood && in:
			h.t.Fatalf("output %s is given record %d, which was done by a checkpoint", output, c.First+uint64(i))
		case in:
			p.at[output][i] = waits
		default:
			p.at[output][i] = doneForGood
		}
	}
	if h.given[output] == nil {
		h.given[output] = map[uint64]engine.Part{}
	}
	h.given[output][c.First] = part
	return true
}

// done has an output be done with some records that it was given, and loads them first.
func (h *historyTest) done(output string) {
	cur, err := h.b.Cursor(output)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, first := range slices.Sorted(maps.Keys(h.given[output])) {
		part := h.given[output][first]
		if h.rng.IntN(2) == 0 {
			continue
		}
		c, err := cur.Load(h.t.Context(), part.Pos)
		if err != nil {
			if !h.stopped {
				h.t.Fatal(err)
			}
			return
		}
		c.Release()
		h.finish(cur, output, first, part)
	}
}

func (h *historyTest) finish(cur engine.Cursor, output string, first uint64, part engine.Part) {
	all := slices.Collect(part.Records.All())
	n := 1 + h.rng.IntN(len(all))
	if h.rng.IntN(2) == 0 {
		n = len(all)
	}
	h.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	chosen, rest := listOf(all[:n]), listOf(all[n:])
	if err := cur.Done([]engine.Part{{Pos: part.Pos, Records: chosen}}); err != nil {
		h.t.Fatal(err)
	}
	for i := range chosen.All() {
		h.chunks[first].at[output][i] = doneNow
	}
	if rest.Len() == 0 {
		delete(h.given[output], first)
	} else {
		h.given[output][first] = engine.Part{Pos: part.Pos, Records: rest}
	}
}

func listOf(of []int) engine.Selection {
	slices.Sort(of)
	all := make([]uint32, len(of))
	for i, v := range of {
		all[i] = uint32(v)
	}
	return engine.SelectList(all)
}

func (h *historyTest) readAll() {
	synctest.Wait()
	for _, o := range h.outputs {
		for h.read(o.Name) {
		}
	}
}

// check checks that nothing that was safe is missing, and that the books are right.
func (h *historyTest) check() {
	// What was not synced as a process ended, and not given to the next one as it began, may be lost with the machine: it was not safe.
	if lost := lostBy(h.b); lost < 0 || lost > 0 && !h.flaky {
		h.t.Errorf("%d records are lost", lost)
	}
	for _, o := range h.outputs {
		chunks, records := 0, int64(0)
		for _, part := range h.given[o.Name] {
			chunks++
			records += int64(part.Records.Len())
		}
		cur, err := h.b.Cursor(o.Name)
		if err != nil {
			h.t.Fatal(err)
		}
		if got := cur.Backlog(); got.Chunks != chunks || got.Records != records {
			h.t.Errorf("output %s: backlog %+v, want %d chunks of %d records", o.Name, got, chunks, records)
		}
		for first, c := range h.chunks {
			if _, ok := h.given[o.Name][first]; !ok && c.safe && slices.Contains(c.at[o.Name], waits) {
				h.t.Errorf("output %s is not given the chunk at %d, which was safe", o.Name, first)
			}
		}
	}
	h.checkStreams()
}

// checkStreams checks what is known of the streams: each goes on behind all that was safe, and nowhere but behind a chunk; and they
// need together what the outputs do.
func (h *historyTest) checkStreams() {
	last := map[string]uint64{}
	for _, r := range h.b.Resumable() {
		last[r.StreamID] = r.Acked
	}
	for _, s := range h.streams {
		known := last[s.ID] == 0
		for _, c := range h.chunks {
			if c.stream != s.ID {
				continue
			}
			known = known || c.first+uint64(c.records)-1 == last[s.ID]
			if c.safe && c.first > last[s.ID] && !h.flaky {
				h.t.Errorf("stream %s goes on behind %d, and what begins at %d was safe", s.ID, last[s.ID], c.first)
			}
		}
		if !known {
			h.t.Errorf("stream %s goes on behind %d, where no chunk ends", s.ID, last[s.ID])
		}
	}
	for i, c := range h.b.cursors {
		need := int64(0)
		for _, a := range h.b.roster.accounts {
			need += a.need[i]
		}
		if !c.adrift && need != c.backlog.Bytes {
			h.t.Errorf("the streams need %d bytes of output %s, and it %d", need, c.Name, c.backlog.Bytes)
		}
	}
}
