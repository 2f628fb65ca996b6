// Package cloudwatch is an output that puts records into AWS CloudWatch Logs.
//
// What a batch carries goes to one log stream, sorted by time, in requests that keep all of the limits of PutLogEvents. The
// SDK signs, finds endpoint and credentials; the body is our own encoding, and retries are the engine's.
//
// Delivery is at least once: a connection that breaks after AWS took a request hides its success, and its records are sent
// again.
package cloudwatch

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

var (
	_ engine.Output   = (*Output)(nil)
	_ engine.Keyer    = (*Output)(nil)
	_ engine.Batcher  = (*Output)(nil)
	_ engine.Measurer = (*Output)(nil)
)

// An Output puts each batch in a request of its own, or in several where one record takes more than one. It keeps no state
// per log stream, but for those that are being created.
type Output struct {
	set       Options
	limits    limits
	names     names
	renderer  *render.Renderer // of what is no string, or of whole records
	transport *transport
	login     *login
	regions   regions
	creations flights
	loads     stock[load]
	payloads  stock[payload]
}

// PerRecord implements [engine.Keyer].
func (o *Output) PerRecord(*engine.Chunk) bool { return o.names.perRecord() }

// AppendKey implements [engine.Keyer]. The key is the target, "region:group:stream".
func (o *Output) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	return o.names.append(dst, c, r)
}

// Batching implements [engine.Batcher]: what one PutLogEvents takes, one a second where little comes.
func (o *Output) Batching() engine.BatchLimits {
	return engine.BatchLimits{MaxBytes: o.limits.bytes, MaxRecords: o.limits.records, Bulk: bulk, Linger: time.Second}
}

// Measure implements [engine.Measurer]: what the record counts for in PutLogEvents. It is exact for a string that is sent as
// it is, and an estimate of what else is rendered as JSON.
func (o *Output) Measure(c *engine.Chunk, r engine.Record) int {
	if o.set.Format == FormatJSON {
		return len(r.Wire) + len(c.Resource) + len(c.Stream.Tag) + len(c.Stream.ID) + jsonOverhead + perEvent
	}
	if v := r.Body(); v.Kind() == engine.ValueString {
		return len(v.Bytes()) + perEvent
	}
	return len(r.Wire) + perEvent
}

// jsonOverhead is about how many bytes a record takes more as a JSON object than on the wire.
const jsonOverhead = 128

// Write puts the longest part of the batch, from its beginning, that makes full requests within all limits, and at least one
// request. What is left over waits to be filled up. A record over the limit of one event takes several requests. Each is
// prepared while the one before it is under way.
func (o *Output) Write(ctx context.Context, b *engine.Batch) error {
	t, ok := parseKey(b.Key)
	if !ok {
		return engine.Permanent("bad_key", fmt.Errorf("%q names no target", b.Key))
	}
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	l, err := o.prepare(t, b, 0)
	if err != nil {
		return err
	}
	for left := b.Bytes; ; {
		left -= l.bytes
		ahead := o.ahead(t, b, l, left)
		err := o.deliver(ctx, t, l)
		next := ahead.wait()
		if err != nil || next == nil {
			answer := l.answer(b.Records, err)
			o.unload(l)
			o.unload(next)
			return answer
		}
		next.follow(l)
		o.unload(l)
		l = next
	}
}

// deliver puts the load's events. What AWS rejects is noted in the load.
func (o *Output) deliver(ctx context.Context, t target, l *load) error {
	r := o.region(t.region)
	for rest := l.events; len(rest) > 0; {
		events, send := l.request(rest), o.send
		if len(rest) < len(l.events) {
			send = o.sendOn
		}
		if err := o.encode(t, l, events); err != nil {
			return err
		}
		rejected, err := send(ctx, r, t, l.payload)
		if err != nil {
			return err
		}
		o.free(l.payload)
		l.payload = nil
		l.rejectEvents(events, rejected)
		rest = rest[len(events):]
	}
	return nil
}

// Close closes the connections. No Write may be under way.
func (o *Output) Close() error {
	o.transport.CloseIdleConnections()
	return nil
}
