package enginetest

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// schedulerUrgentCases say what need not linger.
var schedulerUrgentCases = []schedulerCase{
	{name: "an urgent span flies at once, with what is before it", run: func(b *schedulerBench) {
		b.add("a", 2)
		b.add("b", 2)
		b.add("a", 2, isUrgent)
		b.flows("a: 1[0:2] 3[0:2]")
		b.add("a", 2)
		b.waits(time.Second)
	}},
	{name: "urgent may need several batches, and what came later lingers", run: func(b *schedulerBench) {
		b.add("a", 8)
		b.add("a", 8, isUrgent)
		b.add("a", 6)
		b.flows("a: 1[0:8] 2[0:2]", "a: 2[2:8] 3[0:4]")
		b.waits(time.Second)
	}},
	{name: "what comes from an urgent stream is urgent", run: func(b *schedulerBench) {
		b.add("a", 2, ofStream(&engine.Stream{ID: "other"}))
		b.stream.SetUrgent(true)
		b.add("a", 2)
		b.flows("a: 1[0:2] 2[0:2]")
		b.stream.SetUrgent(false)
		b.add("a", 2)
		b.waits(time.Second)
	}},
	{name: "a hurried stream flies under all its keys", run: func(b *schedulerBench) {
		other := &engine.Stream{ID: "other"}
		b.add("a", 1, ofStream(other))
		b.add("b", 1)
		b.add("c", 1, ofStream(other))
		b.add("a", 1)
		b.add("a", 1, ofStream(other))
		b.Hurry(b.now, b.stream)
		b.flows("a: 1[0:1] 4[0:1] 5[0:1]", "b: 2[0:1]")
		b.waits(time.Second)
		b.add("b", 1)
		b.waits(time.Second)
		b.Hurry(b.now, other)
		b.flows("c: 3[0:1]")
		b.waits(time.Second)
	}},
	{name: "a hurried stream flies whichever stream stands last", run: func(b *schedulerBench) {
		other := &engine.Stream{ID: "other"}
		b.add("a", 8)
		b.add("a", 1, ofStream(other))
		b.Hurry(b.now, b.stream)
		b.flows("a: 1[0:8] 2[0:1]")
		b.add("a", 1)
		b.add("a", 1, ofStream(other))
		b.add("a", 1)
		b.add("a", 1, ofStream(other))
		b.Hurry(b.now, other)
		b.flows("a: 3[0:1] 4[0:1] 5[0:1] 6[0:1]")
	}},
	{name: "hurrying a stream that has nothing waiting changes nothing", run: func(b *schedulerBench) {
		b.add("a", 1)
		b.Hurry(b.now, &engine.Stream{ID: "other"})
		b.waits(time.Second)
		b.Hurry(b.now, b.stream)
		b.flows("a: 1[0:1]")
		b.Hurry(b.now, b.stream)
		b.add("a", 1)
		b.waits(time.Second)
	}},
	{name: "a hurried stream flies though some of it is gone", run: func(b *schedulerBench) {
		for range 3 {
			b.add("a", 4)
			b.pass(1)
		}
		b.flows("a: 1[0:4] 2[0:4] 3[0:2]")
		b.add("a", 4)
		b.evicts("a: 3[2:4]")
		b.Hurry(b.now, b.stream)
		b.flows("a: 4[0:4]")
		b.rests()
	}},
	{name: "what is hurried behind a flight goes when that is back", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1)
		b.Hurry(b.now, b.stream)
		b.rests()
		b.done(first)
		b.flows("a: 2[0:1]")
	}},
	{name: "drain ends lingering, for good", run: func(b *schedulerBench) {
		b.add("a", 1)
		b.add("b", 1)
		b.Drain(b.now)
		b.flows("a: 1[0:1]", "b: 2[0:1]")
		b.add("a", 1)
		b.flows("a: 3[0:1]")
		b.rests()
	}},
	{name: "drain ends backing off", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.add("b", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.fails(b.flies("b: 2[0:10]"), time.Hour)
		b.waits(time.Minute)
		b.Drain(b.now)
		// What fails after the drain is due when it says.
		b.fails(b.flies("a: 1[0:10]"), time.Second)
		b.flows("b: 2[0:10]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 1[0:10]")
	}},
	{name: "drain ends backing off also behind a flight", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		tail.NotBefore = b.in(time.Minute)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.flies("a: 1[0:5]")
		b.Drain(b.now)
		b.done(head)
		b.flows("a: 1[5:10]")
	}},
	{name: "drain ends backing off within a key", order: givesUpOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.fails(b.flies("a: 1[10:20]"), time.Hour)
		b.Drain(b.now)
		again, _ := b.Next(b.now)
		b.fails(again, time.Second)
		if last, _ := b.Next(b.now); last == nil || last == again {
			b.t.Fatal("what fails again holds up what waited")
		}
	}},
	{name: "drain ends cooling", run: func(b *schedulerBench) {
		b.add("a", 10)
		b.back(b.flies("a: 1[0:10]"), engine.Result{Cool: b.in(time.Minute)})
		b.add("a", 10)
		b.waits(time.Minute)
		b.Drain(b.now)
		b.back(b.flies("a: 2[0:10]"), engine.Result{Cool: b.in(time.Second)})
		b.add("a", 10)
		b.waits(time.Second)
	}},
}
