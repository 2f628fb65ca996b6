package seglog_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A history is a log that is appended to, freed, closed, killed and crashed, and what must be in it.
type history struct {
	*trial
	rng   *rand.Rand
	safe  map[seglog.LSN]int  // what was told to be committed, or found
	last  seglog.LSN          // of those
	freed map[seglog.LSN]bool // what nobody needs: it may be there or not
	used  map[int]bool        // that were told or found: each may be there once
}

func newHistory(tr *trial, seed uint64) *history {
	return &history{trial: tr, rng: rngOf(seed), safe: map[seglog.LSN]int{}, freed: map[seglog.LSN]bool{}, used: map[int]bool{}}
}

// learn takes over what was told since the last time.
func (h *history) learn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.told {
		if f.LSN != h.last+1 || h.used[f.id] {
			h.Errorf("told of entry %d at %v, after %d; before: %v", f.id, f.Place, h.last, h.used[f.id])
		}
		h.safe[f.LSN], h.last, h.used[f.id] = f.id, f.LSN, true
	}
	h.told = nil
}

// check compares the log with what must be in it. After a restart there may be more: what was under way then. Where the machine
// stopped and not everything was synced there may be less.
func (h *history) check(restarted, lossy bool) {
	h.Helper()
	h.learn()
	all, damage, end := h.scan(h.Start(), everyone)
	if !lossy {
		h.checkRecovery(damage)
	}
	if end.LSN != h.End().LSN {
		h.Errorf("a reader ends at %v, the log at %v", end, h.End())
	}
	if lossy {
		h.checkLossy(all)
		return
	}
	there := map[seglog.LSN]bool{}
	for _, f := range all {
		there[f.LSN] = true
		id, known := h.safe[f.LSN]
		switch {
		case known && id != f.id:
			h.Errorf("entry %d at %v: it was %d", f.id, f.Place, id)
		case known:
		case !restarted || f.LSN != h.last+1 || f.id >= h.appended || h.used[f.id]:
			h.Errorf("entry %d at %v, the last of which was told is at %d; %d were appended", f.id, f.Place, h.last, h.appended)
		default: // it was under way
			h.safe[f.LSN], h.last, h.used[f.id] = f.id, f.LSN, true
		}
	}
	for lsn, id := range h.safe {
		if !there[lsn] && !h.freed[lsn] {
			h.Errorf("entry %d, committed at %d, is not there", id, lsn)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b found) int { return int(a.LSN) - int(b.LSN) }) {
		h.Errorf("out of order: %v", all)
	}
	if h.End().LSN != h.last+1 {
		h.Errorf("the log ends at %v, want %d", h.End(), h.last+1)
	}
}

// checkRecovery says that nothing was lost.
func (h *history) checkRecovery(damage []seglog.Damage) {
	h.Helper()
	lost := append(slices.Concat(damage, h.recovery.Damage), h.recovery.Missing...)
	for _, d := range lost {
		for lsn := d.From; lsn < d.To || lsn == d.From; lsn++ {
			if !h.freed[lsn] {
				h.Errorf("damage: %v, found %v", d, h.recovery)
				break
			}
		}
	}
	for _, c := range h.recovery.Cut {
		if c.From <= h.last {
			h.Errorf("%v; up to %d was committed", c, h.last)
		}
	}
	h.recovery = seglog.Recovery{}
}

// checkLossy says that what is there was appended, in the order that was told, and begins history anew with it.
func (h *history) checkLossy(all []found) {
	h.Helper()
	h.recovery = seglog.Recovery{}
	before := h.safe
	h.safe, h.last, h.used = map[seglog.LSN]int{}, h.End().LSN-1, map[int]bool{}
	last := seglog.LSN(0)
	for _, f := range all {
		if id, known := before[f.LSN]; known && id != f.id || f.LSN <= last || f.id >= h.appended || h.used[f.id] {
			h.Errorf("entry %d at %v after %d, where %d was told of", f.id, f.Place, last, id)
		}
		last = f.LSN
		h.safe[f.LSN], h.used[f.id] = f.id, true
	}
	for lsn := range h.freed {
		if lsn > h.last {
			delete(h.freed, lsn)
		}
	}
	for lsn := seglog.LSN(1); lsn <= h.last; lsn++ {
		if _, known := h.safe[lsn]; !known {
			h.freed[lsn] = true
		}
	}
}

// checkFiles says that the log counts its files right.
func (h *history) checkFiles() {
	h.Helper()
	size, open := int64(0), 0
	for _, name := range h.fs.Files() {
		if filepath.Dir(name) == dir && (strings.HasSuffix(name, ".seg") || strings.HasSuffix(name, ".idle")) {
			size += int64(len(h.fs.Content(name)))
			open++
		}
	}
	if h.Used() != size || h.fs.Opened() != open {
		h.Errorf("%d bytes used in %d files, there are %d in %d", h.Used(), h.fs.Opened(), size, open)
	}
}

// appendMany has several appenders append at once.
func (h *history) appendMany() {
	var wg sync.WaitGroup
	for range 1 + h.rng.IntN(4) {
		var calls [][]*seglog.Entry
		for range 1 + h.rng.IntN(3) {
			var entries []*seglog.Entry
			for range 1 + h.rng.IntN(3) {
				size := 20 + h.rng.IntN(300)
				if h.rng.IntN(5) == 0 {
					size += h.rng.IntN(6000)
				}
				entries = append(entries, entry(h.appended, size))
				h.appended++
			}
			calls = append(calls, entries)
		}
		wg.Go(func() {
			for _, entries := range calls {
				if err := h.Append(entries...); err != nil {
					h.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if h.rng.IntN(3) > 0 {
		synctest.Wait()
	}
}

// freeSome frees some segments: the oldest mostly, or any, or all.
func (h *history) freeSome() {
	synctest.Wait()
	h.learn()
	segments := slices.DeleteFunc(h.Segments(), func(s seglog.Segment) bool { return !s.Sealed })
	switch h.rng.IntN(5) {
	case 0:
		h.rng.Shuffle(len(segments), func(i, j int) { segments[i], segments[j] = segments[j], segments[i] })
	case 1:
		h.freeThese(segments)
		return
	}
	h.freeThese(segments[:min(len(segments), 1+h.rng.IntN(3))])
}

func (h *history) freeThese(segments []seglog.Segment) {
	var numbers []uint64
	for _, s := range segments {
		numbers = append(numbers, s.Number)
		for lsn := s.First; lsn < s.Next; lsn++ {
			h.freed[lsn] = true
		}
	}
	_ = h.Free(numbers...) // it may be told to fail
}

// fail has operations fail for a while.
func (h *history) fail() {
	errs := []error{syscall.EIO, syscall.ENOSPC}
	kinds := []crashfs.Kind{
		crashfs.Write, crashfs.Sync, crashfs.Create, crashfs.Rename, crashfs.Remove, crashfs.SyncDir, crashfs.Allocate,
	}
	kind, odds := kinds[h.rng.IntN(len(kinds))], 1+h.rng.IntN(4)
	rng := rngOf(h.rng.Uint64())
	h.fs.Inject(func(op crashfs.Op) crashfs.Fault {
		if op.Kind != kind || rng.IntN(odds) > 0 {
			return crashfs.Fault{}
		}
		return crashfs.Fault{Err: errs[rng.IntN(2)], Through: rng.IntN(8000), Done: op.Kind != crashfs.Remove && rng.IntN(4) == 0}
	})
	for range 1 + h.rng.IntN(4) {
		h.appendMany()
		h.freeSome()
		sleep(time.Duration(h.rng.IntN(2000)) * time.Millisecond)
	}
	h.fs.Inject(nil)
	sleep(10 * time.Second)
}

// crashAnywhere has the machine stop at some operation to come, and once more as the log is opened again.
func (h *history) crashAnywhere() {
	h.fs.Inject(crashfs.HaltAt(h.fs.Ops() + 1 + h.rng.IntN(40)))
	for range 1 + h.rng.IntN(6) {
		h.appendMany()
		if h.rng.IntN(3) == 0 {
			h.freeSome()
		}
		sleep(time.Duration(h.rng.IntN(300)) * time.Millisecond)
	}
	h.learn()
	h.die(h.fs.Crash(h.rng))
	h.openHalting()
	h.check(true, h.options.Sync != seglog.SyncAlways)
}

// openHalting opens the log as long as it takes, where the machine, or the process, stops again and again.
func (h *history) openHalting() {
	o := h.options
	for h.rng.IntN(2) == 0 {
		h.fs.Inject(crashfs.HaltAt(h.fs.Ops() + 1 + h.rng.IntN(30)))
		o.FS = h.fs
		l, _, err := seglog.Open(o)
		next := h.fs.Crash
		if h.rng.IntN(2) == 0 {
			next = func(*rand.Rand) *crashfs.FS { return h.fs.Kill() }
		}
		switch {
		case err == nil:
			h.Log = l
			h.die(next(h.rng))
		case errors.Is(err, crashfs.ErrHalted):
			h.fs = next(h.rng)
		default:
			h.Error(err)
			return
		}
	}
	h.open()
}

func (h *history) step() {
	synctest.Wait()
	if h.Failed() {
		return
	}
	switch n := h.rng.IntN(20); {
	case n < 9:
		h.appendMany()
	case n < 12:
		h.freeSome()
	case n < 13:
		sleep(time.Duration(h.rng.IntN(3000)) * time.Millisecond)
	case n < 14:
		h.reopen()
		h.check(false, false)
		h.checkFiles()
	case n < 16:
		h.fs.Inject(crashfs.HaltAt(h.fs.Ops() + 1 + h.rng.IntN(20)))
		h.appendMany()
		synctest.Wait()
		h.learn()
		h.kill()
		h.check(true, false)
	case n < 18:
		h.crashAnywhere()
	default:
		h.fail()
	}
}

// finish says that the log works: all that is appended is committed when there is room.
func (h *history) finish() {
	h.fs.Inject(nil)
	for range 100 {
		sleep(10 * time.Second)
		h.freeSome()
	}
	h.appendMany()
	sleep(10 * time.Second)
	if h.options.Storage == 0 {
		h.wantFailing(nil)
	}
	h.check(false, false)
}

// try appends entries, unless the log is closed.
func (h *history) try(n, size int) {
	for range n {
		_ = h.Append(entry(h.appended, size))
		h.appended++
	}
	synctest.Wait()
}

// openAnyhow opens the log, or has one that is closed where the machine stands still.
func (h *history) openAnyhow() {
	h.options.FS = h.fs
	switch l, r, err := seglog.Open(h.options); {
	case err == nil:
		h.Log, h.recovery = l, r
	case !errors.Is(err, crashfs.ErrHalted):
		h.Error(err)
	}
}
