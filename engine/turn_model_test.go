package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// A runner is a fickle output that prepares its batches, and waits for their turn. It is hasty, too: some Writes return
// before it, with anything.
type runner struct {
	*fickle
	prepare time.Duration // at most
	hasty   int           // percent

	mu  sync.Mutex // guards what follows
	rng *rand.Rand
}

// begin draws how long it takes to prepare, and whether it waits for its turn then.
func (r *runner) begin() (prepare time.Duration, hasty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.rng.Int64N(int64(r.prepare) + 1)), r.rng.IntN(100) < r.hasty
}

func (r *runner) Write(ctx context.Context, b *engine.Batch) error {
	prepare, hasty := r.begin()
	if hasty {
		return engine.Retryable(errMood)
	}
	time.Sleep(prepare) // whatever the context says
	ctx, end, err := b.Turn(ctx)
	if err != nil {
		return engine.Retryable(err)
	}
	defer end()
	b.Sent()
	return r.fickle.Write(ctx, b)
}

// newRelayWorld is newWorld with outputs that let the next batch stand by.
func newRelayWorld(t testing.TB, p plan, prepare time.Duration, hasty int) *world {
	w := &world{plan: p}
	o := engine.Options{Limits: p.limits}
	all := engine.Route{Match: "all.**"}
	for i, op := range p.outputs {
		f := newFickle(fmt.Sprint("out-", i), p.seed+uint64(i))
		w.outputs = append(w.outputs, f)
		oo := op.make(f)
		oo.Output = &runner{fickle: f, prepare: prepare, hasty: hasty, rng: rand.New(rand.NewPCG(p.seed, uint64(i)))}
		oo.ParkLimit = p.parkLimit
		o.Outputs = append(o.Outputs, oo)
		o.Routes = append(o.Routes, engine.Route{Match: fmt.Sprint(i, ".**"), Outputs: []string{f.name}})
		all.Outputs = append(all.Outputs, f.name)
	}
	letters := newFickle("letters", p.seed+99)
	letters.letters = true
	w.outputs = append(w.outputs, letters)
	o.Outputs = append(o.Outputs, outputPlan{scheduler: 1, slots: 2}.make(letters))
	o.Routes = append(o.Routes, all)
	start := engine.New
	if p.mute {
		start, o.NewBuffer = engine.NewMute, newDeafBuffer
	}
	w.rig = startRig(t, o, start)
	return w
}

// The model of [TestModel], with outputs that let the next batch stand by: nothing else may become of any record for it.
func TestModelWithStandingBy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		p.giveUp = 0 // the model does not see hasty Writes fail
		prepare := rapid.SampledFrom([]time.Duration{0, 10 * time.Millisecond, time.Second}).Draw(rt, "prepare")
		hasty := rapid.SampledFrom([]int{0, 0, 10}).Draw(rt, "hasty")
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		dead := rapid.IntRange(0, 3).Draw(rt, "dead output")
		denied := rapid.SampledFrom([]string{"", "s-0", "k2"}).Draw(rt, "denied key")
		faults := inBubble(t, func(tb testing.TB) {
			w := newRelayWorld(tb, p, prepare, hasty)
			for i, tag := range []string{"all.x", "0.x", "all.y"} {
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
