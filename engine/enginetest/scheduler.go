package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// TestScheduler checks that a scheduler keeps the contract of engine.Scheduler. perKey says that at most one batch of a key
// may fly, and in order. build makes an empty scheduler that lets inFlight batches fly to begin with; one that always lets
// just one fly may ignore it, and is spared the cases that need more.
func TestScheduler(t *testing.T, perKey bool, build func(limits engine.BatchLimits, inFlight int) engine.Scheduler) {
	for _, c := range schedulerCases {
		if (c.order == keepsOrder && !perKey) || (c.order == givesUpOrder && perKey) {
			continue
		}
		limits := engine.BatchLimits{MaxRecords: 10, MaxBytes: 1000, Linger: time.Second}
		if c.limits != nil {
			limits = *c.limits
		}
		slots := max(c.slots, 1)
		s := build(limits, slots)
		if _, limit := s.InFlight(); limit < slots {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(newSchedulerBench(t, s)) })
	}
	t.Run("model", func(t *testing.T) { testSchedulerModel(t, perKey, build) })
}

// A schedulerCase is one sentence of the contract. Where limits is nil a batch has up to 10 records and 1000 bytes, and
// lingers for a second; a record of the bench has 10 bytes.
type schedulerCase struct {
	name   string
	order  schedulerOrder
	limits *engine.BatchLimits
	slots  int // batches that must be able to fly; 0: one
	run    func(b *schedulerBench)
}

// A schedulerOrder says which schedulers a case is for.
type schedulerOrder int

const (
	anyOrder schedulerOrder = iota
	keepsOrder
	givesUpOrder
)

// A schedulerBench is a scheduler on the bench, with a clock that the case moves. Spans are numbered from 1.
type schedulerBench struct {
	engine.Scheduler
	t      testing.TB
	now    time.Time
	stream *engine.Stream // of spans where nothing else is said
	last   engine.Pos
}

func newSchedulerBench(t testing.TB, s engine.Scheduler) *schedulerBench {
	return &schedulerBench{Scheduler: s, t: t, now: time.Unix(0, 0), stream: &engine.Stream{ID: "s"}}
}

// pass lets time pass.
func (b *schedulerBench) pass(d time.Duration) { b.now = b.now.Add(d) }

// in is that time from now.
func (b *schedulerBench) in(d time.Duration) time.Time { return b.now.Add(d) }

// add adds a span of so many records that arrived now, changed as told.
func (b *schedulerBench) add(key string, records int, change ...func(*engine.Span)) {
	b.last++
	s := engine.Span{
		Pos:     b.last,
		Stream:  b.stream,
		Key:     key,
		Records: engine.SelectRange(0, records),
		Bytes:   10 * records,
		Arrived: b.now,
	}
	for _, f := range change {
		f(&s)
	}
	b.Add(b.now, s)
}

func isUrgent(s *engine.Span) { s.Urgent = true }

func weighing(n int) func(*engine.Span) { return func(s *engine.Span) { s.Bytes = n } }

func pinning(n int) func(*engine.Span) { return func(s *engine.Span) { s.Charge = n } }

func ofStream(stream *engine.Stream) func(*engine.Span) {
	return func(s *engine.Span) { s.Stream = stream }
}

// arrivedAgo makes the span one that arrived so long before now.
func arrivedAgo(d time.Duration) func(*engine.Span) {
	return func(s *engine.Span) { s.Arrived = s.Arrived.Add(-d) }
}

// flies checks that a batch flies now and what it carries, such as "a: 1[0:10] 2[0:3]".
func (b *schedulerBench) flies(want string) *engine.Batch {
	b.t.Helper()
	batch, wait := b.Next(b.now)
	if batch == nil {
		b.t.Fatalf("nothing flies for %v, want %q", wait, want)
	}
	if got := batch.Key + ": " + describeSpans(batch.Spans); got != want {
		b.t.Fatalf("flies %q, want %q", got, want)
	}
	return batch
}

// hurried has the stream hurry, and checks what flies.
func (b *schedulerBench) hurried(want string) *engine.Batch {
	b.t.Helper()
	b.Hurry(b.now, b.stream)
	return b.flies(want)
}

// flows checks that batch after batch flies now, each when the one before it is done.
func (b *schedulerBench) flows(want ...string) {
	b.t.Helper()
	for _, w := range want {
		b.done(b.flies(w))
	}
}

func describeSpans(spans []engine.Span) string {
	words := make([]string, len(spans))
	for i, s := range spans {
		from := s.Records.At(0)
		words[i] = fmt.Sprintf("%d[%d:%d]", s.Pos, from, from+s.Records.Len())
	}
	return strings.Join(words, " ")
}

// follows checks that a batch stands by for the end of that flight, and what it carries.
func (b *schedulerBench) follows(flying *engine.Batch, want string) *engine.Batch {
	b.t.Helper()
	batch := b.Follow(b.now, flying)
	if batch == nil {
		b.t.Fatalf("nothing follows, want %q", want)
	}
	if got := batch.Key + ": " + describeSpans(batch.Spans); got != want {
		b.t.Fatalf("%q follows, want %q", got, want)
	}
	return batch
}

// followsNone checks that nothing stands by for the end of that flight.
func (b *schedulerBench) followsNone(flying *engine.Batch) {
	b.t.Helper()
	if batch := b.Follow(b.now, flying); batch != nil {
		b.t.Fatalf("%s: %s follows, want none", batch.Key, describeSpans(batch.Spans))
	}
}

// launches checks that a batch which stands by may fly.
func (b *schedulerBench) launches(batch *engine.Batch) {
	b.t.Helper()
	if !b.Launch(b.now, batch) {
		b.t.Fatalf("%s: %s may not fly", batch.Key, describeSpans(batch.Spans))
	}
}

// launchesNot checks that a batch which stands by may not fly.
func (b *schedulerBench) launchesNot(batch *engine.Batch) {
	b.t.Helper()
	if b.Launch(b.now, batch) {
		b.t.Fatalf("%s: %s may fly", batch.Key, describeSpans(batch.Spans))
	}
}

// waits checks that nothing flies now and that it is worth asking again after that time.
func (b *schedulerBench) waits(want time.Duration) {
	b.t.Helper()
	if batch, wait := b.Next(b.now); batch != nil {
		b.t.Fatalf("flies %s: %s, want none for %v", batch.Key, describeSpans(batch.Spans), want)
	} else if wait != want {
		b.t.Fatalf("nothing flies for %v, want %v", wait, want)
	}
}

// rests checks that nothing flies until something is added or done.
func (b *schedulerBench) rests() {
	b.t.Helper()
	if batch, wait := b.Next(b.now); batch != nil {
		b.t.Fatalf("flies %s: %s, want none", batch.Key, describeSpans(batch.Spans))
	} else if wait >= 0 {
		b.t.Fatalf("nothing flies for %v, want until Add or Done", wait)
	}
}

// done says that the batch was delivered.
func (b *schedulerBench) done(batch *engine.Batch) { b.back(batch, engine.Result{}) }

// fails says that the batch was not delivered and is due again after that time.
func (b *schedulerBench) fails(batch *engine.Batch, after time.Duration) {
	batch.Attempt++
	batch.NotBefore = b.in(after)
	b.back(batch, engine.Result{Rest: []*engine.Batch{batch}})
}

// givesBack says that the first records of the batch were delivered, so many, and that the others were not tried.
func (b *schedulerBench) givesBack(batch *engine.Batch, delivered int) {
	b.back(batch, engine.Result{Back: withoutFirst(batch.Spans, delivered)})
}

// putsBack says that a batch which stood by will not fly.
func (b *schedulerBench) putsBack(batch *engine.Batch) { b.Done(b.now, batch, unflown(batch)) }

// unflown is the result of a batch that stood by and did not fly.
func unflown(batch *engine.Batch) engine.Result {
	return engine.Result{Back: batch.Spans, Unflown: true}
}

// withoutFirst is the spans without their first n records.
func withoutFirst(spans []engine.Span, n int) []engine.Span {
	spans = slices.Clone(spans)
	for n > 0 && len(spans) > 0 && spans[0].Records.Len() <= n {
		n -= spans[0].Records.Len()
		spans = spans[1:]
	}
	if n > 0 {
		spans[0] = spans[0].Split(n)
	}
	return spans
}

func (b *schedulerBench) back(batch *engine.Batch, r engine.Result) {
	r.Latency = 10 * time.Millisecond
	b.Done(b.now, batch, r)
}

// evicts checks what is evicted, such as "a: 1[0:10]".
func (b *schedulerBench) evicts(want string) {
	b.t.Helper()
	spans := b.Evict(b.now)
	if len(spans) == 0 {
		b.t.Fatalf("evicts none, want %q", want)
	}
	if got := spans[0].Key + ": " + describeSpans(spans); got != want {
		b.t.Fatalf("evicts %q, want %q", got, want)
	}
}

// evictsNone checks that there is nothing to evict.
func (b *schedulerBench) evictsNone() {
	b.t.Helper()
	if spans := b.Evict(b.now); len(spans) > 0 {
		b.t.Fatalf("evicts %s: %s, want none", spans[0].Key, describeSpans(spans))
	}
}

// takes checks what is taken of a key, such as "1[0:10] 2[0:3]".
func (b *schedulerBench) takes(key, want string) {
	b.t.Helper()
	if got := describeSpans(b.Take(b.now, key)); got != want {
		b.t.Fatalf("takes %q of key %q, want %q", got, key, want)
	}
}

// counts checks how many spans wait and how many batches fly.
func (b *schedulerBench) counts(waiting, flying int) {
	b.t.Helper()
	if got := b.Waiting(); got != waiting {
		b.t.Fatalf("%d spans wait, want %d", got, waiting)
	}
	if got, _ := b.InFlight(); got != flying {
		b.t.Fatalf("%d batches fly, want %d", got, flying)
	}
}
