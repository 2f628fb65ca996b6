package seglog_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var (
	histories = flag.Int("histories", 120, "random histories that TestRandomHistories goes through")
	seed      = flag.Uint64("seed", 0, "the first of their seeds; 0: any")
)

// Whatever happens: what was told to be committed is there, in order, once, and so is nothing else.
func TestRandomHistories(t *testing.T) {
	base := *seed
	if base == 0 {
		base = rand.Uint64() >> 1
	}
	for i := range *histories {
		seed := base + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rngOf(seed)
			change := func(o *seglog.Options) {
				o.Recycle = rng.IntN(4) - 1
				if rng.IntN(2) == 0 {
					o.Sync = seglog.SyncPolicy(rng.IntN(3))
				}
				if rng.IntN(3) == 0 {
					o.Storage = small * int64(1+rng.IntN(8))
				}
			}
			inTrial(t, change, func(tr *trial) {
				h := newHistory(tr, seed)
				for range 40 {
					h.step()
				}
				h.finish()
			})
		})
		if t.Failed() {
			t.Fatalf("go on from here with -seed %d", seed)
		}
	}
}

// The machine stops at every operation of a history, and at each of what follows.
func TestCrashAtEveryOperation(t *testing.T) {
	script := func(h *history) {
		for range perSmall + 2 {
			h.try(1, kilobyte)
		}
		h.try(3, 300)
		h.freeThese(h.Segments()[:min(1, len(h.Segments()))])
		h.try(4, 1500)
		h.try(2, 20)
		if h.Close() == nil {
			h.openAnyhow()
		}
		h.try(2, 700)
		h.freeThese(slices.DeleteFunc(h.Segments(), func(s seglog.Segment) bool { return !s.Sealed }))
		h.try(3, 2500)
		h.try(1, 20)
	}
	for n, more := 1, true; more; n++ {
		for seed := range uint64(4) {
			inTrial(t, nil, func(tr *trial) {
				h := newHistory(tr, uint64(n)<<8+seed)
				h.fs.Inject(crashfs.HaltAt(n))
				script(h)
				more = h.fs.Ops() >= n
				h.learn()
				h.die(h.fs.Crash(h.rng))
				h.openHalting()
				h.check(true, false)
				h.put(3, 1000)
				h.check(false, false)
				h.reopen()
				h.check(false, false)
				if h.Failed() {
					more = false
					t.Errorf("the machine stopped at operation %d, seed %d", n, seed)
				}
			})
		}
	}
}
