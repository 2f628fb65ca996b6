package enginetest

import (
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// A batchChoice is a batch that may fly, now or later.
type batchChoice struct {
	key  string
	due  time.Time
	age  time.Time     // the arrival of its oldest, or when it fell due where it had to wait out a backoff
	rest *engine.Batch // nil: of what waits
}

// choices are all batches that could be next of their keys.
func (m *schedulerModel) choices() []batchChoice {
	var all []batchChoice
	for _, key := range modelKeys {
		l := m.line(key)
		if m.perKey && l.flying+l.standing > 0 {
			continue
		}
		rests := l.rests
		if m.perKey && len(rests) > 0 {
			until := laterOf(rests[0].NotBefore, l.until)
			all = append(all, batchChoice{key, until, laterOf(rests[0].Arrived, until), rests[0].Batch})
			continue
		}
		for _, r := range rests {
			all = append(all, batchChoice{key, r.NotBefore, laterOf(r.Arrived, r.NotBefore), r.Batch})
		}
		if len(l.spans) > 0 {
			all = append(all, batchChoice{key, laterOf(m.due(l), l.until), laterOf(oldestArrival(l.spans), l.until), nil})
		}
	}
	return all
}

func oldestArrival(spans []engine.Span) time.Time {
	return slices.MinFunc(spans, func(a, b engine.Span) int { return a.Arrived.Compare(b.Arrived) }).Arrived
}

// due is when what waits in the line may fly: in the past when that does not depend on time.
func (m *schedulerModel) due(l *waitingLine) time.Time {
	if l.spans[0].Urgent || m.full(l) {
		return time.Time{}
	}
	return oldestArrival(l.spans).Add(m.limits.Linger)
}

// full reports whether what waits in the line fills a batch.
func (m *schedulerModel) full(l *waitingLine) bool {
	records, size := 0, 0
	for _, s := range l.spans {
		records += s.Records.Len()
		size += s.Bytes
	}
	return records >= orUnbounded(m.limits.MaxRecords) || size >= orUnbounded(m.limits.MaxBytes)
}

func orUnbounded(n int) int {
	if n == 0 {
		return math.MaxInt
	}
	return n
}

// next asks what flies next, compares, and gives it, or how long to wait.
func (m *schedulerModel) next(t *rapid.T) (*engine.Batch, time.Duration) {
	all := m.choices()
	flying, limit := m.InFlight()
	if flying != len(m.flights) || limit < 1 {
		t.Fatalf("InFlight says %d of %d, want %d of at least 1", flying, limit, len(m.flights))
	}
	free := flying < limit
	want := time.Duration(-1) // how long until something may fly
	if free && len(all) > 0 {
		first := slices.MinFunc(all, func(a, b batchChoice) int { return a.due.Compare(b.due) }).due
		want = max(laterOf(first, m.cool).Sub(m.now), 0)
	}
	b, wait := m.Next(m.now)
	switch {
	case b == nil && want == 0:
		t.Fatalf("nothing flies for %v, though something may: %v", wait, all)
	case b == nil && want < 0 && wait >= 0, b == nil && want > 0 && wait != want:
		t.Fatalf("nothing flies for %v, want %v", wait, want)
	case b != nil && want != 0:
		t.Fatalf("key %q: %s flies, want none for %v", b.Key, describeSpans(b.Spans), want)
	case b != nil:
		m.flew(t, b, all)
	}
	return b, wait
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// flew checks a batch that flies against what might have been chosen, and takes it out of the model.
func (m *schedulerModel) flew(t *rapid.T, b *engine.Batch, all []batchChoice) {
	l := m.line(b.Key)
	rest := slices.IndexFunc(l.rests, func(f frozenRest) bool { return f.Batch == b })
	chosen := slices.IndexFunc(all, func(c batchChoice) bool {
		return c.key == b.Key && (c.rest == b || c.rest == nil && rest < 0)
	})
	if chosen < 0 || all[chosen].due.After(m.now) {
		t.Fatalf("key %q: %s flies out of turn", b.Key, describeSpans(b.Spans))
	}
	for _, c := range all {
		ordered := m.perKey || c.key == b.Key && c.rest == nil // without order the rests of a key fly by when they are due
		if ordered && !c.due.After(m.now) && c.age.Before(all[chosen].age) {
			t.Fatalf("key %q flies, as old as %v, before key %q, as old as %v", b.Key, all[chosen].age, c.key, c.age)
		}
	}
	if rest >= 0 {
		if got, want := describeSpans(b.Spans), describeSpans(l.rests[rest].spans); got != want {
			t.Fatalf("the rest of key %q carries %q, want %q", b.Key, got, want)
		}
		l.rests = slices.Delete(l.rests, rest, rest+1)
	} else {
		m.cut(t, l, b)
		m.checkAttempt(t, l, b)
	}
	l.flying++
	m.flights = append(m.flights, b)
}

// cut checks that a new batch is the first of what waits, and as much of it as fits.
func (m *schedulerModel) cut(t *rapid.T, l *waitingLine, b *engine.Batch) {
	arrived := oldestArrival(b.Spans)
	maxRecords, maxBytes := orUnbounded(m.limits.MaxRecords), orUnbounded(m.limits.MaxBytes)
	records, size, split := 0, 0, false
	for i, s := range b.Spans {
		if len(l.spans) == 0 || split {
			t.Fatalf("key %q: %s is more than what waits", b.Key, describeSpans(b.Spans))
		}
		head := l.spans[0]
		want := fits(head, maxRecords-records, maxBytes-size)
		if i == 0 {
			want = max(want, 1)
		}
		if got := s.Records.Len(); got != want {
			t.Fatalf("a batch of key %q takes %d records of %s, want %d", b.Key, got, describeSpans([]engine.Span{head}), want)
		}
		if n := s.Records.Len(); n > 0 && n < head.Records.Len() {
			split = true
			l.spans[0] = head.Split(n)
		} else {
			l.spans = l.spans[1:]
		}
		if s.Pos != head.Pos || s.Key != b.Key || s.Stream != head.Stream || s.Bytes != head.Bytes ||
			describeSpans([]engine.Span{s}) != describeSpans([]engine.Span{head}) {
			t.Fatalf("a batch of key %q carries %+v, want %+v", b.Key, s, head)
		}
		records += s.Records.Len()
		size += s.Bytes
	}
	if b.Records != records || b.Bytes != size || !b.Arrived.Equal(arrived) {
		t.Fatalf("a batch says %d records, %d bytes, arrived %v; it has %d, %d, %v",
			b.Records, b.Bytes, b.Arrived, records, size, arrived)
	}
	if records == 0 || records > maxRecords || size > maxBytes && records > 1 {
		t.Fatalf("a batch has %d records of %d, %d bytes of %d", records, maxRecords, size, maxBytes)
	}
	if len(l.spans) > 0 && !split && fits(l.spans[0], maxRecords-records, maxBytes-size) > 0 {
		t.Fatalf("a batch of key %q has %d records and %d bytes, and more would fit", b.Key, records, size)
	}
}

// fits is how many of the span's records go into so much room, where all are of its average size.
func fits(s engine.Span, records, bytes int) int {
	n := s.Records.Len()
	if s.Bytes > bytes {
		n = min(n, int(int64(bytes)*int64(n)/int64(s.Bytes)))
	}
	return min(n, records)
}
