package enginetest

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// schedulerFollowCases say which batch stands by while another flies. What becomes of it is for schedulerStandingCases.
var schedulerFollowCases = []schedulerCase{
	{name: "where keys have no order nothing follows", order: givesUpOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 40)
		x := b.flies("a: 1[0:10]")
		b.followsNone(x)
		y := b.flies("a: 1[10:20]")
		b.followsNone(y)
		b.done(x)
		b.flies("a: 1[20:30]")
	}},
	{name: "only a full batch follows", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.followsNone(first)
		b.add("a", 9, isUrgent)
		b.followsNone(first)
		b.pass(time.Minute)
		b.followsNone(first)
		b.counts(1, 1)
		b.add("a", 2)
		b.follows(first, "a: 2[0:9] 3[0:1]")
		b.counts(1, 1)
	}},
	{name: "a batch that is full by bytes follows", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1, weighing(700))
		b.followsNone(first)
		b.add("a", 1, weighing(700))
		b.follows(first, "a: 2[0:1]")
	}},
	{name: "without bounds nothing follows", order: keepsOrder, limits: noLimits, run: func(b *schedulerBench) {
		b.add("a", 1_000_000, weighing(1<<30))
		first := b.flies("a: 1[0:1000000]")
		b.add("a", 1_000_000, weighing(1<<30))
		b.followsNone(first)
	}},
	{name: "nothing follows before what came back", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.followsNone(b.flies("a: 1[0:5]"))
		b.done(head)
		b.follows(b.flies("a: 1[5:10]"), "a: 1[10:20]")
	}},
	{name: "nothing follows before what was evicted would be due", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		tail.NotBefore = b.in(time.Minute)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.flies("a: 1[0:5]")
		b.evicts("a: 1[5:10]")
		b.followsNone(head)
		b.pass(time.Minute)
		b.follows(head, "a: 1[10:20]")
	}},
	{name: "while the output cools nothing follows", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.add("b", 10)
		first, second := b.flies("a: 1[0:10]"), b.flies("b: 2[0:10]")
		b.back(second, engine.Result{Cool: b.in(10 * time.Second)})
		b.followsNone(first)
		b.pass(10*time.Second - 1)
		b.followsNone(first)
		b.pass(1)
		b.follows(first, "a: 1[10:20]")
	}},
	{name: "while there is a slot nothing of another key follows", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		b.add("b", 10, arrivedAgo(time.Minute))
		b.follows(first, "a: 1[10:20]")
		b.flies("b: 2[0:10]")
	}},
	{name: "the oldest key that is ready follows before a younger own one", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		b.add("b", 10, arrivedAgo(time.Millisecond))
		b.add("c", 10, arrivedAgo(time.Second))
		b.follows(first, "c: 3[0:10]")
	}},
	{name: "the own key follows before younger ones that are ready", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		first := b.flies("a: 1[0:10]")
		b.pass(time.Millisecond)
		b.add("b", 10)
		b.follows(first, "a: 1[10:20]")
	}},
	{name: "another key follows where the own one has nothing", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 19)
		first := b.flies("a: 1[0:10]")
		b.pass(time.Millisecond)
		b.add("b", 10)
		b.follows(first, "b: 2[0:10]")
	}},
	{name: "nothing follows where the oldest that is ready is not full", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 1)
		b.pass(time.Millisecond)
		b.add("a", 20)
		first := b.flies("a: 2[0:10]")
		b.add("c", 10)
		b.pass(999 * time.Millisecond) // b has lingered out
		b.followsNone(first)
		b.done(first)
		b.flows("b: 1[0:1]", "a: 2[10:20]", "c: 3[0:10]")
	}},
	{name: "what lingers lets younger ones follow", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 1)
		b.pass(time.Millisecond)
		b.add("a", 20)
		b.pass(998 * time.Millisecond)
		b.follows(b.flies("a: 2[0:10]"), "a: 2[10:20]")
	}},
	{name: "nothing follows where the oldest that is ready is tried again", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 20)
		b.fails(b.flies("b: 1[0:10]"), time.Second)
		b.pass(time.Millisecond)
		b.add("a", 10)
		first := b.flies("a: 2[0:10]")
		b.pass(time.Second)
		b.add("a", 10)
		b.add("c", 10)
		b.followsNone(first)
	}},
	{name: "what backs off lets younger ones follow", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("b", 10)
		b.fails(b.flies("b: 1[0:10]"), time.Second)
		b.add("a", 10)
		first := b.flies("a: 2[0:10]")
		b.add("c", 10)
		b.follows(first, "c: 3[0:10]")
	}},
	{name: "one of a key stands by", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 40)
		first := b.flies("a: 1[0:10]")
		b.follows(first, "a: 1[10:20]")
		b.followsNone(first)
		b.add("b", 10)
		b.followsNone(b.flies("b: 2[0:10]"))
	}},
	{name: "each of two that fly has its own", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.add("b", 20)
		x, y := b.flies("a: 1[0:10]"), b.flies("b: 2[0:10]")
		afterX := b.follows(x, "a: 1[10:20]")
		afterY := b.follows(y, "b: 2[10:20]")
		b.counts(0, 2)
		b.done(y)
		b.launches(afterY)
		b.done(x)
		b.launches(afterX)
		b.counts(0, 2)
	}},
	{name: "each of two that fly has another key's", order: keepsOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.add("b", 20)
		x, y := b.flies("a: 1[0:10]"), b.flies("b: 2[0:10]")
		b.add("c", 20, arrivedAgo(2*time.Second))
		b.add("d", 20, arrivedAgo(time.Second))
		b.follows(x, "c: 3[0:10]")
		b.follows(y, "d: 4[0:10]")
		b.counts(4, 2)
	}},
}
