package render

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// appendObject appends a record as a JSON object, without the newline that ends it.
func (b *Block) appendObject(dst []byte, r *engine.BatchRecord) []byte {
	if b.chunk != r.Chunk {
		b.enter(r.Chunk)
	}
	f := r.Fields()
	dst = append(dst, `{"time":"`...)
	dst = appendTime(dst, &f, r.Chunk)
	dst = append(dst, '"')
	if len(f.SeverityText) > 0 {
		dst = append(dst, `,"severity":`...)
		dst = AppendString(dst, f.SeverityText)
	} else if f.Severity != 0 {
		dst = append(dst, `,"severity":"`...)
		dst = appendSeverity(dst, &f)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"body":`...)
	dst = appendValue(dst, f.Body)
	dst = append(dst, b.source...)
	dst = strconv.AppendUint(dst, r.Sequence, 10)
	if len(f.EventName) > 0 {
		dst = append(dst, `,"event_name":`...)
		dst = AppendString(dst, f.EventName)
	}
	dst = appendID(dst, `,"trace_id":"`, f.TraceID)
	dst = appendID(dst, `,"span_id":"`, f.SpanID)
	dst = appendAttributes(dst, r.Record)
	dst = append(dst, b.resource...)
	if r.Dead != nil {
		dst = appendDeadLetter(dst, r.Dead)
	}
	return append(dst, '}')
}

// enter renders what is the same for all records of a chunk.
func (b *Block) enter(c *engine.Chunk) {
	b.chunk = c
	b.source = append(b.source[:0], `,"tag":`...)
	b.source = AppendString(b.source, c.Stream.Tag)
	b.source = append(b.source, `,"stream":`...)
	b.source = AppendString(b.source, c.Stream.ID)
	b.source = append(b.source, `,"sequence":`...)
	b.resource = append(b.resource[:0], `,"resource":{`...)
	from := len(b.resource)
	for k, v := range engine.ResourceAttributes(c.Resource) {
		b.resource = appendMember(b.resource, from, k, v)
	}
	b.resource = closeMap(b.resource, from, 0)
}

func appendAttributes(dst []byte, r engine.Record) []byte {
	before := len(dst)
	dst = append(dst, `,"attributes":{`...)
	from := len(dst)
	for k, v := range r.Attributes() { // in place: an iterator that is passed on makes the loop's body allocate
		dst = appendMember(dst, from, k, v)
	}
	return closeMap(dst, from, before)
}

// closeMap ends the object whose members begin at from, or takes it back to where it began where there are none.
func closeMap(dst []byte, from, before int) []byte {
	if len(dst) == from {
		return dst[:before]
	}
	return append(dst, '}')
}

// appendTime appends when the record happened, as the package's description says, in RFC 3339.
func appendTime(dst []byte, f *engine.Fields, c *engine.Chunk) []byte {
	at := c.Arrived
	switch {
	case f.Time != 0:
		at = unixNano(f.Time)
	case f.ObservedTime != 0:
		at = unixNano(f.ObservedTime)
	}
	return at.UTC().AppendFormat(dst, time.RFC3339Nano)
}

// unixNano is time.Unix for all 64 bits: up to the year 2554.
func unixNano(n uint64) time.Time { return time.Unix(int64(n/1e9), int64(n%1e9)) }

// appendSeverity appends the severity's text, else OTLP's name of its number, else the number, or nothing where it is 0.
func appendSeverity(dst []byte, f *engine.Fields) []byte {
	switch n := f.Severity; {
	case len(f.SeverityText) > 0:
		return append(dst, f.SeverityText...)
	case n == 0:
		return dst
	case n < 0 || n > 24:
		return strconv.AppendInt(dst, int64(n), 10)
	default: // each name has four numbers: INFO, INFO2, INFO3, INFO4
		dst = append(dst, [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}[(n-1)/4]...)
		if step := (n - 1) % 4; step > 0 {
			dst = append(dst, byte('1'+step))
		}
		return dst
	}
}

func appendID(dst []byte, name string, id []byte) []byte {
	if len(id) == 0 {
		return dst
	}
	dst = append(dst, name...)
	dst = hex.AppendEncode(dst, id)
	return append(dst, '"')
}

func appendDeadLetter(dst []byte, d *engine.DeadLetter) []byte {
	dst = append(dst, `,"dead_letter":{"output":`...)
	dst = AppendString(dst, d.Output)
	if d.Target != "" {
		dst = append(dst, `,"target":`...)
		dst = AppendString(dst, d.Target)
	}
	dst = append(dst, `,"reason":`...)
	dst = AppendString(dst, d.Reason)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, d.Message)
	if d.RequestID != "" {
		dst = append(dst, `,"request_id":`...)
		dst = AppendString(dst, d.RequestID)
	}
	dst = append(dst, `,"attempts":`...)
	dst = strconv.AppendInt(dst, int64(d.Attempts), 10)
	dst = append(dst, `,"first":"`...)
	dst = d.First.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","last":"`...)
	dst = d.Last.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}
