package enginetest

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// schedulerBackCases say what becomes of what flew and was not tried.
var schedulerBackCases = []schedulerCase{
	{name: "what was not tried goes first into the next batch, with what follows it", run: func(b *schedulerBench) {
		b.add("a", 6)
		b.add("a", 14)
		first := b.flies("a: 1[0:6] 2[0:4]")
		b.counts(1, 1)
		b.givesBack(first, 3)
		b.counts(3, 0)
		b.flows("a: 1[3:6] 2[0:4] 2[4:7]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[7:14]")
		b.rests()
	}},
	{name: "what was not tried is another batch, and attempted anew", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		first.Attempt, first.First = 1, b.now
		b.givesBack(first, 2)
		b.pass(time.Second)
		if again := b.flies("a: 1[2:10]"); again == first || again.Attempt != 0 || !again.First.IsZero() {
			b.t.Fatalf("attempt %d, first at %v", again.Attempt, again.First)
		}
	}},
	{name: "pieces that were not tried keep their order", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		head, tail := halve(first)
		middle, _ := halve(tail)
		b.back(first, engine.Result{Back: []engine.Span{head.Spans[0], middle.Spans[0]}})
		b.add("a", 3)
		b.flows("a: 1[0:5] 1[5:7] 2[0:3]")
	}},
	{name: "what was not tried lingers by its own age", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.pass(600 * time.Millisecond)
		first := b.flies("a: 1[0:10]")
		b.add("a", 3)
		b.givesBack(first, 5)
		b.waits(400 * time.Millisecond)
		b.pass(400 * time.Millisecond)
		b.flows("a: 1[5:10] 2[0:3]")
		b.rests()
	}},
	{name: "what was not tried is full with what waits", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 4)
		b.givesBack(first, 4)
		b.flows("a: 1[4:10] 2[0:4]")
	}},
	{name: "what waits keeps its age behind what was not tried", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1, arrivedAgo(500*time.Millisecond))
		b.add("a", 1, arrivedAgo(800*time.Millisecond))
		b.givesBack(first, 9)
		b.waits(200 * time.Millisecond)
		b.evicts("a: 1[9:10]")
		b.evicts("a: 2[0:1]")
		b.waits(200 * time.Millisecond)
		b.evicts("a: 3[0:1]")
		b.rests()
	}},
	{name: "what was not tried is as urgent as it was", run: func(b *schedulerBench) {
		b.add("a", 3)
		b.add("a", 3, isUrgent)
		first := b.flies("a: 1[0:3] 2[0:3]")
		b.add("a", 3)
		b.givesBack(first, 1)
		b.flows("a: 1[1:3] 2[0:3] 3[0:3]")
		b.add("a", 3)
		b.waits(time.Second)
	}},
	{name: "what is behind what was not tried is as urgent as it was", run: func(b *schedulerBench) {
		b.add("a", 10, isUrgent)
		first := b.flies("a: 1[0:10]")
		b.add("a", 8, isUrgent)
		b.givesBack(first, 2)
		b.flows("a: 1[2:10] 2[0:2]", "a: 2[2:8]")
		b.rests()
	}},
	{name: "what was not tried lingers again once the urgent of it is gone", run: func(b *schedulerBench) {
		b.add("a", 3, isUrgent)
		b.add("a", 3)
		first := b.flies("a: 1[0:3] 2[0:3]")
		b.givesBack(first, 3)
		b.waits(time.Second)
		b.Hurry(b.now, b.stream)
		b.flows("a: 2[0:3]")
		b.rests()
	}},
	{name: "what was not tried lingers though it is in more pieces than it was", run: func(b *schedulerBench) {
		b.add("a", 1, isUrgent)
		b.flows("a: 1[0:1]")
		b.add("a", 10)
		first := b.flies("a: 2[0:10]")
		b.add("a", 1)
		head, tail := halve(first)
		one, two := halve(head)
		three, _ := halve(tail)
		b.back(first, engine.Result{Back: []engine.Span{one.Spans[0], two.Spans[0], three.Spans[0]}})
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[0:2] 2[2:5] 2[5:7] 3[0:1]")
	}},
	{name: "what was not tried lingers before what lingers", run: func(b *schedulerBench) {
		other := &engine.Stream{ID: "other"}
		b.add("a", 1, isUrgent)
		b.add("a", 8, ofStream(other))
		first := b.flies("a: 1[0:1] 2[0:8]")
		b.add("a", 1)
		b.givesBack(first, 2)
		b.waits(time.Second)
		b.Hurry(b.now, other)
		b.flows("a: 2[1:8] 3[0:1]")
		b.add("a", 1, ofStream(other))
		b.waits(time.Second)
	}},
	{name: "what was not tried is hurried by what is behind it", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 2, isUrgent)
		b.givesBack(first, 8)
		b.flows("a: 1[8:10] 2[0:2]")
		b.rests()
	}},
	{name: "what was not tried is evicted and taken as what waits is", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1)
		b.givesBack(first, 4)
		b.evicts("a: 1[4:10]")
		b.givesBack(b.hurried("a: 2[0:1]"), 0)
		b.takes("a", "2[0:1]")
		b.counts(0, 0)
		b.rests()
	}},
	{name: "what was not tried is in no order with what backs off", order: givesUpOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 20)
		x, y := b.flies("a: 1[0:10]"), b.flies("a: 1[10:20]")
		b.fails(x, time.Minute)
		b.add("a", 5)
		b.givesBack(y, 5)
		b.flows("a: 1[15:20] 2[0:5]")
		b.waits(time.Minute)
		b.pass(time.Minute)
		b.flows("a: 1[0:10]")
	}},
	{name: "what was put down before it was tried waits until it is due", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		first.NotBefore = b.in(time.Second)
		b.back(first, engine.Result{Rest: []*engine.Batch{first}, Unflown: true})
		b.counts(1, 0)
		b.waits(time.Second)
		b.pass(time.Second)
		if again := b.flies("a: 1[0:10]"); again != first {
			b.t.Fatal("it is another batch")
		}
	}},
}
