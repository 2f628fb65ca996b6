package deadletter

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var (
	histories = flag.Int("histories", 200, "how many random histories TestCrashes goes through")
	history   = flag.Uint64("history", 0, "the only one that it goes through, if not 0")
)

// In random histories letters are written and removed, the disk fails, and the process or the machine stops at any operation. What
// Write returned nil for is there once, unless it is removed, and what Remove returned nil for never comes back; nothing that was
// never written is there. What a Write gave up is stored once in each life of the process in which its records came back, at most.
func TestCrashes(t *testing.T) {
	from, to := uint64(1), uint64(*histories)
	if *history > 0 {
		from, to = *history, *history
	}
	for seed := from; seed <= to; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inTrial(t, func(tr *trial) { newHistory(tr, seed).run() })
		})
		if !ok {
			t.Fatalf("go test ./engine/disk/deadletter -run TestCrashes -history %d", seed)
		}
	}
}

// A historyTest knows what must be in the store.
type historyTest struct {
	*trial
	rng     *rand.Rand
	there   map[uint64]uint64 // sequences by ID: found, and not removed
	gone    map[uint64]bool   // IDs that were removed, and of letters that were found to be gone
	doubted map[uint64]bool   // IDs that a Remove which failed was told: in the next life they are there, or gone
	copies  map[uint64]int    // by sequence: letters that this life made, and that were not removed
	loose   map[uint64]int    // by sequence: letters that may come up
	again   []load            // that were not stored
	mine    map[uint64]bool   // IDs of letters that this life made

	checking, halted atomic.Bool
}

func newHistory(tr *trial, seed uint64) *historyTest {
	tr.options.Room = 16 * minSegment
	tr.options.SegmentSize = minSegment
	tr.reopen()
	return &historyTest{
		trial: tr, rng: rand.New(rand.NewPCG(seed, 2)), there: map[uint64]uint64{}, gone: map[uint64]bool{}, doubted: map[uint64]bool{},
		copies: map[uint64]int{}, loose: map[uint64]int{}, mine: map[uint64]bool{},
	}
}

func (h *historyTest) run() {
	for range 2 + h.rng.IntN(5) {
		if h.rng.IntN(3) > 0 {
			h.fs.Inject(h.halt(h.fs.Ops() + 1 + h.rng.IntN(80)))
		}
		for range h.rng.IntN(25) {
			h.step()
			synctest.Wait()
			h.check()
			if h.Failed() {
				return
			}
		}
		h.stop()
		if h.Failed() {
			return
		}
	}
	h.finish()
}

// halt has the disk stand still from an operation on.
func (h *historyTest) halt(at int) func(crashfs.Op) crashfs.Fault {
	inject := crashfs.HaltAt(at)
	return func(op crashfs.Op) crashfs.Fault {
		f := inject(op)
		switch {
		case f.Err == nil || h.halted.Load():
		case h.checking.Load():
			return crashfs.Fault{} // it is not the store's doing
		default:
			h.halted.Store(true)
		}
		return f
	}
}

func (h *historyTest) step() {
	switch n := h.rng.IntN(20); {
	case n < 8:
		sizes := make([]int, 1+h.rng.IntN(12))
		for i := range sizes {
			if sizes[i] = h.rng.IntN(400); h.rng.IntN(6) == 0 {
				sizes[i] += h.rng.IntN(6000)
			}
		}
		h.try(h.load(&engine.DeadLetter{Output: "aws"}, sizes...))
	case n < 12:
		h.retry()
	case n < 16:
		h.removeSome()
	case n < 18:
		h.fail()
	default:
		time.Sleep(time.Duration(h.rng.IntN(5000)) * time.Millisecond)
	}
}

// fail has operations fail for a while.
func (h *historyTest) fail() {
	if h.halted.Load() {
		return
	}
	kinds := []crashfs.Kind{crashfs.Write, crashfs.Sync, crashfs.Create, crashfs.Rename, crashfs.SyncDir, crashfs.Allocate, crashfs.Remove}
	kind, odds := kinds[h.rng.IntN(len(kinds))], 1+h.rng.IntN(4)
	rng := rand.New(rand.NewPCG(h.rng.Uint64(), 3))
	h.fs.Inject(func(op crashfs.Op) crashfs.Fault {
		if op.Kind != kind || rng.IntN(odds) > 0 {
			return crashfs.Fault{}
		}
		return crashfs.Fault{
			Err: []error{syscall.EIO, syscall.ENOSPC}[rng.IntN(2)], Through: rng.IntN(8000), Done: op.Kind != crashfs.Remove && rng.IntN(4) == 0,
		}
	})
	for range 1 + h.rng.IntN(5) {
		switch h.rng.IntN(3) {
		case 0:
			h.try(h.load(&engine.DeadLetter{Output: "aws"}, h.rng.IntN(3000), h.rng.IntN(3000)))
		case 1:
			h.retry()
		case 2:
			h.removeSome()
		}
		synctest.Wait()
		h.check()
	}
	h.fs.Inject(nil)
	if h.rng.IntN(2) == 0 {
		time.Sleep(10 * time.Second)
	}
}

// try writes a load. What a Write gives up comes back some time, in this life or another.
func (h *historyTest) try(l load) {
	err := h.write(l, time.Duration(1+h.rng.IntN(4000))*time.Millisecond)
	if err != nil {
		h.wantRetryable(err)
		h.again = append(h.again, l)
	}
	if errors.Is(err, seglog.ErrFull) {
		return
	}
	for i := range l.size {
		if n := l.first + uint64(i); h.copies[n] == 0 {
			h.loose[n]++
			h.copies[n] = 1
		}
	}
	synctest.Wait()
	h.check()
	if err != nil {
		return
	}
	for i := range l.size {
		if n := l.first + uint64(i); !h.halted.Load() && !h.made(n) {
			h.Errorf("record %d is not there, though it was stored", n)
		}
	}
}

// made reports whether this life made a letter of a record.
func (h *historyTest) made(sequence uint64) bool {
	for id := range h.mine {
		if h.there[id] == sequence {
			return true
		}
	}
	return false
}

// retry writes what was not stored, mostly as it was, or in parts.
func (h *historyTest) retry() {
	if len(h.again) == 0 {
		return
	}
	i := h.rng.IntN(len(h.again))
	l := h.again[i]
	h.again = slices.Delete(h.again, i, i+1)
	if n := len(l.size); n > 1 && h.rng.IntN(4) == 0 {
		at := 1 + h.rng.IntN(n-1)
		h.again = append(h.again, load{l.first + uint64(at), l.size[at:], l.dead})
		l.size = l.size[:at]
	}
	h.try(l)
}

func (h *historyTest) removeSome() {
	var ids []uint64
	for id := range h.there {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) == 0 {
		return
	}
	switch from := h.rng.IntN(len(ids)); h.rng.IntN(4) {
	case 0: // any
		h.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		ids = ids[:h.rng.IntN(len(ids))]
	case 1: // the oldest
		ids = ids[:from]
	case 2: // in a row
		ids = ids[from:min(len(ids), from+h.rng.IntN(60))]
	}
	if err := h.Remove(h.Context(), ids); err != nil {
		for _, id := range ids {
			h.doubted[id] = true
		}
		return
	}
	for _, id := range ids {
		h.forget(id)
	}
}

// forget notes that a letter is gone: its record may make a new one.
func (h *historyTest) forget(id uint64) {
	n := h.there[id]
	delete(h.there, id)
	delete(h.doubted, id)
	h.gone[id] = true
	if h.mine[id] {
		h.copies[n]--
	}
}

// check compares the store with what must be in it.
func (h *historyTest) check() {
	h.Helper()
	if h.halted.Load() { // nothing can be read
		return
	}
	h.checking.Store(true)
	defer h.checking.Store(false)
	all, unread := h.list(engine.LetterFilter{})
	for _, e := range unread {
		h.Error(e)
	}
	for id, n := range h.there {
		if !slices.Contains(all, found{id, n}) {
			h.Errorf("letter %d of record %d is not there", id, n)
		}
	}
	for _, f := range all {
		if _, known := h.there[f.id]; known {
			continue
		}
		if h.gone[f.id] {
			h.Errorf("letter %d of record %d is back", f.id, f.sequence)
		}
		if h.loose[f.sequence]--; h.loose[f.sequence] < 0 {
			h.Errorf("letter %d of record %d is one too many", f.id, f.sequence)
		}
		h.there[f.id], h.mine[f.id] = f.sequence, true
	}
	if n := h.Stats().Letters; n != int64(len(all)) {
		h.Errorf("stats: %d letters, there are %d", n, len(all))
	}
}

// stop ends a life in one of three ways, and begins another one.
func (h *historyTest) stop() {
	after := h.fs.Kill
	switch h.rng.IntN(3) {
	case 0:
		if err := h.Close(); err != nil && !h.halted.Load() {
			h.Error(err)
		}
		fallthrough
	case 1:
		after = func() *crashfs.FS { return h.fs.Crash(h.rng) }
	}
	before := h.Store
	h.fs = after()
	_ = before.Close()
	h.reopenHalting()
	h.learn()
}

// reopenHalting opens the store as long as it takes, where the machine or the process stops again and again.
func (h *historyTest) reopenHalting() {
	for h.halted.Store(false); h.rng.IntN(2) == 0; h.halted.Store(false) {
		h.fs.Inject(h.halt(h.fs.Ops() + 1 + h.rng.IntN(30)))
		o := h.options
		o.FS = h.fs
		s, err := Open(o)
		if err != nil && !errors.Is(err, crashfs.ErrHalted) {
			h.Error(err)
		}
		if h.rng.IntN(2) == 0 {
			h.fs = h.fs.Kill()
		} else {
			h.fs = h.fs.Crash(h.rng)
		}
		if err == nil {
			_ = s.Close()
		}
	}
	h.fs.Inject(nil)
	h.open()
	if strings.Contains(h.told.String(), "level=ERROR") {
		h.Errorf("told:\n%s", h.told)
	}
}

// learn finds out what of the life before is there. All of it is there for good.
func (h *historyTest) learn() {
	h.Helper()
	all, _ := h.list(engine.LetterFilter{})
	for id := range h.doubted {
		if n, known := h.there[id]; known && !slices.Contains(all, found{id, n}) {
			h.forget(id)
		}
	}
	clear(h.doubted)
	h.check()
	clear(h.copies)
	clear(h.loose)
	clear(h.mine)
}

// finish stores what is left, and removes everything.
func (h *historyTest) finish() {
	for n := 0; len(h.again) > 0 && !h.Failed(); n++ {
		h.retry()
		if st := h.Stats(); errors.Is(st.Failing, seglog.ErrFull) {
			h.removeAll()
		}
		if n > 1000 {
			h.Fatalf("%d loads are not stored: %+v", len(h.again), h.Stats())
		}
	}
	h.removeAll()
	h.fill(1)
	h.reopen()
	if st := h.Stats(); st.Letters != 1 || st.Bytes > 2*minSegment {
		h.Errorf("%+v", st)
	}
}

func (h *historyTest) removeAll() {
	for id := range h.there {
		if err := h.Remove(h.Context(), []uint64{id}); err != nil {
			h.Error(err)
		}
		h.forget(id)
	}
	h.check()
}
