package disk

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

var (
	darkHistories = flag.Int("darkhistories", 25, "how many random histories TestDarkHistories goes through, of each variant")
	darkHistory   = flag.Uint64("darkhistory", 0, "the only one of each that it goes through, if not 0")
)

// A darkVariant is what else happens to a buffer whose disk does not give some pages.
type darkVariant struct {
	torn    bool // a commit is half written as the process is killed
	bare    bool // the checkpoint is gone at times, and the outputs have other bits then
	crash   bool // the machine stops at times, and not the process alone
	lasting bool // at the end there are pages that are bad for good
}

// In random histories the disk does not give some pages for a while, or for good. Each output is given what was safe, in order, once a
// life, and nothing else; and when it is done with all, the books are empty and the segments are freed.
func TestDarkHistories(t *testing.T) {
	for name, v := range map[string]darkVariant{
		"plain": {}, "torn": {torn: true}, "without checkpoint": {bare: true}, "torn without checkpoint": {torn: true, bare: true},
		"crash": {crash: true}, "bad for good": {lasting: true}, "all": {torn: true, bare: true, crash: true, lasting: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := uint64(1), uint64(*darkHistories)
			if *darkHistory > 0 {
				from, to = *darkHistory, *darkHistory
			}
			for seed := from; seed <= to; seed++ {
				ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { newDarkHistory(t, seed, v).run() })
				})
				if !ok {
					t.Fatalf("go test ./engine/disk -run '%s$' -darkhistory %d", t.Name(), seed)
				}
			}
		})
	}
}

type darkHistoryTest struct {
	sick
	darkVariant
	rng     *rand.Rand
	disk    darkDisk
	outputs []string
	shares  map[string]*engine.Meter
	set     engine.OutputSet  // whom all is for in this life; 0: for any
	tags    map[uint64]string // by chunk: the names of its outputs
	acked   []uint64
	got     map[string]map[uint64]bool
	held    map[string][]engine.Part // given in this life, and not done
	last    map[string]uint64
	past    []string // what happened
}

func newDarkHistory(t *testing.T, seed uint64, v darkVariant) *darkHistoryTest {
	rng := rand.New(rand.NewPCG(seed, 7))
	return &darkHistoryTest{
		sick: sick{t: t, fs: crashfs.New(), next: 1}, darkVariant: v, rng: rng, disk: darkDisk{rng: rng},
		outputs: []string{"a", "b"}, tags: map[uint64]string{}, got: map[string]map[uint64]bool{"a": {}, "b": {}},
	}
}

func (h *darkHistoryTest) run() {
	h.fs.Inject(h.disk.fault)
	for range 3 + h.rng.IntN(3) {
		h.set = engine.OutputSet(h.rng.IntN(4))
		if h.rng.IntN(3) > 0 {
			h.darken()
		}
		h.open()
		for range h.rng.IntN(25) {
			h.step(h.outputs[h.rng.IntN(2)])
		}
		h.checkBooks()
		h.stop()
	}
	h.finish()
	if h.t.Failed() {
		h.t.Logf("%s\n%s", strings.Join(h.past, "\n"), &h.log)
	}
}

func (h *darkHistoryTest) note(format string, a ...any) {
	h.past = append(h.past, fmt.Sprintf(format, a...))
}

func (h *darkHistoryTest) darken() { h.note("dark: %v", h.disk.darken(h.fs.Files())) }

func (h *darkHistoryTest) light() {
	h.disk.light()
	h.note("light")
}

func (h *darkHistoryTest) open() {
	h.shares = map[string]*engine.Meter{}
	var outputs []engine.BufferOutput
	for _, name := range h.outputs {
		h.shares[name] = engine.NewMeter(1 << 30)
		takes := func(tag string) bool { return strings.Contains(tag, name) }
		outputs = append(outputs, engine.BufferOutput{Name: name, Share: h.shares[name], Takes: takes})
	}
	b, err := Open(Options{
		Dir: "d", FS: h.fs, SegmentSize: 32 << 10, Checkpoint: time.Hour, Memory: 1, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	}, outputs)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, strings.Join(h.past, "\n"))
	}
	h.Buffer, h.held, h.last = b, map[string][]engine.Part{}, map[string]uint64{}
	h.note("open, end %v", b.log.End())
}

func (h *darkHistoryTest) step(output string) {
	switch h.rng.IntN(9) {
	case 0, 1, 2:
		h.append()
	case 3, 4:
		h.read(output, h.rng.IntN(12))
	case 5:
		h.done(output, h.rng.IntN(12))
	case 6:
		h.save()
	case 7:
		h.wait()
	case 8:
		h.checkBooks()
	}
}

// wait goes on when what could not be read is not waited for any more, or has the disk give all again.
func (h *darkHistoryTest) wait() {
	switch {
	case !h.disk.isDark():
		time.Sleep(11 * time.Minute)
		if h.rng.IntN(2) == 0 {
			h.darken()
		}
	case h.rng.IntN(2) == 0:
		h.light()
	}
}

func (h *darkHistoryTest) save() {
	if err := h.Buffer.save(); err != nil {
		h.t.Error(err)
	}
}

func (h *darkHistoryTest) append() {
	set := func() engine.OutputSet { return h.set }
	if h.set == 0 {
		set = func() engine.OutputSet { return engine.OutputSet(1 + h.rng.IntN(3)) }
	}
	var chunks []*engine.Chunk
	var firsts []uint64
	for range 1 + h.rng.IntN(4) {
		to, tag := set(), ""
		for o := range to.All() {
			tag += h.outputs[o]
		}
		stream := &engine.Stream{Tenant: "default", ID: "s" + tag, Tag: tag}
		chunks = append(chunks, h.mint.Chunk(stream, h.next, to, strings.Repeat("x", 50+h.rng.IntN(3000))))
		firsts, h.tags[h.next] = append(firsts, h.next), tag
		h.next++
	}
	if _, err := h.Append(chunks, func() { h.acked = append(h.acked, firsts...) }); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
	h.note("append %v, end %v", firsts, h.Buffer.log.End())
}

// read has an output read some chunks at most, checks that it may, and gives how many there were.
func (h *darkHistoryTest) read(output string, most int) (n int) {
	for ; n < most; n++ {
		p, c, ok := h.cursor(output).Next()
		if !ok {
			break
		}
		first := c.First
		c.Release()
		if first <= h.last[output] {
			h.t.Errorf("output %s is given %d after %d in one life", output, first, h.last[output])
		}
		if !strings.Contains(h.tags[first], output) {
			h.t.Errorf("output %s is given %d, which is for %q", output, first, h.tags[first])
		}
		h.last[output], h.got[output][first] = first, true
		h.held[output] = append(h.held[output], p)
	}
	if n > 0 {
		h.note("%s reads %d, up to %d", output, n, h.last[output])
	}
	return n
}

// done has an output be done with some of what it holds, in any order.
func (h *darkHistoryTest) done(output string, most int) {
	for range min(most, len(h.held[output])) {
		i := h.rng.IntN(len(h.held[output]))
		h.sick.done(output, h.held[output][i:i+1])
		h.held[output] = slices.Delete(h.held[output], i, i+1)
	}
}

// stop ends a life in one of three ways.
func (h *darkHistoryTest) stop() {
	before, how := h.Buffer, h.rng.IntN(3)
	switch {
	case how == 0:
		h.close()
	case how == 1 || !h.crash:
		if h.torn {
			h.disk.tear()
			h.append()
		}
		h.fs = h.fs.Kill()
		h.disk.mend()
		_ = before.Close()
	default:
		h.fs = h.fs.Crash(h.rng)
		_ = before.Close()
	}
	h.note("stop %d, acked %v", how, h.acked)
	if h.bare && h.rng.IntN(2) == 0 {
		_ = h.fs.Remove("d/" + checkpointFile)
		slices.Reverse(h.outputs)
		h.note("no checkpoint, outputs %v", h.outputs)
	}
	h.fs.Inject(h.disk.fault)
	if h.rng.IntN(2) == 0 {
		h.light()
	}
}

// finish has the outputs read all that there is, and be done with it.
func (h *darkHistoryTest) finish() {
	h.light()
	if h.lasting {
		h.darken()
	}
	h.open()
	if h.lasting { // what is not given is waited for, and then lost
		for begun := time.Now(); time.Since(begun) < 40*time.Minute; time.Sleep(10 * time.Second) {
			h.readAll()
		}
	}
	h.readAll()
	h.append()
	h.readAll()
	h.checkRest()
	h.checkBooks()
	h.close()
}

func (h *darkHistoryTest) readAll() {
	for _, output := range h.outputs {
		for h.read(output, 1000) > 0 {
			h.done(output, 1000)
		}
		h.done(output, 1000)
	}
}

// checkBooks checks that the backlogs are possible, and charged to their shares.
func (h *darkHistoryTest) checkBooks() {
	for _, output := range h.outputs {
		b, used := h.cursor(output).Backlog(), h.shares[output].Used()
		if b.Chunks < 0 || b.Records < 0 || b.Bytes < 0 || used != b.Bytes {
			h.t.Errorf("output %s: backlog %+v, share %d", output, b, used)
		}
	}
}

// checkRest checks that nothing that was safe is missing, and that nothing is needed any more.
func (h *darkHistoryTest) checkRest() {
	for _, output := range h.outputs {
		if b := h.cursor(output).Backlog(); b.Chunks != 0 || b.Records != 0 || b.Bytes != 0 {
			h.t.Errorf("output %s at rest: %+v", output, b)
		}
		for _, first := range h.acked {
			if strings.Contains(h.tags[first], output) && !h.got[output][first] && !h.lasting {
				h.t.Errorf("output %s is not given %d, which was safe", output, first)
			}
		}
	}
	if lost := lostBy(h.Buffer); lost != 0 && h.darkVariant == (darkVariant{}) {
		h.t.Errorf("%d records are lost", lost)
	}
	if h.isFailing() {
		h.t.Errorf("failing: %v", h.Failing())
	}
	h.save()
	if n := len(h.Buffer.log.Segments()); n > 2 {
		h.t.Errorf("%d segments at rest", n)
	}
}
