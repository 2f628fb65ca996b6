package engine

import (
	"iter"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A ValueKind says what a Value holds.
type ValueKind uint8

// The kinds of value.
const (
	ValueNone ValueKind = iota // absent, or present and empty: what JSON calls null
	ValueString
	ValueBool
	ValueInt
	ValueDouble
	ValueArray
	ValueKVList
	ValueBytes
)

// String is the kind as people read it, such as "kvlist".
func (k ValueKind) String() string {
	return [...]string{"none", "string", "bool", "int", "double", "array", "kvlist", "bytes"}[k]
}

// A Value is a view of one OTLP AnyValue. Its zero value is no value. What it returns lies in the record's own bytes. Safe
// for concurrent use.
type Value struct {
	kind ValueKind
	num  uint64 // of a bool, an int or a double: as on the wire
	data []byte // of the others: their content, of an array or a list still in wire form
}

// The tags of an AnyValue, and of what holds values.
const (
	tagString = 1<<3 | uint64(protowire.BytesType)
	tagBool   = 2<<3 | uint64(protowire.VarintType)
	tagInt    = 3<<3 | uint64(protowire.VarintType)
	tagDouble = 4<<3 | uint64(protowire.Fixed64Type)
	tagArray  = 5<<3 | uint64(protowire.BytesType)
	tagKVList = 6<<3 | uint64(protowire.BytesType)
	tagBytes  = 7<<3 | uint64(protowire.BytesType)

	tagValues = 1<<3 | uint64(protowire.BytesType)
	tagKey    = 1<<3 | uint64(protowire.BytesType)
	tagValue  = 2<<3 | uint64(protowire.BytesType)
)

// newValue reads an AnyValue. Of several values in it the last counts, as in protobuf; arrays and lists in a row are one.
func newValue(wire []byte) (v Value) {
	for len(wire) > 0 {
		var tag, num uint64
		var data []byte
		tag, num, data, wire = nextField(wire)
		switch tag {
		case tagString:
			v = Value{kind: ValueString, data: data}
		case tagBool:
			v = Value{kind: ValueBool, num: num}
		case tagInt:
			v = Value{kind: ValueInt, num: num}
		case tagDouble:
			v = Value{kind: ValueDouble, num: num}
		case tagArray:
			v = v.joined(ValueArray, data)
		case tagKVList:
			v = v.joined(ValueKVList, data)
		case tagBytes:
			v = Value{kind: ValueBytes, data: data}
		}
	}
	return v
}

// joined is an array or a list after v: the rest of v where that is one too.
func (v Value) joined(kind ValueKind, data []byte) Value {
	if v.kind == kind {
		data = merge(v.data, data)
	}
	return Value{kind: kind, data: data}
}

// Kind says what the value holds, and so which of the methods below is to be asked. The others answer zero or nothing.
func (v Value) Kind() ValueKind { return v.kind }

// Bool is the value of a ValueBool.
func (v Value) Bool() bool { return v.kind == ValueBool && v.num != 0 }

// Int is the value of a ValueInt.
func (v Value) Int() int64 {
	if v.kind != ValueInt {
		return 0
	}
	return int64(v.num)
}

// Double is the value of a ValueDouble. It may be infinite, or not a number.
func (v Value) Double() float64 {
	if v.kind != ValueDouble {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Bytes is the content of a ValueBytes, or of a ValueString, which is UTF-8.
func (v Value) Bytes() []byte {
	if v.kind != ValueBytes && v.kind != ValueString {
		return nil
	}
	return v.data
}

// Array yields the values of a ValueArray. They nest no deeper than MaxDepth allows.
func (v Value) Array() iter.Seq[Value] {
	return func(yield func(Value) bool) { v.eachValue(yield) }
}

func (v Value) eachValue(yield func(Value) bool) {
	if v.kind != ValueArray {
		return
	}
	for b := v.data; len(b) > 0; {
		var tag uint64
		var data []byte
		if tag, _, data, b = nextField(b); tag == tagValues && !yield(newValue(data)) {
			return
		}
	}
}

// KVList yields the keys and values of a ValueKVList in order. A key may be there more than once. The values nest no deeper
// than MaxDepth allows.
func (v Value) KVList() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.kind == ValueKVList {
			eachKeyValue(v.data, tagValues, yield)
		}
	}
}

// eachKeyValue yields the KeyValues among the fields of a message that have this tag.
func eachKeyValue(wire []byte, tag uint64, yield func([]byte, Value) bool) {
	for len(wire) > 0 {
		var found uint64
		var data []byte
		if found, _, data, wire = nextField(wire); found != tag {
			continue
		}
		if key, value := keyValue(data); !yield(key, value) {
			return
		}
	}
}

// keyValue reads a KeyValue.
func keyValue(wire []byte) (key []byte, v Value) {
	var value []byte
	for len(wire) > 0 {
		var tag uint64
		var data []byte
		tag, _, data, wire = nextField(wire)
		switch tag {
		case tagKey:
			key = data
		case tagValue:
			value = merge(value, data)
		}
	}
	return key, newValue(value)
}

// merge joins the encodings of a message that is there twice: protobuf merges such messages, and that is what it makes of
// them one after the other. nextField limits capacities, so that append leaves the wire bytes alone.
func merge(first, second []byte) []byte {
	if len(first) == 0 {
		return second
	}
	return append(first, second...)
}
