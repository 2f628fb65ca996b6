package engine

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxDepth is how many messages may lie within each other, the record or resource itself being the first: a body is the
// second, a list within it costs two more, a key-value list three. Most protobuf implementations stop at 100, and an OTLP
// request wraps a record in three messages of its own, so what is admitted here can be read at any destination.
const MaxDepth = 96

// ScanRecord checks the wire bytes of one LogRecord, in depth: nil where protobuf would take them with a recursion limit of
// MaxDepth, otherwise what is wrong and where. As in protobuf, an unknown field is passed over, and so is a known one with
// another wire type than its own. It allocates only to report a fault. It may be called concurrently.
func ScanRecord(b []byte) *RecordError { return report(scan(b, shapeRecord, MaxDepth)) }

// ScanResource is ScanRecord for an OTLP Resource.
func ScanResource(b []byte) *RecordError { return report(scan(b, shapeResource, MaxDepth)) }

// A shape is one of the messages that records are made of.
type shape uint8

const (
	shapeRecord shape = iota
	shapeResource
	shapeKeyValue
	shapeAnyValue
	shapeArrayValue
	shapeKeyValueList
	shapeCount
)

// A step is what the scan does with a field once it has read the tag.
type step uint8

const (
	stepRefuse step = iota // no field has this tag
	stepVarint
	stepFixed32
	stepFixed64
	stepGroup
	stepBytes
	stepText  // bytes that must be UTF-8
	stepEnter // stepEnter + s: a message of shape s
)

// field describes one field of a shape.
type field struct {
	number   uint64
	name     string
	step     step
	repeated bool
}

// fields is record.proto, as far as the scan must know it.
//
//nolint:gochecknoglobals // a table, never written to
var fields = [shapeCount][]field{
	shapeRecord: {
		{1, "time_unix_nano", stepFixed64, false},
		{2, "severity_number", stepVarint, false},
		{3, "severity_text", stepText, false},
		{5, "body", stepEnter + step(shapeAnyValue), false},
		{6, "attributes", stepEnter + step(shapeKeyValue), true},
		{7, "dropped_attributes_count", stepVarint, false},
		{8, "flags", stepFixed32, false},
		{9, "trace_id", stepBytes, false},
		{10, "span_id", stepBytes, false},
		{11, "observed_time_unix_nano", stepFixed64, false},
		{12, "event_name", stepText, false},
	},
	shapeResource: {
		{1, "attributes", stepEnter + step(shapeKeyValue), true},
		{2, "dropped_attributes_count", stepVarint, false},
	},
	shapeKeyValue: {
		{1, "key", stepText, false},
		{2, "value", stepEnter + step(shapeAnyValue), false},
	},
	shapeAnyValue: {
		{1, "string_value", stepText, false},
		{2, "bool_value", stepVarint, false},
		{3, "int_value", stepVarint, false},
		{4, "double_value", stepFixed64, false},
		{5, "array_value", stepEnter + step(shapeArrayValue), false},
		{6, "kvlist_value", stepEnter + step(shapeKeyValueList), false},
		{7, "bytes_value", stepBytes, false},
	},
	shapeArrayValue:   {{1, "values", stepEnter + step(shapeAnyValue), true}},
	shapeKeyValueList: {{1, "values", stepEnter + step(shapeKeyValue), true}},
}

// steps says what to do with every tag of one byte, which all the known ones are. A tag that fits no field of the shape is
// passed over by its wire type.
//
//nolint:gochecknoglobals // a table, worked out once and never written again
var steps = func() (table [shapeCount][128]step) {
	for s := range shapeCount {
		for tag := 1 << 3; tag < 128; tag++ {
			table[s][tag] = stepOver(protowire.Type(tag & 7))
		}
		for _, f := range fields[s] {
			table[s][protowire.EncodeTag(protowire.Number(f.number), f.step.wire())] = f.step
		}
	}
	return table
}()

// stepOver passes over a field of a wire type. A group's end is met only where no group began.
func stepOver(wire protowire.Type) step {
	switch wire {
	case protowire.VarintType:
		return stepVarint
	case protowire.Fixed32Type:
		return stepFixed32
	case protowire.Fixed64Type:
		return stepFixed64
	case protowire.StartGroupType:
		return stepGroup
	case protowire.BytesType:
		return stepBytes
	default:
		return stepRefuse
	}
}

// wire is the wire type of a field that the step is for.
func (s step) wire() protowire.Type {
	switch s {
	case stepVarint:
		return protowire.VarintType
	case stepFixed32:
		return protowire.Fixed32Type
	case stepFixed64:
		return protowire.Fixed64Type
	default:
		return protowire.BytesType
	}
}

// complaint says what is wrong where the step is not possible.
func (s step) complaint() string {
	switch s {
	case stepRefuse:
		return "not a valid field number or wire type"
	case stepVarint:
		return "varint cut short, or too long"
	case stepFixed32, stepFixed64:
		return "cut short"
	case stepGroup:
		return "group without its end, or malformed"
	default:
		return "cut short, or malformed length"
	}
}

// scan checks a message. depth is how many messages may still lie within each other, this one included. It is the hot path
// of everything that comes in: numbers of one byte, and lengths of two, are read in place, because a call costs more than they do.
func scan(b []byte, s shape, depth int) *fault {
	if depth == 0 {
		return &fault{code: FaultTooDeep, msg: fmt.Sprintf("nested more than %d messages deep", MaxDepth)}
	}
	table := &steps[s]
	for i := 0; i < len(b); {
		at := i
		tag := uint64(b[i])
		i++
		var do step
		if tag < 0x80 {
			do = table[tag]
		} else if tag, i = longVarint(b, at); i < 0 {
			return &fault{code: FaultMalformed, msg: "tag cut short or too long"}
		} else if tag < 0x80 {
			do = table[tag]
		} else if tag>>3 <= uint64(protowire.MaxValidNumber) {
			do = stepOver(protowire.Type(tag & 7))
		}

		switch do {
		case stepRefuse:
			i = -1
		case stepVarint:
			if i < len(b) && b[i] < 0x80 {
				i++
			} else {
				_, i = longVarint(b, i)
			}
		case stepFixed32:
			i += 4
		case stepFixed64:
			i += 8
		case stepGroup:
			i = groupEnd(b, i, protowire.Number(tag>>3))
		default:
			var n uint64
			switch {
			case i < len(b) && b[i] < 0x80:
				n, i = uint64(b[i]), i+1
			case i+1 < len(b) && b[i+1] < 0x80: // most bodies
				n, i = uint64(b[i]&0x7f)|uint64(b[i+1])<<7, i+2
			default:
				n, i = longVarint(b, i)
			}
			if i < 0 || n > uint64(len(b)-i) {
				i = -1
				break
			}
			v := b[i : i+int(n)]
			i += int(n)
			if do >= stepEnter {
				if f := scan(v, shape(do-stepEnter), depth-1); f != nil {
					return f.within(b[:at], s, tag)
				}
			} else if do == stepText && !ascii(v) && !utf8.Valid(v) {
				return broken(b[:at], s, tag, FaultInvalidUTF8, "not valid UTF-8")
			}
		}
		if uint(i) > uint(len(b)) { // past the end, or negative
			return broken(b[:at], s, tag, FaultMalformed, do.complaint())
		}
	}
	return nil
}

// ascii reports whether all of v is ASCII. It takes 32 bytes a step, where utf8.Valid takes eight.
func ascii(v []byte) bool {
	const high = 0x8080808080808080
	for len(v) >= 32 {
		w := binary.LittleEndian.Uint64(v) | binary.LittleEndian.Uint64(v[8:]) |
			binary.LittleEndian.Uint64(v[16:]) | binary.LittleEndian.Uint64(v[24:])
		if w&high != 0 {
			return false
		}
		v = v[32:]
	}
	for len(v) >= 8 {
		if binary.LittleEndian.Uint64(v)&high != 0 {
			return false
		}
		v = v[8:]
	}
	var rest byte
	for _, c := range v {
		rest |= c
	}
	return rest < 0x80
}
