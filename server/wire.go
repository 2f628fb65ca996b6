package server

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A field is one field of a protobuf message, somewhere in the bytes that it was read from.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  []byte // BytesType: the payload; otherwise all that follows the tag
	from   int    // where it begins in the message
	body   int    // where its tag ends
	to     int    // where it ends
}

// readField reads the field at from, as protobuf's own Unmarshal would.
func readField(message []byte, from int) (field, error) {
	b := message[from:]
	number, kind, tag := protowire.ConsumeTag(b)
	if tag < 0 {
		return field{}, fmt.Errorf("malformed: %w", protowire.ParseError(tag))
	}
	if number > protowire.MaxValidNumber {
		return field{}, errors.New("malformed: invalid field number")
	}
	f := field{number: number, kind: kind, from: from, body: from + tag}
	n := 0
	if kind == protowire.BytesType {
		f.value, n = protowire.ConsumeBytes(b[tag:])
	} else {
		n = protowire.ConsumeFieldValue(number, kind, b[tag:])
	}
	if n < 0 {
		return field{}, fmt.Errorf("malformed: %w", protowire.ParseError(n))
	}
	f.to = f.body + n
	if kind != protowire.BytesType {
		f.value = message[f.body:f.to]
	}
	return f, nil
}

// is reports whether the field has this number and type. As in protobuf, a known number with another type is an unknown
// field.
func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// varint is the value of a field of VarintType.
func (f *field) varint() uint64 {
	v, _ := protowire.ConsumeVarint(f.value)
	return v
}

// text is the value of a field of BytesType that proto says is a string.
func (f *field) text() (string, error) {
	if !utf8.Valid(f.value) {
		return "", errors.New("not UTF-8")
	}
	return string(f.value), nil
}
