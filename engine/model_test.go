package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

func drawPlan(t *rapid.T) plan {
	p := plan{
		limits: engine.Limits{
			Stream: int64(rapid.IntRange(4, 64).Draw(t, "stream limit, KiB")) * kib, Engine: 2 * mib,
			GatherBytes: rapid.SampledFrom([]int{kib, 8 * kib, 64 * kib}).Draw(t, "gather"),
		},
		parkLimit: rapid.SampledFrom([]time.Duration{time.Minute, time.Hour}).Draw(t, "park limit"),
		giveUp:    rapid.SampledFrom([]time.Duration{0, 0, 0, time.Minute}).Draw(t, "give up after"),
		mute:      rapid.IntRange(0, 3).Draw(t, "mute") == 0,
		seed:      rapid.Uint64().Draw(t, "seed"),
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "outputs") {
		p.outputs = append(p.outputs, outputPlan{
			scheduler: rapid.IntRange(0, 4).Draw(t, "scheduler"),
			keying:    rapid.IntRange(0, 2).Draw(t, "keying"),
			slots:     rapid.IntRange(1, 5).Draw(t, "slots"),
			batch: engine.BatchLimits{
				MaxRecords: rapid.IntRange(1, 60).Draw(t, "batch records"),
				MaxBytes:   rapid.SampledFrom([]int{0, 300, 4 * kib}).Draw(t, "batch bytes"),
				Linger:     rapid.SampledFrom([]time.Duration{0, 0, time.Second, 30 * time.Second}).Draw(t, "linger"),
			},
			letters: rapid.Bool().Draw(t, "dead letters"),
			drops:   i > 0 && rapid.IntRange(0, 4).Draw(t, "drops") == 0,
		})
	}
	return p
}

func drawMood(t *rapid.T) mood {
	chance := func(what string) int { return rapid.SampledFrom([]int{0, 0, 10, 16}).Draw(t, what) }
	return mood{
		down:   rapid.IntRange(0, 4).Draw(t, "down") == 0,
		denied: rapid.SampledFrom([]string{"", "", "", "s-0", "k1"}).Draw(t, "denied"),
		fail:   chance("fail"), throttle: chance("throttle"), partial: chance("partial"), lost: chance("lost"),
		panicked: chance("panic"), garbage: chance("garbage"),
		slow: rapid.SampledFrom([]time.Duration{0, 10 * time.Millisecond, time.Second, 90 * time.Second}).Draw(t, "slow"),
	}
}

func drawStep(t *rapid.T) step {
	return step{
		kind: rapid.SampledFrom([]int{0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 7}).Draw(t, "step"), stream: rapid.IntRange(0, 3).Draw(t, "stream"),
		output: rapid.IntRange(0, 3).Draw(t, "output"), count: rapid.IntRange(1, 40).Draw(t, "count"),
		again: rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "again"), flush: rapid.IntRange(0, 5).Draw(t, "flush") == 0,
		wait: rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, 60 * time.Millisecond, 2 * time.Second, 90 * time.Second}).Draw(t, "wait"),
		mood: drawMood(t),
	}
}

// Streams, meters, the memory buffer, schedulers and delivery together, against a simple model: nothing is lost or comes
// twice but for what its output is to blame for, in order per key, acks and meters true, and one dead output or key stops
// no other.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var tags []string
		for range rapid.IntRange(1, 4).Draw(rt, "streams") {
			tags = append(tags, rapid.SampledFrom([]string{"all.x", "0.x", fmt.Sprint(len(p.outputs)-1, ".y")}).Draw(rt, "tag"))
		}
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		dead := rapid.IntRange(0, 3).Draw(rt, "dead output")
		denied := rapid.SampledFrom([]string{"", "s-0", "k2"}).Draw(rt, "denied key")
		faults := inBubble(t, func(tb testing.TB) {
			w := newWorld(tb, p)
			for i, tag := range tags {
				w.addProducer(fmt.Sprint("s-", i), tag)
			}
			for _, s := range steps {
				w.do(s)
			}
			w.end(dead, denied)
		})
		if len(faults) > 0 {
			rt.Fatalf("%s", strings.Join(faults, "\n"))
		}
	})
}

// inBubble runs a test in a bubble and gives what it found, so that the search for a smaller one can go on.
func inBubble(t *testing.T, run func(tb testing.TB)) []string {
	n := &notes{TB: t}
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if v := recover(); v != nil && v != any(n) {
				panic(v)
			}
		}()
		run(n)
	})
	return n.faults
}

// notes is a test that keeps its faults to itself. One goroutine uses it.
type notes struct {
	testing.TB
	faults []string
}

func (n *notes) Helper() {}

func (n *notes) Errorf(format string, args ...any) {
	if len(n.faults) < 20 {
		n.faults = append(n.faults, fmt.Sprintf(format, args...))
	}
}

func (n *notes) Fatal(args ...any) {
	n.Errorf("%s", fmt.Sprint(args...))
	panic(n)
}

func (n *notes) Fatalf(format string, args ...any) {
	n.Errorf(format, args...)
	panic(n)
}
