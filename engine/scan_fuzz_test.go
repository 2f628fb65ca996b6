package engine_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// FuzzScanRecord holds the scan and the views to what protobuf's own Unmarshal makes of the same bytes.
func FuzzScanRecord(f *testing.F) {
	f.Add(marshal(f, fullRecord()))
	f.Add(delimited(5, nested((engine.MaxDepth-2)/2)))
	f.Add(delimited(5, nested((engine.MaxDepth-2)/2+1)))
	for _, value := range oddFields() {
		f.Add(value)
		f.Add(delimited(5, value))                             // in a body
		f.Add(delimited(5, delimited(5, delimited(1, value)))) // in a list in a body
		f.Add(delimited(6, value))                             // in an attribute
		f.Add(delimited(6, delimited(2, value)))               // in an attribute's value
		f.Add(delimited(5, delimited(6, delimited(1, value)))) // in a list's key and value
	}
	f.Fuzz(agreeOnRecord)
}

// FuzzScanResource does the same for resources.
func FuzzScanResource(f *testing.F) {
	f.Add(marshal(f, &sluicev1.Resource{Attributes: fullRecord().Attributes, DroppedAttributesCount: 3}))
	for _, value := range oddFields() {
		f.Add(value)
		f.Add(delimited(1, value))
		f.Add(delimited(1, delimited(2, value)))
	}
	f.Fuzz(agreeOnResource)
}

// oddFields are fields as no encoder writes them, valid and not: one for every branch of the scan.
func oddFields() [][]byte {
	tag := func(number protowire.Number, wire protowire.Type) []byte {
		return protowire.AppendTag(nil, number, wire)
	}
	list := func(s string) []byte { return delimited(5, delimited(1, delimited(1, []byte(s)))) }
	return [][]byte{
		{},
		{0x80},                         // a tag cut short
		{0x8a, 0x00, 0x01, 'x'},        // a tag of two bytes where one would do
		bytes.Repeat([]byte{0xff}, 11), // a tag too long
		{0x00, 0x00},                   // field number 0
		{0x0e}, {0x0f}, {0x0c},         // wire types that are none, a group's end
		tag(protowire.MaxValidNumber, protowire.Fixed32Type),
		append(tag(protowire.MaxValidNumber, protowire.VarintType), 1),
		{0x80, 0x80, 0x80, 0x80, 0x10, 0x01},                // field number MaxValidNumber + 1
		{0x08, 0x01}, {0x12, 0x01, 'x'}, {0x2d, 1, 2, 3, 4}, // known fields of another wire type
		{0x10}, {0x10, 0x80}, varint(2, 1<<63), varint(2, 128),
		append(bytes.Repeat([]byte{0xff}, 9), 0x02), // a varint past 64 bits
		append([]byte{0x10}, append(bytes.Repeat([]byte{0x80}, 9), 0x01)...),
		append([]byte{0x10}, append(bytes.Repeat([]byte{0x80}, 9), 0x02)...),
		append([]byte{0x0a}, append(bytes.Repeat([]byte{0xff}, 9), 0x01)...), // a length of 2^64-1
		{0x0a, 0x81, 0x00, 'x'}, {0x0a}, {0x0a, 0x02, 'x'}, {0x0a, 0x80},
		{0x09, 1, 2, 3, 4, 5, 6, 7}, {0x45, 1, 2, 3}, {0x09, 1, 2, 3, 4, 5, 6, 7, 8}, {0x45, 1, 2, 3, 4},
		delimited(1, []byte("\xff")), delimited(1, []byte("\xed\xa0\x80")), delimited(3, []byte("\xc0\x80")),
		delimited(1, []byte(strings.Repeat("a", 31)+"\x80")), delimited(1, []byte(strings.Repeat("a", 40)+"é")),
		delimited(1, []byte(strings.Repeat("a", 200)+"\xf4\x90\x80\x80")),
		group(3), groups(1), groups(9),
		slices.Concat(group(5), tag(6, protowire.EndGroupType)),
		slices.Concat(group(5), []byte{0x00}, tag(5, protowire.EndGroupType)),
		slices.Concat(group(5), []byte{0x0e}, tag(5, protowire.EndGroupType)),
		slices.Concat(group(5), varint(protowire.MaxValidNumber+1, 1), delimited(2, []byte("\xff")), []byte{0x0d, 1, 2, 3, 4},
			[]byte{0x09, 1, 2, 3, 4, 5, 6, 7, 8}, tag(5, protowire.EndGroupType)),
		slices.Concat(list("a"), list("b")),                                  // one list
		slices.Concat(list("a"), varint(3, 7), list("b")),                    // the second list
		slices.Concat(list("a"), delimited(5, nil), delimited(3, []byte{1})), // a list, whatever follows
		slices.Concat(delimited(6, delimited(1, delimited(1, []byte("a")))), delimited(6, delimited(1, nil))),
		slices.Concat(list("a"), delimited(6, delimited(1, nil))), slices.Concat(delimited(6, delimited(1, nil)), list("a")),
		slices.Concat(delimited(1, []byte("\x0a\x00")), list("a")),
		slices.Concat(delimited(5, list("a")), delimited(5, list("b"))),      // a body twice
		slices.Concat(delimited(2, list("a")), delimited(2, list("b"))),      // a value twice
		slices.Concat(delimited(5, list("a")), delimited(5, varint(2, 256))), // another
		slices.Concat(varint(2, 1), delimited(1, []byte("s")), varint(3, 1<<40), delimited(7, []byte("\xff"))),
	}
}

// groups are as many unknown groups in each other.
func groups(n int) []byte {
	begin, end := group(5), protowire.AppendTag(nil, 5, protowire.EndGroupType)
	return append(bytes.Repeat(begin, n), bytes.Repeat(end, n)...)
}

// agreeOnRecord holds the scan to protobuf's verdict on the bytes, and the views to what protobuf reads.
func agreeOnRecord(t *testing.T, wire []byte) {
	want := &sluicev1.LogRecord{}
	if agree(t, wire, engine.ScanRecord(wire), want) {
		sameRecord(t, engine.Record{Wire: wire}, want)
		return
	}
	for _, v := range (engine.Record{Wire: wire}).Attributes() { // must not panic
		_ = v.Kind()
	}
}

func agreeOnResource(t *testing.T, wire []byte) {
	want := &sluicev1.Resource{}
	if agree(t, wire, engine.ScanResource(wire), want) {
		sameKeyValues(t, "attributes", engine.ResourceAttributes(wire), want.Attributes)
	}
}

// agree compares the scan's verdict with protobuf's, and reports whether the bytes are valid. want gets what they say.
func agree(t *testing.T, wire []byte, got *engine.RecordError, want proto.Message) bool {
	t.Helper()
	err := proto.UnmarshalOptions{RecursionLimit: engine.MaxDepth}.Unmarshal(wire, want)
	var notUTF8 interface{ InvalidUTF8() bool }
	var code engine.FaultCode
	switch {
	case err == nil:
		if got != nil {
			t.Fatalf("%x: refused: %v", wire, got)
		}
		return true
	case errors.As(err, &notUTF8):
		code = engine.FaultInvalidUTF8
	case strings.Contains(err.Error(), "recursion depth"):
		code = engine.FaultTooDeep
	default:
		code = engine.FaultMalformed
	}
	if got == nil {
		t.Fatalf("%x: taken, but %v", wire, err)
	}
	if got.Code != code || got.Msg == "" {
		t.Fatalf("%x: code %d (%v), want %d (%v)", wire, got.Code, got, code, err)
	}
	return false
}
