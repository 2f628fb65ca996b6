package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// A landing is a Write that has returned.
type landing struct {
	batch    *Batch
	err      error
	latency  time.Duration
	panicked bool
}

// fly starts a batch's Write on a goroutine of its own. The loop waits for its landing.
func (d *delivery) fly(now time.Time, b *Batch) {
	deadline := now.Add(d.FlushTimeout)
	b.turn, b.follower = nil, nil
	if b.sent == nil { // what an earlier Write left behind may still say that it is
		b.sent = d.box.sent
	}
	d.depart(now, deadline, b)
	d.takeOff(b)
	go func() {
		ctx, cancel := context.WithDeadline(d.flights, deadline)
		defer cancel()
		d.box.land(d.write(ctx, b))
	}()
}

// takeOff books a Write that begins.
func (d *delivery) takeOff(b *Batch) {
	b.pinned = 0
	for i := range b.Spans {
		b.pinned += int64(b.Spans[i].Charge)
	}
	d.airborne++
	d.pinned += b.pinned
}

// laden reports whether what flies takes all the memory that it may.
func (d *delivery) laden() bool { return d.ReadBack > 0 && d.pinned >= d.ReadBack }

// depart books a batch that is sent from now on.
func (d *delivery) depart(now, deadline time.Time, b *Batch) {
	b.Attempt++
	b.again = !b.First.IsZero()
	if !b.again {
		b.First = now
	}
	if b.probes = d.parked[b.Key]; b.probes != nil {
		b.probes.flying++
	}
	d.aloft[b] = false
	d.books.takeOff(now, deadline, b)
}

// write pins the batch's chunks for as long as the output has them, however long that is.
func (d *delivery) write(ctx context.Context, b *Batch) *landing {
	l := &landing{batch: b}
	start := time.Now()
	chunks, err := load(ctx, b.Spans)
	if errors.Is(err, ErrLost) {
		l.err = b.without(len(chunks), err)
		return l
	} else if err != nil {
		l.err = fmt.Errorf("load batch: %w", err)
		return l
	}
	b.Pin(chunks)
	l.panicked, l.err = d.attempt(ctx, b)
	b.Pin(nil)
	release(chunks)
	if b.turn != nil && b.turn.hasCome() {
		start = b.turn.at
	}
	l.latency = time.Since(start)
	return l
}

// attempt calls the output; a panic there fails this batch and nothing else. So does an error that panics when it is read:
// it is read here first.
func (d *delivery) attempt(ctx context.Context, b *Batch) (panicked bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			d.engine.log.Error("output panicked", "output", d.Name, "panic", v, "stack", string(debug.Stack()))
			panicked, err = true, fmt.Errorf("output panicked: %v", v)
		}
	}()
	err = d.Output.Write(ctx, b)
	if err != nil {
		_, _ = err.Error(), AsWriteError(err).Kind
	}
	return false, err
}

// without rejects the records of a span that is lost. The others wait again.
func (b *Batch) without(span int, err error) error {
	from := 0
	for _, s := range b.Spans[:span] {
		from += s.Records.Len()
	}
	lost := Range{from, from + b.Spans[span].Records.Len()}
	return &Partial{Rejected: []Rejected{{Range: lost, Reason: "lost", Message: err.Error()}}}
}

// load gives the chunks of spans, one a span. Spans of one chunk that follow each other share a reference, also where they
// are dead letters of two outputs. Where it fails, it gives those of the spans in front, released.
func load(ctx context.Context, spans []Span) ([]*Chunk, error) {
	chunks := make([]*Chunk, 0, len(spans))
	for i := range spans {
		s := &spans[i]
		if i > 0 && spans[i-1].Pos == s.Pos && spans[i-1].Cursor == s.Cursor {
			chunks = append(chunks, chunks[i-1])
			continue
		}
		c, err := s.Cursor.Load(ctx, s.Pos)
		if err != nil {
			release(chunks)
			return chunks, err
		}
		if i > 0 && chunks[i-1] == c {
			c.Release()
		}
		chunks = append(chunks, c)
	}
	return chunks, nil
}

func release(chunks []*Chunk) {
	for i, c := range chunks {
		if i == 0 || chunks[i-1] != c {
			c.Release()
		}
	}
}
