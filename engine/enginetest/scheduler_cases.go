package enginetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
)

var schedulerCases = slices.Concat(
	schedulerBatchCases, schedulerLingerCases, schedulerUrgentCases,
	schedulerOrderCases, schedulerRetryCases, schedulerBackCases, schedulerRemovalCases,
	schedulerFollowCases, schedulerStandingCases,
)

var noLimits = &engine.BatchLimits{}

// schedulerBatchCases say what goes into a batch.
var schedulerBatchCases = []schedulerCase{
	{name: "nothing waits", run: func(b *schedulerBench) {
		b.rests()
		b.counts(0, 0)
	}},
	{name: "a batch that is full by count flies at once", run: func(b *schedulerBench) {
		b.add("a", 4)
		b.waits(time.Second)
		b.add("a", 6)
		b.counts(2, 0)
		batch := b.flies("a: 1[0:4] 2[0:6]")
		b.counts(0, 1)
		if batch.Records != 10 || batch.Bytes != 100 || !batch.Arrived.Equal(b.now) {
			b.t.Fatalf("the batch says %d records, %d bytes, arrived %v", batch.Records, batch.Bytes, batch.Arrived)
		}
		b.rests()
		b.done(batch)
		b.counts(0, 0)
		b.rests()
	}},
	{name: "a batch that is full by bytes flies at once", run: func(b *schedulerBench) {
		b.add("a", 1, weighing(600))
		b.waits(time.Second)
		b.add("a", 1, weighing(400))
		b.flows("a: 1[0:1] 2[0:1]")
		b.rests()
	}},
	{name: "batches hold one key", run: func(b *schedulerBench) {
		b.add("a", 5)
		b.add("b", 5)
		b.add("a", 5)
		b.flows("a: 1[0:5] 3[0:5]")
		b.waits(time.Second)
	}},
	{name: "a span is split to fill a batch by count", run: func(b *schedulerBench) {
		b.add("a", 7)
		b.add("a", 7)
		b.flows("a: 1[0:7] 2[0:3]")
		b.counts(1, 0)
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[3:7]")
		b.rests()
	}},
	{name: "a span goes into as many batches as it needs", run: func(b *schedulerBench) {
		b.add("a", 25)
		b.flows("a: 1[0:10]", "a: 1[10:20]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 1[20:25]")
	}},
	{name: "a listed selection is split too", run: func(b *schedulerBench) {
		b.add("a", 12, func(s *engine.Span) {
			list := make([]uint32, 12)
			for i := range list {
				list[i] = uint32(100 + i)
			}
			s.Records = engine.SelectList(list)
		})
		b.flows("a: 1[100:110]")
		b.pass(time.Second)
		b.flows("a: 1[110:112]")
	}},
	{name: "whole spans are preferred by bytes", run: func(b *schedulerBench) {
		b.add("a", 2, weighing(700))
		b.add("a", 2, weighing(700))
		b.flows("a: 1[0:2]")
		b.waits(time.Second)
		b.pass(time.Second)
		b.flows("a: 2[0:2]")
	}},
	{name: "a span that does not fit is split by its average record", run: func(b *schedulerBench) {
		b.add("a", 5, weighing(500))
		b.add("a", 20, weighing(4000))
		b.flows("a: 1[0:5] 2[0:2]", "a: 2[2:7]", "a: 2[7:12]", "a: 2[12:17]")
		b.pass(time.Second)
		b.flows("a: 2[17:20]")
		b.rests()
	}},
	{name: "a span of too many bytes is split by its average record", run: func(b *schedulerBench) {
		b.add("a", 10, weighing(2500))
		b.flows("a: 1[0:4]", "a: 1[4:8]")
		b.waits(time.Second)
	}},
	{name: "one record goes however large it is", run: func(b *schedulerBench) {
		b.add("a", 2, weighing(9000))
		b.add("a", 1, weighing(5000))
		b.flows("a: 1[0:1]", "a: 1[1:2]", "a: 2[0:1]")
		b.rests()
	}},
	{name: "without bounds all that waits is a batch", limits: noLimits, run: func(b *schedulerBench) {
		b.add("a", 1_000_000, weighing(1<<30))
		b.add("a", 1_000_000, weighing(1<<30))
		b.flows("a: 1[0:1000000] 2[0:1000000]")
		b.rests()
	}},
}

// schedulerLingerCases say when a batch that is not full flies.
var schedulerLingerCases = []schedulerCase{
	{name: "linger runs from the arrival of the oldest record", run: func(b *schedulerBench) {
		b.add("a", 1, arrivedAgo(300*time.Millisecond))
		b.waits(700 * time.Millisecond)
		b.pass(200 * time.Millisecond)
		b.add("a", 1)
		b.waits(500 * time.Millisecond)
		b.pass(500*time.Millisecond - 1)
		b.waits(1)
		b.pass(1)
		b.flows("a: 1[0:1] 2[0:1]")
	}},
	{name: "the oldest record need not be the first in line", run: func(b *schedulerBench) {
		b.add("a", 1)
		b.add("a", 1, arrivedAgo(400*time.Millisecond))
		b.add("a", 1, arrivedAgo(200*time.Millisecond))
		b.add("b", 1, arrivedAgo(100*time.Millisecond))
		b.waits(600 * time.Millisecond)
		b.pass(600 * time.Millisecond)
		b.flows("a: 1[0:1] 2[0:1] 3[0:1]")
		b.waits(300 * time.Millisecond)
	}},
	{name: "an overdue span far back in line hurries all before it", run: func(b *schedulerBench) {
		b.add("a", 9)
		b.add("a", 9)
		b.add("a", 9, arrivedAgo(time.Minute))
		b.add("a", 6)
		b.flows("a: 1[0:9] 2[0:1]", "a: 2[1:9] 3[0:2]", "a: 3[2:9] 4[0:3]")
		b.waits(time.Second)
	}},
	{name: "the wait is for whichever key lingers out first", run: func(b *schedulerBench) {
		b.add("a", 1)
		b.add("b", 1, arrivedAgo(500*time.Millisecond))
		b.add("c", 1, arrivedAgo(200*time.Millisecond))
		b.waits(500 * time.Millisecond)
		b.pass(time.Second)
		b.flows("b: 2[0:1]", "c: 3[0:1]", "a: 1[0:1]")
	}},
	{
		name: "a batch pins no more than it may, but for one chunk", limits: &engine.BatchLimits{MaxPinned: 100, Linger: time.Second},
		run: func(b *schedulerBench) {
			b.add("a", 1, pinning(60))
			b.waits(time.Second)
			b.add("a", 2, pinning(50))
			b.add("a", 3, pinning(50))
			b.add("a", 1, pinning(300))
			b.flows("a: 1[0:1]", "a: 2[0:2] 3[0:3]", "a: 4[0:1]")
			b.rests()
		},
	},
	{name: "without linger all flies at once", limits: &engine.BatchLimits{MaxRecords: 10}, run: func(b *schedulerBench) {
		b.add("a", 1)
		b.flows("a: 1[0:1]")
		b.add("a", 1)
		b.add("a", 1)
		b.flows("a: 2[0:1] 3[0:1]")
		b.Hurry(b.now, b.stream)
		b.rests()
	}},
	{name: "linger runs while another batch flies", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 1)
		b.pass(1500 * time.Millisecond)
		b.rests()
		b.done(first)
		b.flows("a: 2[0:1]")
	}},
	{name: "at the return of a batch a full one goes at once", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		first := b.flies("a: 1[0:10]")
		b.add("a", 10)
		b.rests()
		b.done(first)
		b.flows("a: 2[0:10]")
	}},
	{name: "there is no such thing as one batch per interval", run: func(b *schedulerBench) {
		for range 50 {
			b.add("a", 3)
		}
		for range 15 {
			batch, _ := b.Next(b.now)
			if batch == nil || batch.Records != 10 {
				b.t.Fatalf("no full batch flies")
			}
			b.done(batch)
		}
		b.rests()
	}},
	{name: "what is left of a full batch lingers by its own age", run: func(b *schedulerBench) {
		b.add("a", 8)
		b.pass(600 * time.Millisecond)
		b.add("a", 4)
		b.flows("a: 1[0:8] 2[0:2]")
		b.waits(time.Second)
	}},
}

// schedulerOrderCases say which batch flies, and how many.
var schedulerOrderCases = []schedulerCase{
	{name: "the oldest key flies first", run: func(b *schedulerBench) {
		b.add("c", 10)
		b.add("b", 10, arrivedAgo(time.Millisecond))
		b.add("a", 10)
		b.flows("b: 2[0:10]", "c: 1[0:10]", "a: 3[0:10]")
	}},
	{name: "the oldest key is the one with the oldest record", run: func(b *schedulerBench) {
		b.add("a", 10, arrivedAgo(time.Millisecond))
		b.add("b", 5)
		b.add("b", 5, arrivedAgo(time.Minute))
		b.flows("b: 2[0:5] 3[0:5]", "a: 1[0:10]")
	}},
	{name: "one of a key flies at a time", order: keepsOrder, slots: 3, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.add("b", 10)
		first := b.flies("a: 1[0:10]")
		b.flies("b: 2[0:10]")
		b.rests()
		b.done(first)
		b.flies("a: 1[10:20]")
		b.counts(0, 2)
	}},
	{name: "several of a key fly", order: givesUpOrder, slots: 2, run: func(b *schedulerBench) {
		b.add("a", 30)
		first := b.flies("a: 1[0:10]")
		b.flies("a: 1[10:20]")
		b.rests()
		b.done(first)
		b.flies("a: 1[20:30]")
		b.counts(0, 2)
	}},
	{name: "no more fly than may", slots: 3, run: func(b *schedulerBench) {
		for i := range 5 {
			b.add(fmt.Sprint(i), 10)
		}
		first := b.flies("0: 1[0:10]")
		b.flies("1: 2[0:10]")
		b.flies("2: 3[0:10]")
		b.rests()
		b.pass(time.Hour)
		b.rests()
		b.fails(first, time.Minute)
		b.flies("3: 4[0:10]")
		b.rests()
	}},
	{name: "a slot that nobody can use does not make others wait", slots: 2, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.flies("a: 1[0:10]")
		b.add("b", 1)
		b.waits(time.Second)
		b.pass(time.Second)
		b.flies("b: 2[0:1]")
	}},
}

// schedulerRemovalCases say what is evicted and taken.
var schedulerRemovalCases = []schedulerCase{
	{name: "the oldest is evicted first", run: func(b *schedulerBench) {
		b.add("a", 2)
		b.add("b", 2, arrivedAgo(time.Millisecond))
		b.pass(time.Millisecond)
		b.add("b", 2)
		b.evicts("b: 2[0:2]")
		b.evicts("a: 1[0:2]")
		b.counts(1, 0)
		b.evicts("b: 3[0:2]")
		b.counts(0, 0)
		b.rests()
		b.evictsNone()
	}},
	{name: "what is evicted no longer fills a batch", run: func(b *schedulerBench) {
		b.add("a", 5)
		b.pass(time.Millisecond)
		b.add("a", 5)
		b.evicts("a: 1[0:5]")
		b.waits(time.Second)
		b.evicts("a: 2[0:5]")
		b.rests()
	}},
	{name: "what flies is not evicted", run: func(b *schedulerBench) {
		b.add("a", 15)
		first := b.flies("a: 1[0:10]")
		b.evicts("a: 1[10:15]")
		b.evictsNone()
		b.done(first)
		b.rests()
	}},
	{name: "what was attempted is evicted in its turn, whole", run: func(b *schedulerBench) {
		b.add("a", 12)
		b.add("b", 1, arrivedAgo(time.Millisecond))
		b.add("c", 4, isUrgent)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.fails(b.flies("c: 3[0:4]"), time.Second)
		b.counts(4, 0)
		b.evicts("b: 2[0:1]")
		b.evicts("a: 1[0:10]")
		b.counts(2, 0)
		b.evicts("c: 3[0:4]")
		b.evicts("a: 1[10:12]")
		b.evictsNone()
		b.counts(0, 0)
		b.rests()
	}},
	{name: "what comes back is evicted by its age, not by when it is due", order: givesUpOrder, run: func(b *schedulerBench) {
		for range 3 {
			b.add("a", 10)
			b.pass(time.Millisecond)
		}
		b.fails(b.flies("a: 1[0:10]"), 2*time.Minute)
		b.fails(b.flies("a: 2[0:10]"), 3*time.Minute)
		b.fails(b.flies("a: 3[0:10]"), 1*time.Minute)
		b.evicts("a: 1[0:10]")
		b.evicts("a: 2[0:10]")
		b.waits(time.Minute)
		b.pass(time.Minute)
		b.flows("a: 3[0:10]")
		b.rests()
	}},
	{name: "a key of which nothing is left waits out the backoff of what was evicted", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 10)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.evicts("a: 1[0:10]")
		b.rests()
		b.add("a", 10)
		b.waits(time.Minute)
		b.pass(time.Minute)
		if got := b.flies("a: 2[0:10]").Attempt; got != 1 { // the engine counts from what the scheduler gives
			b.t.Errorf("attempt %d goes before, want the evicted one's, 1", got)
		}
	}},
	{name: "a key waits out the backoff of what was evicted", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 20)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.evicts("a: 1[0:10]")
		b.add("a", 10, isUrgent)
		b.waits(time.Minute)
		b.pass(time.Minute - 1)
		b.add("b", 10)
		b.flows("b: 3[0:10]")
		b.waits(1)
		b.add("b", 10)
		b.pass(1)
		b.flows("b: 4[0:10]", "a: 1[10:20]", "a: 2[0:10]")
		b.rests()
	}},
	{name: "what is before what was evicted does not wait for it", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 5)
		b.add("a", 5, arrivedAgo(time.Millisecond))
		whole := b.flies("a: 1[0:5] 2[0:5]")
		head, tail := engine.NewBatch(whole.Spans[0]), engine.NewBatch(whole.Spans[1])
		tail.NotBefore = b.in(time.Minute)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.evicts("a: 2[0:5]")
		b.flows("a: 1[0:5]")
		b.rests()
	}},
	{name: "drain ends the backoff of what was evicted", order: keepsOrder, run: func(b *schedulerBench) {
		b.add("a", 12)
		b.fails(b.flies("a: 1[0:10]"), time.Minute)
		b.evicts("a: 1[0:10]")
		b.waits(time.Minute)
		b.Drain(b.now)
		b.flows("a: 1[10:12]")
	}},
	{name: "all of a key is taken, what was attempted first", run: func(b *schedulerBench) {
		b.add("a", 22)
		b.add("b", 1)
		whole := b.flies("a: 1[0:10]")
		head, tail := halve(whole)
		head.NotBefore, tail.NotBefore = b.in(time.Minute), b.in(time.Minute)
		b.back(whole, engine.Result{Rest: []*engine.Batch{head, tail}})
		b.add("a", 1)
		b.takes("a", "1[0:5] 1[5:10] 1[10:22] 3[0:1]")
		b.takes("a", "")
		b.counts(1, 0)
		b.waits(time.Second)
	}},
	{name: "what flies is not taken", run: func(b *schedulerBench) {
		b.add("a", 15)
		first := b.flies("a: 1[0:10]")
		b.takes("a", "1[10:15]")
		b.counts(0, 1)
		b.fails(first, time.Minute)
		b.takes("a", "1[0:10]")
		b.counts(0, 0)
		b.rests()
	}},
	{name: "a key that was taken begins anew", run: func(b *schedulerBench) {
		b.add("a", 1, isUrgent)
		b.takes("a", "1[0:1]")
		b.takes("none", "")
		b.add("a", 4)
		b.waits(time.Second)
		b.Hurry(b.now, b.stream)
		b.flows("a: 2[0:4]")
	}},
}
