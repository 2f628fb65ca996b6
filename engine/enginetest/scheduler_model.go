package enginetest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// testSchedulerModel drives the scheduler at random beside a model that keeps everything in plain lists and looks at all
// of it every time.
func testSchedulerModel(t *testing.T, perKey bool, build func(engine.BatchLimits, int) engine.Scheduler) {
	rapid.Check(t, func(t *rapid.T) {
		limits := engine.BatchLimits{
			MaxRecords: rapid.SampledFrom([]int{0, 1, 10, 30}).Draw(t, "max records"),
			MaxBytes:   rapid.SampledFrom([]int{0, 250, 1000}).Draw(t, "max bytes"),
			Linger:     rapid.SampledFrom([]time.Duration{0, 10, 100, 100}).Draw(t, "linger"),
		}
		m := &schedulerModel{
			Scheduler: build(limits, rapid.IntRange(1, 5).Draw(t, "in flight")),
			perKey:    perKey,
			limits:    limits,
			now:       time.Unix(0, 0),
			lines:     make(map[string]*waitingLine),
			gone:      make(map[spanRecord]bool),
			rests:     make(map[*engine.Batch]bool),
			standing:  make(map[*engine.Batch]*engine.Batch),
		}
		for _, id := range []string{"x", "y", "z"} {
			m.streams = append(m.streams, &engine.Stream{ID: id})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"add":     m.add,
			"add two": func(t *rapid.T) { m.add(t); m.add(t) },
			"burst":   m.burst,
			"next":    func(t *rapid.T) { m.next(t) },
			"fill":    m.fill,
			"round":   m.round,
			"done":    m.done,
			"follow":  m.follow,
			"launch":  m.launch,
			"pass":    m.pass,
			"wait":    m.wait,
			"hurry":   m.hurry,
			"urgent":  m.toggle,
			"evict":   m.evict,
			"take":    m.take,
			"drain":   m.drain,
		})
		m.finish(t)
	})
}

// A schedulerModel is what a scheduler should know.
type schedulerModel struct {
	engine.Scheduler
	perKey  bool
	limits  engine.BatchLimits
	streams []*engine.Stream

	now     time.Time
	cool    time.Time
	lines   map[string]*waitingLine
	flights []*engine.Batch
	added   int // records
	last    engine.Pos
	gone    map[spanRecord]bool // delivered, evicted or taken
	rests   map[*engine.Batch]bool

	standing map[*engine.Batch]*engine.Batch // by the flight for whose end each stands by
}

type spanRecord struct {
	pos   engine.Pos
	index int
}

// A waitingLine is what one key has waiting.
type waitingLine struct {
	rests    []frozenRest
	spans    []engine.Span // Urgent is set on all that need not linger
	flying   int
	standing int       // batches that stand by
	until    time.Time // the backoff of what was evicted, as long as nothing came back without a rest
	attempt  int       // how often that had been tried
}

func (l *waitingLine) idle() bool {
	return l.flying+l.standing == 0 && len(l.rests) == 0 && len(l.spans) == 0
}

// A frozenRest is a batch that came back, with what it carried then.
type frozenRest struct {
	*engine.Batch
	spans []engine.Span
}

// modelKeys are all keys of a model, in the order in which it looks at them.
var modelKeys = []string{"", "a", "b"}

func (m *schedulerModel) line(key string) *waitingLine {
	if m.lines[key] == nil {
		m.lines[key] = &waitingLine{}
	}
	return m.lines[key]
}

func (m *schedulerModel) add(t *rapid.T) {
	m.last++
	records := rapid.SampledFrom([]int{1, 1, 1, 2, 3, 5, 8, 25}).Draw(t, "records")
	s := engine.Span{
		Pos:     m.last,
		Stream:  rapid.SampledFrom(m.streams).Draw(t, "stream"),
		Key:     rapid.SampledFrom(modelKeys).Draw(t, "key"),
		Records: engine.SelectRange(0, records),
		Bytes:   records * rapid.IntRange(1, 60).Draw(t, "bytes each"),
		Arrived: m.now.Add(-time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 50}).Draw(t, "age"))),
		Urgent:  rapid.IntRange(0, 9).Draw(t, "urgent") == 0,
	}
	m.added += records
	m.Add(m.now, s)

	l := m.line(s.Key)
	if l.idle() && !l.until.After(m.now) {
		l.until, l.attempt = time.Time{}, 0
	}
	l.spans = append(l.spans, s)
	if s.Urgent || s.Stream.Urgent() {
		l.hurry(len(l.spans))
	}
}

// burst adds enough that some is full, mostly.
func (m *schedulerModel) burst(t *rapid.T) {
	for range rapid.IntRange(3, 8).Draw(t, "burst") {
		m.add(t)
	}
}

// giveBack puts what was not tried in front.
func (l *waitingLine) giveBack(spans []engine.Span) {
	l.spans = slices.Concat(spans, l.spans)
	for i, s := range l.spans {
		if s.Urgent || i < len(spans) && s.Stream.Urgent() {
			l.hurry(i + 1)
		}
	}
}

// hurry makes the first n spans of the line urgent.
func (l *waitingLine) hurry(n int) {
	for i := range n {
		l.spans[i].Urgent = true
	}
}

func (m *schedulerModel) hurry(t *rapid.T) {
	s := rapid.SampledFrom(m.streams).Draw(t, "stream")
	m.Hurry(m.now, s)
	for _, l := range m.lines {
		for i := range l.spans {
			if l.spans[i].Stream == s {
				l.hurry(i + 1)
			}
		}
	}
}

func (m *schedulerModel) toggle(t *rapid.T) {
	s := rapid.SampledFrom(m.streams).Draw(t, "stream")
	s.SetUrgent(!s.Urgent())
}

func (m *schedulerModel) drain(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "drain") > 0 {
		return
	}
	m.Drain(m.now)
	m.limits.Linger = 0
	m.cool = time.Time{}
	for _, l := range m.lines {
		l.until = time.Time{}
		for _, r := range l.rests {
			r.NotBefore = time.Time{}
		}
	}
}

func (m *schedulerModel) fill(t *rapid.T) {
	for {
		if b, _ := m.next(t); b == nil {
			return
		}
	}
}

// end notes that records are done with: delivered, evicted or taken.
func (m *schedulerModel) end(t *rapid.T, spans []engine.Span) {
	for _, s := range spans {
		for i := range s.Records.All() {
			id := spanRecord{s.Pos, i}
			if m.gone[id] {
				t.Fatalf("record %d of span %d came twice", i, s.Pos)
			}
			m.gone[id] = true
		}
	}
}

func (m *schedulerModel) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "pass")))
}

// wait passes exactly the time that Next says.
func (m *schedulerModel) wait(t *rapid.T) {
	if b, wait := m.next(t); b == nil && wait > 0 {
		m.now = m.now.Add(wait)
		if b, wait := m.next(t); b == nil {
			t.Fatalf("nothing flies after the wait, for %v", wait)
		}
	}
}

func (m *schedulerModel) evict(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "evict") > 0 {
		return
	}
	if m.Waiting() == 0 {
		if got := m.Evict(m.now); len(got) > 0 {
			t.Fatalf("evicts %s from nothing", describeSpans(got))
		}
		return
	}
	oldest := m.oldest()
	got := m.Evict(m.now)
	if len(got) == 0 {
		t.Fatalf("evicts none of %d spans", m.Waiting())
	}
	m.end(t, got)
	l := m.line(got[0].Key)
	if i := slices.IndexFunc(l.rests, func(r frozenRest) bool { return describeSpans(r.spans) == describeSpans(got) }); i >= 0 {
		r := l.rests[i]
		if r.Arrived.After(oldest) {
			t.Fatalf("evicts a rest that arrived %v, though something did %v", r.Arrived, oldest)
		}
		if m.perKey && i == 0 {
			l.until, l.attempt = laterOf(l.until, r.NotBefore), max(l.attempt, r.Attempt)
		}
		l.rests = slices.Delete(l.rests, i, i+1)
		return
	}
	if len(got) != 1 || len(l.spans) == 0 || describeSpans(l.spans[:1]) != describeSpans(got) {
		t.Fatalf("evicts %s of key %q, want the first of %s", describeSpans(got), got[0].Key, describeSpans(l.spans))
	}
	if arrived := oldestArrival(l.spans); arrived.After(oldest) {
		t.Fatalf("evicts from key %q, as old as %v, though something arrived %v", got[0].Key, arrived, oldest)
	}
	l.spans = l.spans[1:]
}

// oldest is when the oldest arrived of what does not fly, though something must wait.
func (m *schedulerModel) oldest() time.Time {
	var all []engine.Span
	for _, l := range m.lines {
		all = append(all, l.spans...)
		for _, r := range l.rests {
			all = append(all, r.spans...)
		}
	}
	return oldestArrival(all)
}

func (m *schedulerModel) take(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "take") > 0 {
		return
	}
	key := rapid.SampledFrom(modelKeys).Draw(t, "key")
	l := m.line(key)
	var want []engine.Span
	for _, r := range l.rests {
		want = append(want, r.spans...)
	}
	attempted := len(want)
	want = append(want, l.spans...)
	got := m.Take(m.now, key)
	inOrder := describeSpans(got) == describeSpans(want)
	if !m.perKey && len(got) == len(want) { // what was attempted has no order
		inOrder = describeSpans(got[attempted:]) == describeSpans(want[attempted:])
	}
	if !inOrder {
		t.Fatalf("takes %q of key %q, want %q", describeSpans(got), key, describeSpans(want))
	}
	l.rests, l.spans = nil, nil
	m.end(t, got)
}

// check compares what the scheduler says of itself.
func (m *schedulerModel) check(t *rapid.T) {
	waiting := 0
	for _, l := range m.lines {
		waiting += len(l.spans)
		for _, r := range l.rests {
			waiting += len(r.spans)
		}
	}
	if got := m.Waiting(); got != waiting {
		t.Fatalf("%d spans wait, want %d", got, waiting)
	}
	if got, limit := m.InFlight(); got != len(m.flights) || limit < 1 {
		t.Fatalf("%d of %d batches fly, want %d of at least 1", got, limit, len(m.flights))
	}
}

// finish delivers all that is left, and checks that it was all.
func (m *schedulerModel) finish(t *rapid.T) {
	for {
		b, wait := m.next(t)
		switch {
		case b != nil:
		case len(m.flights) > 0:
			b, m.flights = m.flights[0], m.flights[1:]
			m.end(t, b.Spans)
			m.land(b, engine.Result{})
			if m.standing[b] != nil && !m.letGo(t, b) {
				m.putBack(b)
			}
		case wait > 0:
			m.now = m.now.Add(wait)
		case m.Waiting() > 0:
			t.Fatalf("%d spans wait for ever", m.Waiting())
		default:
			if len(m.gone) != m.added {
				t.Fatalf("%d records came out, want %d", len(m.gone), m.added)
			}
			return
		}
	}
}
