package cloudwatch_test

import (
	"flag"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

var update = flag.Bool("update", false, "write the matrix's table anew")

// The clock of a cell, from its beginning. What goes wrong does so within the first production.
const (
	troubleBegins = 3 * time.Second
	troubleEnds   = 27 * time.Second
	produceFor    = 32 * time.Second
	produceAgain  = 4 * time.Second // when all is well again
)

// A trouble is a row of the matrix: what goes wrong.
type trouble struct {
	name      string
	faults    func(chance) cwfake.Faults // of calls; nil: none
	incidents []incident
	mended    time.Duration // when all is well again; 0: with the end of the first production
	spared    bool          // no Write may fail
	regroups  bool          // a group is created anew, and has no retention for a moment
	apart     time.Duration // the clocks of a target's producers; 0: a moment
}

// An incident is something that happens once.
type incident struct {
	at time.Duration
	do func(*stage)
}

// A chance is what a cell's faults are chosen by.
type chance struct {
	start time.Time
	seed  uint64
}

// puts is a fault of that share of the puts in a time.
func (c chance) puts(from, to time.Duration, share float64, fault cwfake.Fault) cwfake.Faults {
	c.seed++
	in := cwfake.Window(c.start.Add(from), c.start.Add(to))
	return cwfake.On(cwfake.All(cwfake.Puts, in, cwfake.Share(share, c.seed^uint64(from)^hash(fault.String()))), fault)
}

func (c chance) throttles(from, to time.Duration) cwfake.Faults {
	return c.puts(from, to, 0.9, cwfake.Throttle())
}

func (c chance) resets(from, to time.Duration) cwfake.Faults {
	return cwfake.First(
		c.puts(from, to, 0.3, cwfake.ResetBefore()),
		c.puts(from, to, 0.4, cwfake.ResetAfter()),
		c.puts(from, to, 0.2, cwfake.TruncatedBody()),
	)
}

func (c chance) hangs(from, to time.Duration) cwfake.Faults {
	return cwfake.First(
		c.puts(from, to, 0.3, cwfake.HangBefore()),
		c.puts(from, to, 0.4, cwfake.HangAfter()),
	)
}

// storm lets one put in twenty through: what a share leaves is for those after it.
func (c chance) storm(from, to time.Duration) cwfake.Faults {
	return cwfake.First(
		c.puts(from, to, 0.25, cwfake.InternalError()),
		c.puts(from, to, 0.33, cwfake.Unavailable()),
		c.puts(from, to, 0.5, cwfake.BadGateway()),
		c.puts(from, to, 0.8, cwfake.EmptyOK()),
	)
}

// denials end long after the park limit.
const (
	deniedStream = "s07"
	deniedUntil  = 15 * time.Minute
)

// The first row is what the others are measured by.
const healthy = "none"

const denied = "one target of sixteen denied"

func troubles() []trouble {
	const from, to, middle = troubleBegins, troubleEnds, (troubleBegins + troubleEnds) / 2
	expiring := []incident{
		{4 * time.Second, func(s *stage) { s.rotate(1) }},
		{10 * time.Second, func(s *stage) { s.server.ExpireCredentials() }},
		{24 * time.Second, func(s *stage) { s.rotate(2) }},
	}
	return []trouble{
		{name: healthy, spared: true},
		{name: "producers a day apart", apart: 25 * time.Hour, spared: true},
		{name: "throttle storm", faults: func(c chance) cwfake.Faults { return c.throttles(from, to) }},
		{name: "throttle storm, answers cut", faults: func(c chance) cwfake.Faults {
			return c.puts(from, to, 0.9, cwfake.Cut(cwfake.Throttle()))
		}},
		{name: "resets", faults: func(c chance) cwfake.Faults { return c.resets(from, to) }},
		{name: "hangs", faults: func(c chance) cwfake.Faults { return c.hangs(from, to) }},
		{name: "5xx storm", faults: func(c chance) cwfake.Faults { return c.storm(from, to) }},
		{name: "credentials expiring", incidents: expiring},
		{name: "group deleted", incidents: []incident{
			{7 * time.Second, (*stage).deleteGroup}, // one put after the other needs 4 s to find all sixteen streams missing
			{14 * time.Second, (*stage).deleteGroup},
			{20 * time.Second, func(s *stage) { s.server.DeleteStream(s.target(deniedStream)) }},
			{24 * time.Second, (*stage).deleteGroup},
		}, spared: true, regroups: true},
		{name: denied, faults: func(c chance) cwfake.Faults {
			return cwfake.On(cwfake.All(isDenied, cwfake.Window(c.start.Add(from), c.start.Add(deniedUntil))), cwfake.Denied())
		}, mended: deniedUntil},
		{name: "throttle storm, then resets", faults: func(c chance) cwfake.Faults {
			return cwfake.First(c.throttles(from, middle), c.resets(middle, to))
		}},
		{name: "producers a day apart, resets", apart: 25 * time.Hour, faults: func(c chance) cwfake.Faults {
			return c.resets(from, middle)
		}},
		{name: "hangs, credentials expiring", faults: func(c chance) cwfake.Faults { return c.hangs(from, to) }, incidents: expiring},
		{name: "throttles and resets, group deleted", faults: func(c chance) cwfake.Faults {
			return cwfake.First(c.puts(from, to, 0.2, cwfake.Throttle()), c.resets(from, to))
		}, incidents: []incident{{4 * time.Second, (*stage).deleteGroup}, {20 * time.Second, (*stage).deleteGroup}}, regroups: true},
	}
}

func isDenied(c cwfake.Call) bool { return c.Target.Stream == deniedStream }

// hash is FNV-1a, for seeds.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// A cell is one place in the matrix.
type cell struct {
	trouble
	keepalive bool
	scheduler string
}

const (
	bySync       = "sync"
	byKey        = "keyed"
	byConcurrent = "concurrent"
)

func (c cell) String() string {
	return c.name + "/keepalive " + onOff(c.keepalive) + "/" + c.scheduler
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func cells() []cell {
	var all []cell
	for _, tr := range troubles() {
		for _, keepalive := range []bool{true, false} {
			for _, scheduler := range []string{bySync, byKey, byConcurrent} {
				all = append(all, cell{tr, keepalive, scheduler})
			}
		}
	}
	return all
}

func (c cell) newScheduler(limits engine.BatchLimits) engine.Scheduler {
	switch c.scheduler {
	case bySync:
		return schedule.NewSync(limits)
	case byKey:
		return schedule.NewKeyed(limits, schedule.NewAdaptive(1, targets))
	}
	return schedule.NewConcurrent(limits, schedule.Fixed(targets))
}

// Whatever goes wrong, every record is delivered or a dead letter with its reason, in order where order is promised, twice
// only where a success was hidden; and in the end nothing is held, open or running.
func TestFaultMatrix(t *testing.T) {
	keys := newKeychain(t)
	var mu sync.Mutex
	outcomes := map[string]*outcome{}
	t.Run("cells", func(t *testing.T) {
		for i, c := range cells() {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := run(t, c, keys.profile(t, i), uint64(i))
					mu.Lock()
					defer mu.Unlock()
					outcomes[c.String()] = o
				})
			})
		}
	})
	if len(outcomes) != len(cells()) { // -run chose some, or some failed
		return
	}
	compareDenied(t, outcomes)
	compareTable(t, outcomes)
}

// compareDenied looks whether the other fifteen targets felt the one that was denied.
func compareDenied(t *testing.T, outcomes map[string]*outcome) {
	for _, c := range cells() {
		if c.name != denied {
			continue
		}
		with := outcomes[c.String()].others
		c.trouble = trouble{name: healthy}
		without := outcomes[c.String()].others
		if with.puts < without.puts*95/100 {
			t.Errorf("%v: the other fifteen were flushed %d times, and %d times without the denied one", c, with.puts, without.puts)
		}
		if with.slowest > without.slowest+callTime*targets {
			t.Errorf("%v: a record of the other fifteen took %v, and %v without the denied one", c, with.slowest, without.slowest)
		}
	}
}
