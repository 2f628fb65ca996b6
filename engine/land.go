package engine

import (
	"slices"
	"time"
)

// arrive takes a Write that has returned. One that returned before its turn waits for it all the same; that of one that was
// called off does not come.
func (d *delivery) arrive(now time.Time, l *landing) {
	d.airborne--
	d.pinned -= l.batch.pinned
	if t := l.batch.turn; t != nil && !t.hasCome() {
		t.early = l
		return
	}
	d.land(now, l)
}

// land books a flight that has ended and says what becomes of its records.
func (d *delivery) land(now time.Time, l *landing) {
	b := l.batch
	d.tell()
	delete(d.aloft, b)
	if b.turn != nil && b.turn.guard != nil {
		b.turn.guard.Stop()
	}
	if b.probes != nil {
		b.probes.flying--
		b.probes = nil
	}
	v := d.Retry.judge(now, l)
	if d.draining { // there is only so much time
		v.wait, v.cool = min(v.wait, drainBackoff), min(v.cool, drainBackoff)
	}
	d.books.touchDown(now, l, v)
	d.report(now, l, v)
	for _, r := range v.rejected {
		d.reject(b.slice(r.Range), DeadLetter{
			Target: b.Key, Reason: r.Reason, Message: r.Message, RequestID: r.RequestID,
			Attempts: b.Attempt, First: b.First, Last: now,
		})
	}
	p := d.park(now, b.Key, v, l)
	if p != nil {
		v.wait = p.probe.Sub(now)
	}
	rest := rest(now, b, v)
	if p != nil && p.diverting {
		d.divert(now, rest)
		rest = nil
	}
	result := Result{Rest: rest, Latency: l.latency, Pushback: v.pushback}
	for _, r := range v.back {
		result.Back = append(result.Back, b.slice(r)...)
	}
	if v.cool > 0 {
		result.Cool = now.Add(v.cool)
	}
	d.misfit = len(v.back) > 0
	leaving := d.settle(now, b, result, v.whole())
	for _, r := range v.delivered {
		d.untold = append(d.untold, b.slice(r))
	}
	if d.tellAt = now.Add(tellDelay); !leaving {
		d.tell()
	}
	if p := d.parked[b.Key]; p != nil && p.diverting {
		d.reject(d.Scheduler.Take(now, b.Key), p.deadLetter(now))
	}
}

// tellDelay is how long what was delivered is not told, where the next batch leaves at this moment. Telling sets producers going
// that waited for it, and what they send has to be received: that competes for the processor with the sending, which is in more
// of a hurry.
const tellDelay = 2 * time.Millisecond

// tell finishes what was delivered and is not told yet.
func (d *delivery) tell() {
	for _, spans := range d.untold {
		d.finish(spans, "delivered", "")
	}
	clear(d.untold)
	d.untold = d.untold[:0]
}

// settle gives the scheduler back what flew. What stood by for it flies if that went well, and it says so; else it is put back
// first, for what is left of this one goes before it. The slot is for whatever stands by for want of one, if it is still free.
func (d *delivery) settle(now time.Time, b *Batch, r Result, whole bool) (leaving bool) {
	f := b.follower
	b.follower = nil
	if f != nil && !whole {
		d.callOff(now, f)
	}
	d.Scheduler.Done(now, b, r)
	if f != nil && whole {
		leaving = d.letGo(now, f)
	}
	d.standIn(now)
	return leaving
}

// rest makes the batches that are tried again. The whole batch is tried as it is; it is frozen.
func rest(now time.Time, b *Batch, v verdict) []*Batch {
	var rest []*Batch
	for _, spans := range v.parts(b) {
		part := b
		if len(v.rest) > 1 || v.rest[0] != (Range{0, b.Records}) {
			part = NewBatch(spans...)
			part.Attempt, part.First, part.flight = b.Attempt, b.First, b.flight
		}
		if v.fresh {
			part.Attempt = 0
		}
		part.NotBefore = time.Time{}
		if v.wait > 0 {
			part.NotBefore = now.Add(v.wait)
		}
		rest = append(rest, part)
	}
	return rest
}

// parts are the spans of each batch that is tried again: of each range, or, where they were only not tried yet, of all.
func (v *verdict) parts(b *Batch) [][]Span {
	parts := make([][]Span, len(v.rest))
	for i, r := range v.rest {
		parts[i] = b.slice(r)
	}
	if v.taken && len(parts) > 1 {
		return [][]Span{slices.Concat(parts...)}
	}
	return parts
}

// finish tells the cursors that spans are done, and the books how.
func (d *delivery) finish(spans []Span, result, reason string) {
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && spans[n].Cursor == spans[0].Cursor && sameEnd(&spans[n], &spans[0]) {
			n++
		}
		d.finishRun(spans[:n], DoneLabel{Result: result, Reason: reason})
		spans = spans[n:]
	}
}

// finishRun books spans of one cursor that end in one way. A dead letter is booked where it comes from: safe, it counts as
// dead-lettered with the reason it had there.
func (d *delivery) finishRun(spans []Span, label DoneLabel) {
	origin := d
	if dead := spans[0].Dead; dead != nil {
		origin = d.engine.output(dead.Output)
		origin.ahead.buried.Add(-recordsOf(spans))
		if label.Result == "delivered" {
			label = DoneLabel{Result: "dead_lettered", Reason: dead.Reason}
			d.interred[refusal{dead.Output, dead.Reason}] += recordsOf(spans)
		}
	}
	parts := make([]Part, len(spans))
	for i := range spans {
		parts[i] = Part{Pos: spans[i].Pos, Records: spans[i].Records}
	}
	origin.books.finish(spans, label)
	if err := spans[0].Cursor.Done(parts); err != nil {
		d.engine.log.Error("finish batch", "output", origin.Name, "err", err)
	}
	d.engine.reviews.poke()
	d.engine.quiet.ring()
}

func sameEnd(a, b *Span) bool {
	if a.Dead == nil || b.Dead == nil {
		return a.Dead == b.Dead
	}
	return a.Dead.Output == b.Dead.Output && a.Dead.Reason == b.Dead.Reason
}

// reject gives spans that the output will never take to the dead-letter output, or drops them where there is none.
func (d *delivery) reject(spans []Span, why DeadLetter) {
	if len(spans) == 0 {
		return
	}
	if d.dead == nil {
		d.drop(spans, why.Reason)
		return
	}
	why.Output = d.Name
	spans = slices.Clone(spans)
	for i := range spans {
		if spans[i].Dead == nil { // a dead letter that is refused again keeps its first reason
			spans[i].Dead = &why
			d.ahead.buried.Add(int64(spans[i].Records.Len()))
		}
	}
	d.dead.box.bury(spans)
}

func recordsOf(spans []Span) (n int64) {
	for i := range spans {
		n += int64(spans[i].Records.Len())
	}
	return n
}

// drop loses spans, knowingly: it is counted with its reason, and told.
func (d *delivery) drop(spans []Span, reason string) {
	for i := range spans {
		d.dropped[reason] += int64(spans[i].Records.Len())
	}
	d.finish(spans, "dropped", reason)
}

// slice gives the spans of some of the batch's records.
func (b *Batch) slice(r Range) []Span {
	if r.From == 0 && r.To == b.Records {
		return b.Spans
	}
	var part []Span
	at := 0
	for i := range b.Spans {
		s := b.Spans[i]
		n := s.Records.Len()
		from, to := max(r.From-at, 0), min(r.To-at, n)
		at += n
		if from >= to {
			continue
		}
		if to < n {
			s.Split(to)
		}
		if from > 0 {
			s = s.Split(from)
		}
		part = append(part, s)
	}
	return part
}
