package enginetest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// round does as a delivery loop does: all flies that may, and for each flight stands by what there is.
func (m *schedulerModel) round(t *rapid.T) {
	m.fill(t)
	for _, b := range m.flights {
		if m.standing[b] == nil {
			m.standBy(t, b)
		}
	}
}

// follow has something stand by for a flight, after a while or at once. What stands by already is put back now and then.
func (m *schedulerModel) follow(t *rapid.T) {
	if rapid.Bool().Draw(t, "later") {
		m.pass(t)
	}
	switch b := m.flight(t); {
	case b == nil:
	case m.standing[b] == nil:
		m.standBy(t, b)
	case rapid.IntRange(0, 3).Draw(t, "put back") == 0:
		m.putBack(b)
	}
}

// flight is any that flies; nil where none does.
func (m *schedulerModel) flight(t *rapid.T) *engine.Batch {
	if len(m.flights) == 0 {
		return nil
	}
	return m.flights[rapid.IntRange(0, len(m.flights)-1).Draw(t, "flight")]
}

// standBy asks what follows a flight, compares, and has it stand by.
func (m *schedulerModel) standBy(t *rapid.T, b *engine.Batch) {
	keys, orNone := m.followers(b)
	f := m.Follow(m.now, b)
	switch {
	case f == nil && !orNone:
		t.Fatalf("nothing follows %s of key %q, want of %q", describeSpans(b.Spans), b.Key, keys)
	case f == nil:
		return
	case !slices.Contains(keys, f.Key):
		t.Fatalf("key %q: %s follows %s of key %q, want of %q", f.Key, describeSpans(f.Spans), describeSpans(b.Spans), b.Key, keys)
	}
	l := m.line(f.Key)
	m.cut(t, l, f)
	l.standing++
	m.standing[b] = f
}

// followers are the keys of which one has to follow the flight, and whether it is right that none does. Any goes where several
// keys are as old.
func (m *schedulerModel) followers(b *engine.Batch) (keys []string, orNone bool) {
	flying, limit := m.InFlight()
	if !m.perKey || flying > limit || m.now.Before(m.cool) {
		return nil, true
	}
	var all []batchChoice
	if own := m.line(b.Key); own.standing == 0 && m.mayFollow(own) {
		all = append(all, batchChoice{key: b.Key, age: oldestArrival(own.spans)})
	}
	if flying == limit {
		for _, c := range m.choices() {
			if !c.due.After(m.now) {
				all = append(all, c)
			}
		}
	}
	if len(all) == 0 {
		return nil, true
	}
	oldest := slices.MinFunc(all, func(a, b batchChoice) int { return a.age.Compare(b.age) }).age
	for _, c := range all {
		switch {
		case c.age.After(oldest):
		case m.mayFollow(m.line(c.key)):
			keys = append(keys, c.key)
		default:
			orNone = true
		}
	}
	return keys, orNone
}

// mayFollow reports whether the line's next batch is a full one that was never attempted.
func (m *schedulerModel) mayFollow(l *waitingLine) bool {
	return len(l.rests) == 0 && m.full(l) && !l.until.After(m.now)
}

// launch tries to let fly what stands by for a flight that goes on.
func (m *schedulerModel) launch(t *rapid.T) {
	if b := m.flight(t); b != nil && m.standing[b] != nil {
		m.letGo(t, b)
	}
}

// letGo lets fly what stands by for a flight, and reports whether it does.
func (m *schedulerModel) letGo(t *rapid.T, b *engine.Batch) bool {
	f := m.standing[b]
	l := m.line(f.Key)
	flying, limit := m.InFlight()
	want := l.flying == 0 && flying < limit && !m.now.Before(m.cool)
	if got := m.Launch(m.now, f); got != want {
		t.Fatalf("key %q: that %s may fly is %v, want %v", f.Key, describeSpans(f.Spans), got, want)
	}
	if want {
		m.checkAttempt(t, l, f)
		m.standsNot(b)
		l.flying++
		m.flights = append(m.flights, f)
	}
	return want
}

// putBack has what stands by for a flight wait again.
func (m *schedulerModel) putBack(b *engine.Batch) {
	f := m.standsNot(b)
	m.Done(m.now, f, unflown(f))
	m.line(f.Key).giveBack(f.Spans)
}

func (m *schedulerModel) standsNot(b *engine.Batch) *engine.Batch {
	f := m.standing[b]
	delete(m.standing, b)
	m.line(f.Key).standing--
	return f
}

// checkAttempt checks that a batch which flies counts the attempts of what was evicted of its key.
func (m *schedulerModel) checkAttempt(t *rapid.T, l *waitingLine, b *engine.Batch) {
	if b.Attempt != l.attempt {
		t.Fatalf("key %q: %s flies after %d attempts, want %d", b.Key, describeSpans(b.Spans), b.Attempt, l.attempt)
	}
}
