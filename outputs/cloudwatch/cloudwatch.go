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
	return engine.BatchLimits{MaxBytes: o.limits.bytes, MaxRecords: o.limits.records, Linger: time.Second}
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

// Write puts the longest part of the batch, from its beginning, that makes one request within all limits. What is left over
// waits to be filled up. A record over the limit of one event takes several requests.
func (o *Output) Write(ctx context.Context, b *engine.Batch) error {
	t, ok := parseKey(b.Key)
	if !ok {
		return engine.Permanent("bad_key", fmt.Errorf("%q names no target", b.Key))
	}
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	r := o.region(t.region)
	l := o.load(b, r.clock.now())
	defer o.unload(l)
	return l.answer(b.Records, o.deliver(ctx, delivery{b, r, t}, l))
}

// A delivery is of a batch to its target.
type delivery struct {
	batch  *engine.Batch
	region *region
	target target
}

// deliver puts the load's events. What AWS rejects is noted in the load.
func (o *Output) deliver(ctx context.Context, d delivery, l *load) error {
	for rest := l.events; len(rest) > 0; {
		events, send := l.request(rest), o.send
		if len(rest) < len(l.events) {
			send = o.sendOn
		}
		p, err := o.payload(d.target, events)
		if err != nil {
			return engine.Retryable(err)
		}
		r, err := send(ctx, d, p)
		o.free(p)
		if err != nil {
			return err
		}
		l.rejectEvents(events, r)
		rest = rest[len(events):]
	}
	return nil
}

// Close closes the connections. No Write may be under way.
func (o *Output) Close() error {
	o.transport.CloseIdleConnections()
	return nil
}
