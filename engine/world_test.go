package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// A world is an engine among fickle outputs, and what a simple model knows of it: what each producer had admitted.
type world struct {
	*rig
	plan      plan
	outputs   []*fickle // by their index; the last one takes the dead letters of those that have some
	producers []*producer
}

// A plan is what a world is made of.
type plan struct {
	outputs   []outputPlan
	limits    engine.Limits
	parkLimit time.Duration
	giveUp    time.Duration
	mute      bool // every wake-up is lost
	seed      uint64
}

type outputPlan struct {
	scheduler int // 0 sync, 1 keyed, 2 concurrent, 3 keyed and adaptive, 4 concurrent and adaptive
	keying    int
	slots     int
	batch     engine.BatchLimits
	letters   bool // it has dead letters
	drops     bool // drop_oldest
}

func (p outputPlan) make(f *fickle) engine.OutputOptions {
	o := engine.OutputOptions{Name: f.name, Output: f, Linger: p.batch.Linger}
	f.keying, f.slots = p.keying, p.slots
	switch p.scheduler {
	case 0:
		f.slots, f.ordered = 1, true
		o.Scheduler = schedule.NewSync(p.batch)
	case 1:
		f.ordered = true
		o.Scheduler = schedule.NewKeyed(p.batch, schedule.Fixed(p.slots))
	case 2:
		o.Scheduler = schedule.NewConcurrent(p.batch, schedule.Fixed(p.slots))
	case 3:
		f.ordered = true
		o.Scheduler = schedule.NewKeyed(p.batch, schedule.NewAdaptive(1, p.slots))
	default:
		o.Scheduler = schedule.NewConcurrent(p.batch, schedule.NewAdaptive(1, p.slots))
	}
	if p.letters {
		o.DeadLetter = "letters"
	}
	if p.drops {
		o.DropOldest, o.Share = true, 16*kib
	}
	return o
}

func newWorld(t testing.TB, p plan) *world {
	w := &world{plan: p}
	o := engine.Options{Limits: p.limits}
	var all []string
	for i, op := range p.outputs {
		f := newFickle(fmt.Sprint("out-", i), p.seed+uint64(i))
		w.outputs = append(w.outputs, f)
		oo := op.make(f)
		oo.ParkLimit, oo.Retry.GiveUpAfter = p.parkLimit, p.giveUp
		o.Outputs = append(o.Outputs, oo)
		o.Routes = append(o.Routes, engine.Route{Match: fmt.Sprint(i, ".**"), Outputs: []string{f.name}})
		all = append(all, f.name)
	}
	o.Routes = append(o.Routes, engine.Route{Match: "all.**", Outputs: all})
	letters := newFickle("letters", p.seed+99)
	letters.letters = true
	w.outputs = append(w.outputs, letters)
	o.Outputs = append(o.Outputs, outputPlan{scheduler: 1, slots: 2}.make(letters))
	start := engine.New
	if p.mute {
		start = engine.NewMute
		o.NewBuffer = newDeafBuffer
	}
	w.rig = startRig(t, o, start)
	return w
}

// check compares what the engine says with what the outputs have.
func (w *world) check() {
	w.t.Helper()
	for _, p := range w.producers {
		p.check()
	}
	if st := w.Stats(); st.Held > st.Ceiling || w.plan.limits.Streams > 0 && st.Streams > w.plan.limits.Streams {
		w.t.Errorf("the engine knows %d streams, and holds %d where its ceiling is %d", st.Streams, st.Held, st.Ceiling)
	}
	for _, f := range w.outputs {
		for _, wrong := range f.faults() {
			w.t.Errorf("%s", wrong)
		}
	}
}

// done reports whether an output is done with a record, and rightly so.
func (w *world) done(o origin, i int) bool {
	x := w.outputs[i].look(o)
	if x.taken {
		return true
	}
	if !w.mayRefuse(o, i, x) {
		return false
	}
	if !w.plan.outputs[i].letters {
		return true // it was dropped; the counts are compared at the end
	}
	o.from = w.outputs[i].name
	d := w.outputs[len(w.outputs)-1].look(o)
	return d.taken || d.refused || d.panics > 2
}

// mayRefuse reports whether there is a reason for the record to be lost to an output.
func (w *world) mayRefuse(o origin, i int, x fate) bool {
	parked := w.plan.outputs[i].letters && w.outputs[i].keyWasDenied(o)
	return x.refused || x.panics > 2 || parked || w.plan.giveUp > 0 && (x.failed || x.denied || x.panics > 0)
}

// keyWasDenied reports whether the record's key ever was.
func (f *fickle) keyWasDenied(o origin) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.denied[f.key(o)]
}

// wantAllDone checks that an output is done with all that was admitted for it; but for a key that it still denies.
func (w *world) wantAllDone(i int, but string) {
	w.t.Helper()
	f := w.outputs[i]
	missing := 0
	for _, p := range w.producers {
		for _, o := range p.admitted {
			if p.goesTo(i) && (but == "" || f.key(o) != but) && !w.plan.outputs[i].drops && !w.done(o, i) {
				if missing++; missing <= 5 {
					w.t.Errorf("output %d is not done with %v: %+v", i, o, f.look(o))
				}
			}
		}
	}
	if missing > 0 {
		w.t.Errorf("output %d is not done with %d records: %+v", i, missing, w.output(f.name))
	}
}

// wantCounts checks that the books of an output say what became of the records.
func (w *world) wantCounts(i int) {
	w.t.Helper()
	f := w.outputs[i]
	var admitted, taken int64
	for _, p := range w.producers {
		for _, o := range p.admitted {
			if !p.goesTo(i) {
				continue
			}
			admitted++
			if f.look(o).taken {
				taken++
			}
		}
	}
	var delivered, others int64
	for label, tally := range w.output(f.name).Done {
		if label.Result == "delivered" {
			delivered += tally.Records
		} else {
			others += tally.Records
		}
	}
	if delivered != taken || delivered+others != admitted {
		w.t.Errorf("output %d: %d delivered and %d otherwise done in the books; %d taken of %d in truth: %+v",
			i, delivered, others, taken, admitted, w.output(f.name).Done)
	}
}

// settle lets time pass until whatever can happen has. Where wake-ups are lost a record may need a look of its own.
func (w *world) settle() {
	if w.plan.mute {
		time.Sleep(3 * time.Hour)
	}
	time.Sleep(20 * time.Minute)
}

// end mends all outputs but one, and one key of another; then those. Nothing may be lost.
func (w *world) end(dead int, denied string) {
	for i, f := range w.outputs {
		switch {
		case i == dead && i < len(w.plan.outputs):
			f.feel(mood{down: true})
		case denied != "" && i < len(w.plan.outputs):
			f.feel(mood{denied: denied})
		default:
			f.feel(mood{})
		}
	}
	w.settle()
	w.check()
	for i := range w.plan.outputs {
		if i != dead {
			w.wantAllDone(i, denied)
		}
	}
	for _, f := range w.outputs {
		f.feel(mood{})
	}
	w.settle()
	w.check()
	for _, p := range w.producers {
		if p.retired {
			continue
		}
		if p.session == nil {
			p.connect(false)
		}
		if st := status(p.session); st.Held != 0 || st.Acked != p.next-1 || st.State != engine.StateActive {
			w.t.Errorf("%s at the end: %+v, want all of %d acked", p.id, st, p.next-1)
		}
	}
	w.finish()
	for i := range w.plan.outputs {
		w.wantAllDone(i, "")
		w.wantCounts(i)
		if st := w.output(w.outputs[i].name); st.Waiting != 0 || st.InFlight != 0 || st.Overdue != 0 {
			w.t.Errorf("output %d at the end: %+v", i, st)
		}
	}
	w.check()
}

// A step is one thing that happens to a world.
type step struct {
	kind, stream, output, count, again int
	flush                              bool
	wait                               time.Duration
	mood                               mood
}

func (w *world) do(s step) {
	p := w.producers[s.stream%len(w.producers)]
	switch s.kind {
	case 0, 1, 2, 3:
		p.send(s.count, s.again, s.flush)
	case 4:
		p.connect(false)
	case 5:
		p.connect(true)
	case 6:
		if p.session != nil {
			p.check()
			p.session.HalfClose()
			p.session = nil
		}
	case 7:
		w.outputs[s.output%len(w.outputs)].feel(s.mood)
	}
	time.Sleep(s.wait)
	w.check()
}
