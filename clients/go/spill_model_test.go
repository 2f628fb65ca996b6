package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// spillMoves are what happens to a producer with a spill. Where a gateway forgets, a record may arrive twice.
var spillMoves = []string{
	"log", "log", "log", "log", "log", "flush", "cut", "end", "hold", "release", "pause", "resume", "shrink", "wait",
	"kill", "kill", "die", "crash", "close", "full", "space",
}

// A spillHistory is what a test draws.
type spillHistory struct {
	opts    sluice.StreamOptions
	spill   sluice.SpillOptions
	forgets bool // the gateway is restarted, too
	small   bool // it takes little at once, from the beginning
	seed    uint64
	moves   []move
}

func drawSpillHistory(t *rapid.T) spillHistory {
	h := spillHistory{
		opts: sluice.StreamOptions{
			BatchRecords: rapid.IntRange(1, 8).Draw(t, "batch"),
			QueueRecords: rapid.SampledFrom([]int{1, 3, 50, 100_000}).Draw(t, "queue"),
			Linger:       time.Duration(rapid.SampledFrom([]int{-1, 0, 100}).Draw(t, "linger")) * time.Millisecond,
			WhenFull:     rapid.SampledFrom([]sluice.Policy{sluice.Block, sluice.Block, sluice.DropOldest, sluice.DropNewest}).Draw(t, "full"),
		},
		spill: sluice.SpillOptions{
			MaxBytes: rapid.SampledFrom([]int64{64 << 10, 0}).Draw(t, "bytes"),
			Sync:     rapid.SampledFrom([]sluice.SyncPolicy{sluice.SyncNever, sluice.SyncAlways}).Draw(t, "sync"),
		},
		forgets: rapid.Bool().Draw(t, "forgets"), small: rapid.Bool().Draw(t, "small"), seed: rapid.Uint64().Draw(t, "seed"),
	}
	kinds := spillMoves
	if h.forgets {
		kinds = append([]string{"forget", "forget", "drain"}, kinds...)
	}
	one := rapid.Custom(func(t *rapid.T) move {
		return move{
			kind:  rapid.SampledFrom(kinds).Draw(t, "kind"),
			n:     rapid.IntRange(1, 60).Draw(t, "n"),
			after: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 50, 1000, 20_000}).Draw(t, "ms")) * time.Millisecond,
		}
	})
	h.moves = rapid.SliceOfN(one, 1, 50).Draw(t, "moves")
	return h
}

// Whatever happens to connections, the gateway, the disk and the producer, which is killed at any moment and started again:
// each record that was taken arrives, in order, and is stored once by a gateway that does not forget.
func TestAnyHistoryOfASpill(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawSpillHistory(rt)
		var err error
		synctest.Test(t, func(t *testing.T) { err = (&spillPlay{spillHistory: h}).run(t) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// A spillPlay plays a history.
type spillPlay struct {
	spillHistory
	t        *testing.T
	g        *gateway
	p        *producer
	rng      *rand.Rand
	restarts sync.WaitGroup
	arrived  []int // in order, repeats among them

	logged  int
	taken   map[int]bool // what Log returned nil for
	maybe   map[int]bool // what was being written as the producer was killed
	refused map[int]bool // what the disk had no space for
	dropped uint64       // all in all
	lost    uint64       // of these, from the spill
	dying   bool         // the disk is to fail, as the first sign of the end
	dead    atomic.Bool
	lossy   bool // the machine crashed, and nothing was synced
}

func (s *spillPlay) run(t *testing.T) error {
	s.t, s.taken, s.maybe, s.refused = t, map[int]bool{}, map[int]bool{}, map[int]bool{}
	s.rng = rand.New(rand.NewPCG(s.seed, 0))
	s.g = newGateway(t)
	s.g.limit = 200
	if s.small {
		s.g.maxAppend = 1024
	}
	s.g.arrival = func(body string) {
		if !strings.HasPrefix(body, "sluice: ") {
			s.arrived = append(s.arrived, number(body))
		}
	}
	defer s.restarts.Wait()
	s.p = produce(t, crashfs.New(), s.g, s.options())
	for _, m := range s.moves {
		s.do(m)
		time.Sleep(m.after)
		if s.dead.Load() {
			s.restart((*crashfs.FS).Kill)
		}
	}
	s.restarts.Wait()
	if s.dead.Load() {
		s.restart((*crashfs.FS).Kill)
	}
	s.p.disk.Inject(nil)
	s.g.set(func() { s.g.hold, s.g.paused, s.g.draining, s.g.maxAppend = false, false, false, 0 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if report, err := s.p.Close(ctx); err != nil || report.Kept > 0 {
		return fmt.Errorf("close: %w: %+v, %+v", err, report, s.p.Stats())
	}
	s.count()
	if names := segments(s.p.disk); names != nil || s.p.disk.Opened() != 0 {
		return fmt.Errorf("left behind: %q, %d files open", names, s.p.disk.Opened())
	}
	if err := s.check(); err != nil {
		var opens []string
		for _, o := range s.g.opens {
			opens = append(opens, fmt.Sprintf("%d:%d", o.GetEpoch(), o.GetFirstSequence()))
		}
		return fmt.Errorf("%w; opened with %q", err, opens)
	}
	return nil
}

func (s *spillPlay) count() {
	drops := s.p.Stats().Dropped
	s.dropped += drops.Total()
	s.lost += drops.SpillLost
}

func (s *spillPlay) options() sluice.StreamOptions {
	opts, spill := s.opts, s.spill
	opts.Spill = &spill
	return opts
}

func (s *spillPlay) do(m move) {
	d := s.p.disk
	switch m.kind {
	case "log":
		for range m.n {
			s.log()
		}
	case "kill":
		s.restart((*crashfs.FS).Kill)
	case "crash":
		if s.spill.Sync == sluice.SyncNever { // what was taken may be gone, and what was undone may be back
			s.lossy = true
			maps.Copy(s.maybe, s.refused)
		}
		s.restart(func(d *crashfs.FS) *crashfs.FS { return d.Crash(s.rng) })
	case "die": // a little later, in the middle of what it does with the disk
		s.dying = true
		left := m.n
		fault := crashfs.Fault{Err: crashfs.ErrKilled, Through: s.rng.IntN(200), Done: s.rng.IntN(4) == 0}
		d.Inject(func(crashfs.Op) crashfs.Fault {
			switch left--; {
			case left > 0:
				return crashfs.Fault{}
			case left == 0:
				s.dead.Store(true)
				return fault
			default:
				return crashfs.Fault{Err: crashfs.ErrKilled}
			}
		})
	case "close":
		ctx, cancel := context.WithTimeout(context.Background(), m.after)
		defer cancel()
		if report, err := s.p.Close(ctx); err != nil || report.Lost() > 0 {
			s.t.Errorf("close: %v, %+v", err, report)
		}
		s.restart((*crashfs.FS).Kill)
	case "full":
		if !s.dying {
			through := s.rng.IntN(100)
			d.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Write || op.Kind == crashfs.Create {
					return crashfs.Fault{Err: syscall.ENOSPC, Through: through}
				}
				return crashfs.Fault{}
			})
		}
	case "space":
		if !s.dying {
			d.Inject(nil)
		}
	case "forget":
		s.g.forget()
	default:
		do(s.p.Stream, s.g, m, &s.restarts)
	}
}

// log logs the next number. A full spill is not waited for for long.
func (s *spillPlay) log() {
	s.logged++
	body := strconv.Itoa(s.logged) + " " + strings.Repeat("x", s.rng.IntN(4)*300)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	switch err := s.p.Log(ctx, body); {
	case err == nil:
		s.taken[s.logged] = true
	case s.dead.Load() || s.p.Err() != nil:
		s.maybe[s.logged] = true
	case errors.Is(err, context.DeadlineExceeded) && s.opts.WhenFull == sluice.Block:
	case errors.Is(err, sluice.ErrQueueFull) && s.opts.WhenFull != sluice.Block:
	case errors.Is(err, syscall.ENOSPC) && errors.Is(err, sluice.ErrSpillFailed):
		s.refused[s.logged] = true
	default:
		s.t.Errorf("log %d: %v", s.logged, err)
	}
}

// restart ends the process at once, and starts the next.
func (s *spillPlay) restart(end func(*crashfs.FS) *crashfs.FS) {
	d := end(s.p.disk)
	s.p.end()
	_, _ = s.p.Close(context.Background())
	s.count()
	d.Inject(nil)
	s.dying = false
	s.dead.Store(false)
	s.p = produce(s.t, d, s.g, s.options())
}

func number(body string) int {
	n, _, _ := strings.Cut(body, " ")
	i, err := strconv.Atoi(n)
	if err != nil {
		panic(err)
	}
	return i
}

func (s *spillPlay) check() error {
	var got []int
	s.g.saw(func() { got = s.arrived })
	if !s.forgets {
		bodies, _ := s.g.taken("s")
		got = nil
		for _, b := range bodies {
			if !strings.HasPrefix(b, "sluice: ") {
				got = append(got, number(b))
			}
		}
	}
	seen := map[int]bool{}
	highest := 0
	for _, n := range got {
		if !s.taken[n] && !s.maybe[n] {
			return fmt.Errorf("record %d arrived, which Log did not take", n)
		}
		if seen[n] && !s.forgets {
			return fmt.Errorf("record %d is stored twice", n)
		}
		if !seen[n] && n < highest && !s.lossy {
			return fmt.Errorf("record %d came after %d", n, highest)
		}
		seen[n] = true
		highest = max(highest, n)
	}
	var missing uint64
	for n := range s.taken {
		if !seen[n] {
			missing++
		}
	}
	if s.lossy {
		return nil
	}
	if s.opts.WhenFull != sluice.DropOldest && s.lost > 0 {
		return fmt.Errorf("%d records count as lost", s.lost)
	}
	if s.opts.WhenFull != sluice.DropOldest && missing > 0 || missing > s.dropped {
		return fmt.Errorf("%d of %d records are missing, %d were dropped", missing, len(s.taken), s.dropped)
	}
	return nil
}
