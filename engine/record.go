package engine

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Record is a view of one OTLP LogRecord in wire form that the scan has validated. Its methods decode as they go and
// allocate nothing, unless a producer split a value in pieces that protobuf's rules for repeated fields make one again.
// What they return lies in Wire. Safe for concurrent use.
type Record struct{ Wire []byte }

// The tags of the fields that the views read, by message: field number << 3 | wire type.
const (
	tagTime         = 1<<3 | uint64(protowire.Fixed64Type)
	tagSeverity     = 2<<3 | uint64(protowire.VarintType)
	tagSeverityText = 3<<3 | uint64(protowire.BytesType)
	tagBody         = 5<<3 | uint64(protowire.BytesType)
	tagAttributes   = 6<<3 | uint64(protowire.BytesType)
	tagDropped      = 7<<3 | uint64(protowire.VarintType)
	tagFlags        = 8<<3 | uint64(protowire.Fixed32Type)
	tagTraceID      = 9<<3 | uint64(protowire.BytesType)
	tagSpanID       = 10<<3 | uint64(protowire.BytesType)
	tagObservedTime = 11<<3 | uint64(protowire.Fixed64Type)
	tagEventName    = 12<<3 | uint64(protowire.BytesType)

	tagResourceAttributes = 1<<3 | uint64(protowire.BytesType)
)

// Fields are a record's fields, its attributes apart. One that the record lacks is zero, as in proto3.
type Fields struct {
	Time, ObservedTime uint64 // nanoseconds since the Unix epoch; 0: unknown
	Severity           int32  // OTLP's severity number, 1 to 24; 0: unknown; any other is a producer's own
	SeverityText       []byte // UTF-8
	Body               Value
	DroppedAttributes  uint32
	Flags              uint32 // the low eight bits are W3C trace flags
	TraceID, SpanID    []byte // 16 and 8 bytes, or empty; not checked
	EventName          []byte // UTF-8
}

// Fields reads all fields but the attributes in one pass. Where several are wanted it is the cheapest way; the methods for
// one field are for where one is. Of a field that is there twice the last counts, and bodies are merged, as in protobuf.
func (r Record) Fields() (f Fields) {
	var body []byte
	for b := r.Wire; len(b) > 0; {
		var tag, num uint64
		var data []byte
		tag, num, data, b = nextField(b)
		switch tag {
		case tagTime:
			f.Time = num
		case tagSeverity:
			f.Severity = int32(num)
		case tagSeverityText:
			f.SeverityText = data
		case tagBody:
			body = merge(body, data)
		case tagDropped:
			f.DroppedAttributes = uint32(num)
		case tagFlags:
			f.Flags = uint32(num)
		case tagTraceID:
			f.TraceID = data
		case tagSpanID:
			f.SpanID = data
		case tagObservedTime:
			f.ObservedTime = num
		case tagEventName:
			f.EventName = data
		}
	}
	f.Body = newValue(body)
	return f
}

// Time is when it happened, in nanoseconds since the Unix epoch; 0: unknown.
func (r Record) Time() uint64 { return r.Fields().Time }

// ObservedTime is when its producer saw it, in nanoseconds since the Unix epoch; 0: unknown.
func (r Record) ObservedTime() uint64 { return r.Fields().ObservedTime }

// Severity is OTLP's severity number; 0: unknown.
func (r Record) Severity() int32 { return r.Fields().Severity }

// SeverityText is the severity as its source spells it.
func (r Record) SeverityText() []byte { return r.Fields().SeverityText }

// Body is what was logged.
func (r Record) Body() Value { return r.Fields().Body }

// DroppedAttributes is how many attributes the producer left out.
func (r Record) DroppedAttributes() uint32 { return r.Fields().DroppedAttributes }

// Flags holds the W3C trace flags in its low eight bits.
func (r Record) Flags() uint32 { return r.Fields().Flags }

// TraceID should be 16 bytes, or empty; nobody has checked.
func (r Record) TraceID() []byte { return r.Fields().TraceID }

// SpanID should be 8 bytes, or empty; nobody has checked.
func (r Record) SpanID() []byte { return r.Fields().SpanID }

// EventName is empty where the producer gave none.
func (r Record) EventName() []byte { return r.Fields().EventName }

// Attributes yields the record's attributes in order, with their keys. A key may be there more than once.
func (r Record) Attributes() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) { eachKeyValue(r.Wire, tagAttributes, yield) }
}

// Attribute is the first attribute with that key, and whether there is one.
func (r Record) Attribute(key string) (Value, bool) {
	for k, v := range r.Attributes() {
		if string(k) == key {
			return v, true
		}
	}
	return Value{}, false
}

// ResourceAttributes yields the attributes of an OTLP Resource in wire form that the scan has validated, as
// [Record.Attributes] does.
func ResourceAttributes(resource []byte) iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) { eachKeyValue(resource, tagResourceAttributes, yield) }
}

// nextRecord cuts the first `records` field off Data of a chunk, which the scan has validated: a one-byte tag, a length.
func nextRecord(data []byte) (r Record, rest []byte) {
	n, size := protowire.ConsumeVarint(data[1:])
	end := 1 + size + int(n)
	return Record{Wire: data[1+size : end : end]}, data[end:]
}
