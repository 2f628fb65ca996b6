package enginetest

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// schedulerStandingCases say what becomes of a batch that stands by: it flies, or it is given back.
var schedulerStandingCases = []schedulerCase{
	{name: "what stands by flies after the one before it", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 25)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.counts(1, 1)
		b.done(first)
		b.counts(1, 0)
		b.launches(second)
		b.counts(1, 1)
		b.done(second)
		b.counts(1, 0)
		b.waits(time.Second)
	}},
	{name: "what stands by holds the place of its key", order: keepsOrder, slots: 3, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.add("a", 10, isUrgent, arrivedAgo(time.Minute))
		b.rests()
		b.counts(1, 1)
		b.done(first)
		b.rests()
		b.launches(second)
		b.rests()
		b.done(second)
		b.flows("a: 2[0:10]")
	}},
	{name: "what stands by holds the place of another key", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("b", 20)
		second := b.follows(first, "b: 2[0:10]")
		b.add("b", 10)
		b.done(first)
		b.rests()
		b.launches(second)
		b.rests()
		b.done(second)
		b.flows("b: 2[10:20]", "b: 3[0:10]")
	}},
	{name: "what stands by is neither evicted nor taken", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 23)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.evicts("a: 1[20:23]")
		b.evictsNone()
		b.add("a", 3)
		b.takes("a", "2[0:3]")
		b.takes("a", "")
		b.counts(0, 1)
		b.done(first)
		b.launches(second)
		b.done(second)
		b.rests()
	}},
	{name: "what is given back waits in its old place", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 7)
		b.add("a", 7)
		second := b.follows(first, "a: 2[0:7] 3[0:3]")
		b.add("a", 6)
		b.counts(2, 1)
		b.putsBack(second)
		b.counts(4, 1)
		b.rests()
		b.done(first)
		again := b.flies("a: 2[0:7] 3[0:3]")
		if again == second || again.Attempt != 0 || !again.First.IsZero() {
			b.t.Fatalf("attempt %d, first at %v", again.Attempt, again.First)
		}
		b.done(again)
		b.flows("a: 3[3:7] 4[0:6]")
		b.rests()
	}},
	{name: "what is given back may follow again", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		b.putsBack(b.follows(first, "a: 1[10:20]"))
		second := b.follows(first, "a: 1[10:20]")
		b.done(first)
		b.launches(second)
	}},
	{name: "what another key gives back flies in its turn", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("b", 10)
		second := b.follows(first, "b: 2[0:10]")
		b.add("c", 10, arrivedAgo(time.Millisecond))
		b.putsBack(second)
		b.fails(first, time.Minute)
		b.flows("c: 3[0:10]", "b: 2[0:10]")
		b.waits(time.Minute)
	}},
	{name: "what is given back lingers by its own age", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1, weighing(700))
		b.pass(100 * time.Millisecond)
		b.add("a", 1, weighing(700))
		second := b.follows(first, "a: 2[0:1]")
		b.evicts("a: 3[0:1]")
		b.pass(200 * time.Millisecond)
		b.putsBack(second)
		b.done(first)
		b.waits(700 * time.Millisecond)
		b.pass(700 * time.Millisecond)
		b.flows("a: 2[0:1]")
	}},
	{name: "what is given back is as urgent as it was", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1, weighing(700), isUrgent)
		b.add("a", 1, weighing(700))
		second := b.follows(first, "a: 2[0:1]")
		b.evicts("a: 3[0:1]")
		b.putsBack(second)
		b.done(first)
		b.flows("a: 2[0:1]")
	}},
	{name: "what is given back after a drain does not linger", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1, weighing(700))
		b.add("a", 1, weighing(700))
		second := b.follows(first, "a: 2[0:1]")
		b.takes("a", "3[0:1]")
		b.Drain(b.now)
		b.putsBack(second)
		b.done(first)
		b.flows("a: 2[0:1]")
	}},
	{name: "what is given back first goes behind the rest of the one before it", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.add("a", 10)
		head, tail := halve(first)
		head.NotBefore = b.in(time.Second)
		b.putsBack(second)
		b.back(first, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 1[0:5]", "a: 1[5:10]", "a: 1[10:20]", "a: 2[0:10]")
	}},
	{name: "what is given back first goes behind what was not tried of the one before it", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.add("a", 6)
		b.putsBack(second)
		b.givesBack(first, 6)
		b.counts(3, 0)
		b.flows("a: 1[6:10] 1[10:16]", "a: 1[16:20] 2[0:6]")
		b.rests()
	}},
	{name: "a key that gives back still waits out what was evicted", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 20)
		b.fails(b.flies("b: 1[0:10]"), time.Minute)
		b.evicts("b: 1[0:10]")
		b.pass(time.Minute)
		b.add("a", 10, arrivedAgo(time.Hour))
		first := b.flies("a: 2[0:10]")
		b.putsBack(b.follows(first, "b: 1[10:20]"))
		b.fails(first, time.Hour)
		b.add("c", 10, arrivedAgo(time.Second)) // b is older, but fell due only now
		b.flows("c: 3[0:10]")
		if got := b.flies("b: 1[10:20]").Attempt; got != 1 {
			b.t.Errorf("attempt %d goes before, want the evicted one's, 1", got)
		}
	}},
	{name: "what stands by knows of the attempts of what was evicted", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 20)
		b.fails(b.flies("b: 1[0:10]"), time.Minute)
		b.evicts("b: 1[0:10]")
		b.pass(time.Minute)
		b.add("a", 10, arrivedAgo(time.Hour))
		first := b.flies("a: 2[0:10]")
		second := b.follows(first, "b: 1[10:20]")
		b.done(first)
		b.launches(second)
		if got := second.Attempt; got != 1 {
			b.t.Errorf("attempt %d goes before, want the evicted one's, 1", got)
		}
	}},
	{name: "after one that was delivered attempts count anew", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 30)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.evicts("a: 1[0:10]")
		b.pass(time.Minute)
		first := b.flies("a: 1[10:20]")
		second := b.follows(first, "a: 1[20:30]")
		b.done(first)
		b.launches(second)
		if got := second.Attempt; got != 0 {
			b.t.Errorf("attempt %d goes before, want none: what was delivered since forgot them", got)
		}
	}},
	{name: "what stands by does not fly while the output cools", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.back(first, engine.Result{Cool: b.in(10 * time.Second)})
		b.launchesNot(second)
		b.counts(0, 0)
		b.putsBack(second)
		b.counts(1, 0)
		b.waits(10 * time.Second)
		b.pass(10 * time.Second)
		b.flows("a: 1[10:20]")
		b.rests()
	}},
	{name: "what stands by does not fly while its key does", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		second := b.follows(first, "a: 1[10:20]")
		b.launchesNot(second)
		b.counts(0, 1)
		b.done(first)
		b.launches(second)
	}},
	{name: "what stands by flies in whichever slot comes free", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.add("b", 10)
		b.add("c", 10)
		first, other := b.flies("a: 1[0:10]"), b.flies("b: 2[0:10]")
		second := b.follows(first, "c: 3[0:10]")
		b.launchesNot(second)
		b.done(other)
		b.launches(second)
		b.counts(0, 2)
	}},
}
