package schedule

import (
	"time"

	"github.com/sluicelog/sluice/engine"
)

// A lane is what one key has waiting. What came back is in line before what was never attempted.
type lane struct {
	key     string
	rests   heap[*rest]
	front   int64     // number of the first in the line of rests
	until   time.Time // nothing flies before: a rest was evicted while it backed off,
	attempt int       // after so many attempts
	spans   queue[waiting]
	dips    queue[dip]
	records int   // of spans
	bytes   int   // of spans
	pinned  int   // by spans
	urgent  int64 // spans up to this number do not linger
	flying  int   // batches

	ready, timed, resting, oldest int // its place in each heap, from 1; 0: it is not there
}

// waiting is a span that was never attempted.
type waiting struct {
	engine.Span
	number int64 // by order of Add, over all lanes
	tie    *tie  // nil where it does not linger
}

// A rest is what is to be tried again of a batch, frozen.
type rest struct {
	*engine.Batch
	lane   *lane
	number int64

	line, age int // its place in its lane's heap, and in that of all rests, from 1
}

// A dip is a waiting span that is older than the one before it. The oldest of a line is its first or one of its dips, so
// where all came in order of age, as most do, there is nothing to keep. A dip that is not older than a later one is left
// out, hence dips grow younger from first to last.
type dip struct{ turn }

// idle reports whether nothing waits and nothing flies.
func (l *lane) idle() bool { return l.flying == 0 && l.rests.len() == 0 && l.spans.len() == 0 }

// turn is by the oldest of what waits.
func (l *lane) turn() turn {
	first := l.spans.first()
	t := turn{first.Arrived, first.number}
	if l.dips.len() > 0 && l.dips.first().at.Before(t.at) {
		t.at = l.dips.first().at
	}
	return t
}

func (l *lane) push(w waiting) {
	if l.spans.len() > 0 && w.Arrived.Before(l.spans.last().Arrived) {
		for l.dips.len() > 0 && !l.dips.last().at.Before(w.Arrived) {
			l.dips.popLast()
		}
		l.dips.push(dip{turn{w.Arrived, w.number}})
	}
	if l.spans.len() > 0 {
		if last := l.spans.last(); last.Pos == w.Pos && last.Cursor == w.Cursor { // the chunk is pinned once
			w.Charge = 0
		}
	}
	l.spans.push(w)
	l.weigh(&w.Span, 1)
}

// pushFront puts a span before all that wait. The one that was first is a dip now, where it is older and the oldest of
// those behind it.
func (l *lane) pushFront(w waiting) {
	if l.spans.len() > 0 {
		first := l.spans.first()
		if first.Arrived.Before(w.Arrived) && (l.dips.len() == 0 || first.Arrived.Before(l.dips.first().at)) {
			l.dips.pushFront(dip{turn{first.Arrived, first.number}})
		}
	}
	l.spans.pushFront(w)
	l.weigh(&w.Span, 1)
}

// weigh adds a span to what waits, or takes it off.
func (l *lane) weigh(span *engine.Span, sign int) {
	l.records += sign * span.Records.Len()
	l.bytes += sign * span.Bytes
	l.pinned += sign * span.Charge
}

func (l *lane) pop() waiting {
	w := l.spans.pop()
	l.weigh(&w.Span, -1)
	if l.dips.len() > 0 && l.dips.first().number == w.number {
		l.dips.pop()
	}
	return w
}

// split takes the first n records off the first span, which has more.
func (l *lane) split(n int) engine.Span {
	first := l.spans.first()
	head := first.Span
	first.Span = head.Split(n)
	l.records -= n
	l.bytes -= head.Bytes
	return head
}

// fit is how many of the first spans go whole into a batch of so many records and bytes, that pins so much, and how many records of
// the span after them go too. By bytes that is a guess where records differ in size; what an output finds to be too much it gives
// back. One record goes always.
func (l *lane) fit(records, bytes, pinned int) (whole, part int) {
	for ; whole < l.spans.len(); whole++ {
		span := &l.spans.at(whole).Span
		n := span.Records.Len()
		if span.Charge > pinned && whole > 0 {
			return whole, 0
		}
		if n > records || span.Bytes > bytes {
			part = min(n, records)
			if span.Bytes > bytes {
				part = min(part, int(int64(bytes)*int64(n)/int64(span.Bytes)))
			}
			if whole == 0 {
				part = max(part, 1)
			}
			if part == n { // a single record that is too large
				return whole + 1, 0
			}
			return whole, part
		}
		records -= n
		bytes -= span.Bytes
		pinned -= span.Charge
	}
	return whole, 0
}
