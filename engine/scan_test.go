package engine_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestScanTakesWhatIsUnusualButValid(t *testing.T) {
	many := &sluicev1.LogRecord{}
	for i := range 10_000 {
		many.Attributes = append(many.Attributes, &sluicev1.KeyValue{Key: fmt.Sprint("key.", i), Value: text("v")})
	}
	for name, record := range map[string]*sluicev1.LogRecord{
		"empty":                                {},
		"no body":                              {TimeUnixNano: 1, SeverityText: "INFO"},
		"empty body":                           {Body: &sluicev1.AnyValue{}},
		"10,000 attributes":                    many,
		"time 0":                               {ObservedTimeUnixNano: 1},
		"the year 2200":                        {TimeUnixNano: 7_258_118_400_000_000_000},
		"the last time":                        {TimeUnixNano: math.MaxUint64},
		"severity unknown":                     {SeverityNumber: -7},
		"trace id too long":                    {TraceId: make([]byte, 300)},
		"not ASCII":                            {Body: text(strings.Repeat("größer als — 日本語 🎉 ", 20))},
		"not ASCII in the last byte of a step": {Body: text(strings.Repeat("x", 30) + "ß")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := engine.ScanRecord(marshal(t, record)); err != nil {
				t.Fatalf("refused: %v", err)
			}
		})
	}
}

func TestScanSaysWhatIsWrongAndWhere(t *testing.T) {
	kv := func(key string, value []byte) []byte {
		return slices.Concat(delimited(1, []byte(key)), delimited(2, value))
	}
	valid := kv("k", delimited(1, []byte("v")))
	for _, test := range []struct {
		name  string
		wire  []byte
		code  engine.FaultCode
		field string
	}{
		{"tag cut short", []byte{0x80}, engine.FaultMalformed, ""},
		{"tag too long", bytes.Repeat([]byte{0xff}, 11), engine.FaultMalformed, ""},
		{"field number 0", []byte{0x00, 0x00}, engine.FaultMalformed, "field(0)"},
		{"wire type 7", []byte{0x2f}, engine.FaultMalformed, "body"},
		{"an end without its group", []byte{0x0c}, engine.FaultMalformed, "time_unix_nano"},
		{"unknown field cut short", varint(77, math.MaxUint64)[:5], engine.FaultMalformed, "field(77)"},
		{"unknown group without its end", group(77), engine.FaultMalformed, "field(77)"},
		{"value not UTF-8", delimited(6, kv("k", delimited(1, []byte("\xc0")))), engine.FaultInvalidUTF8,
			"attributes[0].value.string_value"},
		{"third key not UTF-8", slices.Concat(delimited(6, valid), varint(6, 5), delimited(6, valid),
			delimited(6, kv("\xff", nil))), engine.FaultInvalidUTF8, "attributes[2].key"},
		{"deep in a body", delimited(5, delimited(6, slices.Concat(delimited(1, valid), delimited(1, valid),
			delimited(1, valid), delimited(1, kv("k", delimited(1, []byte("\xed\xa0\x80"))))))), engine.FaultInvalidUTF8,
			"body.kvlist_value.values[3].value.string_value"},
		{"an inner length that reaches out", delimited(5, []byte{0x0a, 0x7f, 'x'}), engine.FaultMalformed,
			"body.string_value"},
		{"nested 1,000 deep", delimited(5, nested(1_000)), engine.FaultTooDeep,
			"body.array_value.values[0].array_value.values[0].array_value..." +
				"values[0].array_value.values[0].array_value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := engine.ScanRecord(test.wire)
			if err == nil {
				t.Fatal("taken")
			}
			if err.Code != test.code || err.Field != test.field || err.Msg == "" {
				t.Errorf("got code %d, field %q, %q; want code %d, field %q", err.Code, err.Field, err.Msg, test.code, test.field)
			}
			if len(err.Error()) > 200 {
				t.Errorf("%d characters: %s", len(err.Error()), err)
			}
		})
	}
}

// TestScanNamesEveryField breaks each field that the schema has, and asks for its path.
func TestScanNamesEveryField(t *testing.T) {
	broken := 0
	var walk func(md protoreflect.MessageDescriptor, path string, levels int, check func(inner []byte, want string))
	walk = func(md protoreflect.MessageDescriptor, path string, levels int, check func([]byte, string)) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			at := path + string(fd.Name())
			if fd.IsList() {
				at += "[0]"
			}
			broken++
			switch fd.Kind() {
			case protoreflect.MessageKind:
				check(protowire.AppendTag(nil, fd.Number(), protowire.BytesType), at)
				if levels > 0 {
					walk(fd.Message(), at+".", levels-1, func(inner []byte, want string) {
						check(delimited(fd.Number(), inner), want)
					})
				}
			case protoreflect.StringKind:
				check(delimited(fd.Number(), []byte("\xff")), at)
			case protoreflect.BytesKind:
				check(delimited(fd.Number(), []byte("\xffx"))[:3], at)
			case protoreflect.Fixed64Kind, protoreflect.DoubleKind:
				check(protowire.AppendTag(nil, fd.Number(), protowire.Fixed64Type), at)
			case protoreflect.Fixed32Kind:
				check(protowire.AppendTag(nil, fd.Number(), protowire.Fixed32Type), at)
			default:
				check(protowire.AppendTag(nil, fd.Number(), protowire.VarintType), at)
			}
		}
	}
	checkWith := func(scan func([]byte) *engine.RecordError) func([]byte, string) {
		return func(wire []byte, want string) {
			if err := scan(wire); err == nil || err.Field != want {
				t.Errorf("%x: got %v, want a fault in %s", wire, err, want)
			}
		}
	}
	walk((*sluicev1.LogRecord)(nil).ProtoReflect().Descriptor(), "", 5, checkWith(engine.ScanRecord))
	walk((*sluicev1.Resource)(nil).ProtoReflect().Descriptor(), "", 5, checkWith(engine.ScanResource))
	if broken < 50 {
		t.Errorf("only %d fields broken", broken)
	}
}

func TestScanDepth(t *testing.T) {
	const lists = (engine.MaxDepth - 2) / 2 // the record and its body are two, a list and its value two more
	if err := engine.ScanRecord(delimited(5, nested(lists))); err != nil {
		t.Errorf("%d lists in each other: %v", lists, err)
	}
	if err := engine.ScanRecord(delimited(5, nested(lists+1))); err == nil || err.Code != engine.FaultTooDeep {
		t.Errorf("%d lists in each other: %v", lists+1, err)
	}
	// Unknown groups have a limit of their own, protowire's, whatever they lie in.
	for _, n := range []int{engine.MaxDepth + 1, protowire.DefaultRecursionLimit + 1, protowire.DefaultRecursionLimit + 2} {
		agreeOnRecord(t, groups(n))
		agreeOnRecord(t, delimited(6, groups(n)))
	}
}

// TestScanAgreesUnderDamage cuts a record with every kind of value at every byte, and puts every value in every byte.
func TestScanAgreesUnderDamage(t *testing.T) {
	wire := marshal(t, fullRecord())
	for n := range wire {
		agreeOnRecord(t, wire[:n])
	}
	damaged := slices.Clone(wire)
	for i := range wire {
		for v := range 256 {
			damaged[i] = byte(v)
			agreeOnRecord(t, damaged)
		}
		damaged[i] = wire[i]
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	wire := marshal(t, fullRecord())
	if n := testing.AllocsPerRun(100, func() {
		if engine.ScanRecord(wire) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// fullRecord has every field and every kind of value.
func fullRecord() *sluicev1.LogRecord {
	values := []*sluicev1.AnyValue{
		text("größer"), {},
		{Value: &sluicev1.AnyValue_BoolValue{BoolValue: true}},
		{Value: &sluicev1.AnyValue_IntValue{IntValue: -5}},
		{Value: &sluicev1.AnyValue_DoubleValue{DoubleValue: math.Inf(-1)}},
		{Value: &sluicev1.AnyValue_BytesValue{BytesValue: []byte("\xff\x00")}},
	}
	list := &sluicev1.AnyValue{Value: &sluicev1.AnyValue_ArrayValue{ArrayValue: &sluicev1.ArrayValue{Values: values}}}
	attributes := []*sluicev1.KeyValue{{Key: "list", Value: list}, {Key: "none"}, {Key: "none", Value: text("again")}, {}}
	return &sluicev1.LogRecord{
		TimeUnixNano:         1_700_000_000_000_000_001,
		ObservedTimeUnixNano: 1_700_000_000_000_000_002,
		SeverityNumber:       sluicev1.SeverityNumber_SEVERITY_NUMBER_WARN2,
		SeverityText:         "warning",
		Body: &sluicev1.AnyValue{Value: &sluicev1.AnyValue_KvlistValue{
			KvlistValue: &sluicev1.KeyValueList{Values: attributes},
		}},
		Attributes:             attributes,
		DroppedAttributesCount: 300,
		Flags:                  1,
		TraceId:                []byte("0123456789abcdef"),
		SpanId:                 []byte("01234567"),
		EventName:              "order.placed",
	}
}

// nested is an AnyValue of so many lists in each other.
func nested(lists int) (value []byte) {
	for range lists {
		value = delimited(5, delimited(1, value))
	}
	return value
}

func delimited(number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), v)
}

func varint(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

// group is the beginning of one.
func group(number protowire.Number) []byte {
	return protowire.AppendTag(nil, number, protowire.StartGroupType)
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func text(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}
