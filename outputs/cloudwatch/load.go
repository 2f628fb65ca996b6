package cloudwatch

import (
	"bytes"
	"cmp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

// An event is what AWS calls a record, or a part of one.
type event struct {
	at     int64  // milliseconds since the Unix epoch
	record int    // its place in the batch
	text   []byte // valid UTF-8, at least one character; lies in the record, in the load's block, or on its own
}

// size is what AWS counts for the event.
func (e *event) size() int { return len(e.text) + perEvent }

// A load is what of a batch goes in one request, or in several where one record takes more than one: its first records, up to
// where a limit is reached, without those that are passed over.
type load struct {
	events   []event // sorted by time, then by their place in the batch
	parts    bool    // they are those of one record
	rejected []rejection
	next     int   // the first record that is left for another load
	passed   []int // records before next that are left, too: they are too far in time from those that go
	behind   map[producer]bool

	bytes          int   // of the events, as AWS counts
	oldest, newest int64 // of the events, in milliseconds
	sorted         bool
	block          *render.Block // of texts that were rendered; nil while there are none
}

// A producer is whose records keep their order. One that passed a record over is behind: all that come after it are.
type producer struct{ tenant, stream string }

// maxPassed is how many records one load passes over at most. There are as many only where producers are a day apart.
const maxPassed = 1000

// load gives as much of the batch, from its beginning, as one request takes at that time, by AWS's clock. Where the time is not
// known, which is the zero Time, it is for AWS to say what is too old and what is too new.
func (o *Output) load(b *engine.Batch, now time.Time) *load {
	l := o.loads.get()
	l.sorted = true
	low, high := o.limits.window(now)
	for i, r := range b.All() {
		f := r.Fields()
		e := event{at: millis(&f, r.Chunk), record: i}
		switch {
		case e.at < low:
			l.reject(i, tooOld)
		case e.at > high:
			l.reject(i, tooNew)
		case l.leaves(r.Chunk.Stream) || l.apart(e.at, &o.limits):
			if !l.pass(i, r.Chunk.Stream) {
				return l.sort()
			}
		default:
			if e.text = o.text(l, &r, &f); !o.take(l, e) {
				return l.sort()
			}
		}
		l.next = i + 1
	}
	return l.sort()
}

// apart reports whether an event of that time would stretch the load over more than AWS takes.
func (l *load) apart(at int64, most *limits) bool {
	return len(l.events) > 0 && max(l.newest, at)-min(l.oldest, at) > most.span.Milliseconds()
}

// leaves reports whether a record of the stream was passed over.
func (l *load) leaves(s *engine.Stream) bool {
	return len(l.passed) > 0 && l.behind[producer{s.Tenant, s.ID}]
}

// pass passes a record over, or says that it were too many.
func (l *load) pass(record int, s *engine.Stream) bool {
	if l.parts || len(l.passed) == maxPassed {
		return false
	}
	if l.behind == nil {
		l.behind = map[producer]bool{}
	}
	l.behind[producer{s.Tenant, s.ID}] = true
	l.passed = append(l.passed, record)
	return true
}

// unload puts a load by for another.
func (o *Output) unload(l *load) {
	if l.block != nil {
		l.block.Free()
	}
	clear(l.events) // they point into chunks
	*l = load{events: l.events[:0], rejected: l.rejected[:0], passed: l.passed[:0]}
	o.loads.put(l)
}

// millis is when AWS is told that the record happened: its own time, else when it was observed, else when its chunk arrived.
func millis(f *engine.Fields, c *engine.Chunk) int64 {
	switch {
	case f.Time != 0:
		return int64(f.Time / 1e6)
	case f.ObservedTime != 0:
		return int64(f.ObservedTime / 1e6)
	}
	return c.Arrived.UnixMilli()
}

// text is the record's message: the body as it is where it is a string, as JSON where it is none, or the whole record as JSON.
func (o *Output) text(l *load, r *engine.BatchRecord, f *engine.Fields) []byte {
	var text []byte
	if o.set.Format == FormatBody && f.Body.Kind() == engine.ValueString {
		text = f.Body.Bytes()
	} else {
		if l.block == nil {
			l.block = o.renderer.Block()
		}
		l.block.Add(*r)
		n := len(l.block.Ends) - 1
		text = l.block.Bytes[l.block.Start(n) : l.block.Ends[n]-1] // without its newline
	}
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\ufffd"))
	}
	return text
}

// take adds an event, rejects it, or says that it is for another Write.
func (o *Output) take(l *load, e event) bool {
	switch {
	case len(e.text) == 0:
		l.reject(e.record, emptyMessage)
		return true
	case len(e.text) > o.limits.message() && o.set.Oversize == OversizeDeadLetter:
		l.reject(e.record, tooLarge)
		return true
	case len(e.text) > o.limits.message():
		if len(l.events) > 0 {
			return false
		}
		l.events, l.parts = appendParts(l.events, e, o.limits.message()), true
		for i := range l.events { // over the limit: nothing goes along with it
			l.bytes += l.events[i].size()
		}
		return true
	}
	return l.add(e, &o.limits)
}

// add adds an event that is not apart, where all other limits are kept with it.
func (l *load) add(e event, most *limits) bool {
	if l.bytes+e.size() > most.bytes || len(l.events) == most.records {
		return false
	}
	if len(l.events) == 0 {
		l.oldest, l.newest = e.at, e.at
	}
	l.oldest, l.newest = min(l.oldest, e.at), max(l.newest, e.at)
	l.sorted = l.sorted && e.at == l.newest
	l.bytes += e.size()
	l.events = append(l.events, e)
	return true
}

// request is which of the events, from the first on, make one request: all, but of parts one alone. Of these no two would fit, as all but the
// last one are full.
func (l *load) request(events []event) []event {
	if l.parts {
		return events[:1]
	}
	return events
}

// sort brings the events in the order that AWS wants. Those of one time stay as they came.
func (l *load) sort() *load {
	if !l.sorted {
		slices.SortFunc(l.events, func(a, b event) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.record, b.record))
		})
	}
	return l
}
