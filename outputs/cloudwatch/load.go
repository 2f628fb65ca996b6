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

// A load is what of a batch goes in one request, or in several where one record takes more than one: its records from one on,
// up to where a limit is reached.
type load struct {
	events   []event // sorted by time, then by their place in the batch
	payload  *payload
	rejected []rejection // of the loads before it, too
	first    int         // record
	next     int         // the first record that is left for another load

	bytes          int   // of the events, as AWS counts
	oldest, newest int64 // of the events, in milliseconds
	sorted         bool
	block          *render.Block // of texts that were rendered; nil while there are none
}

// load gives as much of the batch, from its record first on, as one request takes at that time.
func (o *Output) load(b *engine.Batch, first int, now time.Time) *load {
	l := o.loads.Get().(*load)
	l.sorted, l.first, l.next = true, first, first
	low, high := now.Add(-o.limits.past).UnixMilli(), now.Add(o.limits.future).UnixMilli()
	for i, r := range b.From(first) {
		f := r.Fields()
		e := event{at: millis(&f, r.Chunk), record: i}
		switch {
		case e.at < low:
			l.reject(i, tooOld)
		case e.at > high:
			l.reject(i, tooNew)
		default:
			if e.text = o.text(l, &r, &f); !o.take(l, e) {
				return l.sort()
			}
		}
		l.next = i + 1
	}
	return l.sort()
}

// unload puts a load by for another.
func (o *Output) unload(l *load) {
	if l == nil {
		return
	}
	if l.block != nil {
		l.block.Free()
	}
	if l.payload != nil {
		o.free(l.payload)
	}
	clear(l.events) // they point into chunks
	*l = load{events: l.events[:0], rejected: l.rejected[:0]}
	o.loads.Put(l)
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
		l.events = appendParts(l.events, e, o.limits.message())
		for i := range l.events { // over the limit: nothing goes along with it
			l.bytes += l.events[i].size()
		}
		return true
	}
	return l.add(e, &o.limits)
}

// add adds an event where all limits are kept with it.
func (l *load) add(e event, most *limits) bool {
	if len(l.events) == 0 {
		l.oldest, l.newest = e.at, e.at
	}
	oldest, newest := min(l.oldest, e.at), max(l.newest, e.at)
	if l.bytes+e.size() > most.bytes || len(l.events) == most.records || newest-oldest > most.span.Milliseconds() {
		return false
	}
	l.sorted = l.sorted && e.at == newest
	l.oldest, l.newest = oldest, newest
	l.bytes += e.size()
	l.events = append(l.events, e)
	return true
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
