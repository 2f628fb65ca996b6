package enginetest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// done lands a flight. What stands by for it flies if nothing is left of that; else it is put back first.
func (m *schedulerModel) done(t *rapid.T) {
	b := m.flight(t)
	if b == nil {
		return
	}
	m.flights = slices.DeleteFunc(m.flights, func(f *engine.Batch) bool { return f == b })
	r := m.result(t, b)
	if m.standing[b] != nil && len(r.Rest)+len(r.Back) > 0 {
		m.putBack(b)
	}
	m.land(b, r)
	if m.standing[b] != nil && !m.letGo(t, b) {
		m.putBack(b)
	}
}

// result says how a flight ended.
func (m *schedulerModel) result(t *rapid.T, b *engine.Batch) engine.Result {
	r := engine.Result{
		Latency:  time.Duration(rapid.IntRange(1, 100).Draw(t, "latency")) * time.Millisecond,
		Pushback: rapid.IntRange(0, 9).Draw(t, "push-back") == 0,
	}
	attempt := b.Attempt + 1
	switch rapid.SampledFrom([]string{"delivered", "failed", "partial", "not tried"}).Draw(t, "result") {
	case "delivered":
		m.end(t, b.Spans)
	case "failed":
		r.Rest = []*engine.Batch{b}
		if r.Unflown = rapid.IntRange(0, 4).Draw(t, "unflown") == 0; r.Unflown {
			attempt = b.Attempt
		}
	case "partial":
		r.Rest = m.partial(t, b)
	case "not tried":
		r.Rest = m.partial(t, b)
		if !m.rests[b] {
			r.Back, r.Rest = spansIn(r.Rest), nil
		}
	}
	for _, rest := range r.Rest {
		rest.Attempt, rest.NotBefore = attempt, m.draw(t, "not before")
		m.rests[rest] = true
	}
	if rapid.IntRange(0, 4).Draw(t, "cools") == 0 {
		r.Cool = m.draw(t, "cool")
	}
	return r
}

// land says that a flight ended so.
func (m *schedulerModel) land(b *engine.Batch, r engine.Result) {
	m.cool = laterOf(m.cool, r.Cool)
	l := m.line(b.Key)
	l.flying--
	if len(r.Rest) == 0 {
		l.until, l.attempt = time.Time{}, 0
	}
	rests := make([]frozenRest, len(r.Rest))
	for i, rest := range r.Rest {
		rests[i] = frozenRest{rest, slices.Clone(rest.Spans)}
	}
	l.rests = slices.Concat(rests, l.rests)
	m.Done(m.now, b, r)
	l.giveBack(r.Back)
}

func spansIn(batches []*engine.Batch) (spans []engine.Span) {
	for _, b := range batches {
		spans = append(spans, b.Spans...)
	}
	return spans
}

// partial delivers some of the batch and cuts the rest into several.
func (m *schedulerModel) partial(t *rapid.T, b *engine.Batch) []*engine.Batch {
	var rests []*engine.Batch
	var spans []engine.Span
	for _, s := range b.Spans {
		if n := s.Records.Len(); n > 1 && rapid.Bool().Draw(t, "split") {
			head := s
			s = head.Split(rapid.IntRange(1, n-1).Draw(t, "at"))
			m.end(t, []engine.Span{head})
		}
		spans = append(spans, s)
		if rapid.Bool().Draw(t, "cut") {
			rests = append(rests, engine.NewBatch(spans...))
			spans = nil
		}
	}
	if len(spans) > 0 {
		rests = append(rests, engine.NewBatch(spans...))
	}
	return rests
}

// draw is no time, or one up to a while from now.
func (m *schedulerModel) draw(t *rapid.T, label string) time.Time {
	if d := rapid.IntRange(-20, 50).Draw(t, label); d >= 0 {
		return m.now.Add(time.Duration(d))
	}
	return time.Time{}
}
