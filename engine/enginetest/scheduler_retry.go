package enginetest

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// halve cuts a batch of one span in two, as a bisecting delivery loop does.
func halve(b *engine.Batch) (head, tail *engine.Batch) {
	first := b.Spans[0]
	second := first.Split(first.Records.Len() / 2)
	return engine.NewBatch(first), engine.NewBatch(second)
}

// schedulerRetryCases say what becomes of what comes back.
var schedulerRetryCases = []schedulerCase{
	{name: "a retry is the very same batch, when it is due", run: func(b *schedulerBench) {
		b.add("a", 4, isUrgent)
		first := b.flies("a: 1[0:4]")
		b.fails(first, 300*time.Millisecond)
		b.counts(1, 0)
		b.waits(300 * time.Millisecond)
		b.pass(300 * time.Millisecond)
		if again := b.flies("a: 1[0:4]"); again != first {
			b.t.Fatal("the retry is another batch")
		}
		b.counts(0, 1)
	}},
	{name: "a batch that backs off holds up its key", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.add("a", 10, arrivedAgo(time.Hour))
		b.waits(time.Minute)
		b.add("a", 10, isUrgent)
		b.waits(time.Minute)
		b.pass(time.Minute)
		b.flows("a: 1[0:10]", "a: 2[0:10]", "a: 3[0:10]")
	}},
	{name: "a batch that backs off holds up no other key", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.add("b", 20)
		b.flows("b: 2[0:10]", "b: 2[10:20]")
		b.waits(time.Minute)
	}},
	{name: "a batch that backs off does not hold up its key", order: givesUpOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.add("a", 11)
		b.flows("a: 2[0:10]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[10:11]")
		b.waits(59 * time.Second)
		b.pass(59 * time.Second)
		b.flows("a: 1[0:10]")
	}},
	{name: "rests are due each at its time", order: givesUpOrder, run: func(b *schedulerBench) {
		for range 3 {
			b.add("a", 10)
		}
		b.fails(b.flies("a: 1[0:10]"), 3*time.Second)
		b.fails(b.flies("a: 2[0:10]"), 1*time.Second)
		b.fails(b.flies("a: 3[0:10]"), 2*time.Second)
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[0:10]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 3[0:10]")
		b.waits(time.Second)
	}},
	{name: "a rest that may go at once is next of its key", run: func(b *schedulerBench) {
		b.add("a", 20)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.counts(3, 0)
		b.flows("a: 1[0:5]", "a: 1[5:10]", "a: 1[10:20]")
		b.rests()
	}},
	{name: "a rest that is due goes before what waits", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Second)
		b.pass(time.Second)
		b.add("a", 20)
		b.flows("a: 1[0:10]", "a: 2[0:10]", "a: 2[10:20]")
	}},
	{name: "what is bisected keeps order", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 18)
		for _, want := range []string{"a: 1[0:10]", "a: 1[0:5]"} {
			whole := b.flies(want)
			head, tail := halve(whole)
			middle, tail := halve(tail)
			b.back(whole, engine.Result{Rest: []*engine.Batch{head, middle, tail}})
		}
		b.flows("a: 1[0:2]", "a: 1[2:3]", "a: 1[3:5]", "a: 1[5:7]", "a: 1[7:10]")
		b.pass(time.Second)
		b.flows("a: 1[10:18]")
	}},
	{name: "a later rest waits for an earlier one", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		head.NotBefore = b.in(time.Minute)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.waits(time.Minute)
		b.pass(time.Minute)
		b.fails(b.flies("a: 1[0:5]"), time.Second)
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 1[0:5]", "a: 1[5:10]")
	}},
	{name: "a rest that may go at once keeps its place by age among the keys", run: func(b *schedulerBench) {
		b.add("a", 10, arrivedAgo(time.Second))
		b.add("b", 10)
		first := b.flies("a: 1[0:10]")
		b.back(first, engine.Result{Rest: []*engine.Batch{first}})
		b.flows("a: 1[0:10]", "b: 2[0:10]")
	}},
	{name: "a rest that backs off has its place by when it fell due", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Second)
		b.pass(999 * time.Millisecond)
		b.add("b", 10)
		b.pass(2 * time.Millisecond)
		b.add("c", 10)
		b.flows("b: 2[0:10]", "a: 1[0:10]", "c: 3[0:10]")
	}},
	{name: "keys that fail for ever take turns with the others", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.add("b", 10)
		b.add("c", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		hung := b.flies("b: 2[0:10]")
		b.pass(2 * time.Minute)
		b.fails(hung, time.Second)
		b.flows("c: 3[0:10]")
	}},
	{name: "batches that fail for ever take turns with the others of their key", order: givesUpOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		hung := b.flies("a: 1[10:20]")
		b.add("a", 10)
		b.pass(2 * time.Minute)
		b.fails(hung, time.Second)
		b.flows("a: 2[0:10]", "a: 1[0:10]")
	}},
	{name: "while the output cools nothing flies", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		first.NotBefore = b.in(5 * time.Second)
		b.back(first, engine.Result{Rest: []*engine.Batch{first}, Cool: b.in(10 * time.Second), Pushback: true})
		b.add("b", 10)
		b.waits(10 * time.Second)
		b.pass(10 * time.Second)
		b.flows("b: 2[0:10]", "a: 1[0:10]")
	}},
	{name: "the wait is for what is later, the end of the cooling or the retry", run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		first.NotBefore = b.in(20 * time.Second)
		b.back(first, engine.Result{Rest: []*engine.Batch{first}, Cool: b.in(10 * time.Second)})
		b.waits(20 * time.Second)
	}},
	{name: "what becomes ready while the output cools waits for the end of that", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.back(b.flies("a: 1[0:10]"), engine.Result{Cool: b.in(10 * time.Second)})
		b.add("a", 1)
		b.waits(10 * time.Second)
	}},
	{name: "a cooled output with nothing waiting has nothing to wait for", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.back(b.flies("a: 1[0:10]"), engine.Result{Cool: b.in(10 * time.Second)})
		b.rests()
	}},
	{name: "a cooling is never cut short", slots: 3, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.add("b", 10)
		b.add("c", 10)
		x, y, z := b.flies("a: 1[0:10]"), b.flies("b: 2[0:10]"), b.flies("c: 3[0:10]")
		b.add("d", 10)
		b.back(x, engine.Result{Cool: b.in(10 * time.Second)})
		b.back(y, engine.Result{Cool: b.in(5 * time.Second)})
		b.back(z, engine.Result{})
		b.waits(10 * time.Second)
	}},
}
