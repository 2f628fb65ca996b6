package engine_test

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestRecordViews(t *testing.T) {
	for name, record := range map[string]*sluicev1.LogRecord{
		"empty":         {},
		"full":          fullRecord(),
		"year 2200":     {TimeUnixNano: 7_258_118_400_000_000_000},
		"last time":     {TimeUnixNano: math.MaxUint64, ObservedTimeUnixNano: math.MaxUint64},
		"own severity":  {SeverityNumber: -7},
		"largest count": {DroppedAttributesCount: math.MaxUint32, Flags: math.MaxUint32},
	} {
		t.Run(name, func(t *testing.T) { sameRecord(t, engine.Record{Wire: marshal(t, record)}, record) })
	}
}

// A producer may split a body: protobuf makes it whole again, and so do the views, without writing to the wire bytes.
func TestBodyInPieces(t *testing.T) {
	list := func(n uint64) []byte { return delimited(5, delimited(5, delimited(1, varint(3, n)))) }
	wire := append(append(list(1), list(2)...), list(3)...)
	before := bytes.Clone(wire)
	var got []int64
	for v := range (engine.Record{Wire: wire}).Body().Array() {
		got = append(got, v.Int())
	}
	if fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("got %v, want [1 2 3]", got)
	}
	if !bytes.Equal(wire, before) {
		t.Error("the wire bytes were written to")
	}
}

func TestAttribute(t *testing.T) {
	r := engine.Record{Wire: marshal(t, &sluicev1.LogRecord{Attributes: []*sluicev1.KeyValue{
		{Key: "a", Value: text("1")}, {Key: "b", Value: text("2")}, {Key: "b", Value: text("3")},
	}})}
	if v, ok := r.Attribute("b"); !ok || string(v.Bytes()) != "2" {
		t.Errorf("b is %q, %v; want the first, 2", v.Bytes(), ok)
	}
	for _, key := range []string{"", "A", "bb", "c"} {
		if v, ok := r.Attribute(key); ok || v.Kind() != engine.ValueNone {
			t.Errorf("%q is %v, %v; want none", key, v.Kind(), ok)
		}
	}
}

func TestIteratorsStopWhenAsked(t *testing.T) {
	r := engine.Record{Wire: marshal(t, fullRecord())}
	for range r.Attributes() {
		break
	}
	for range r.Body().KVList() {
		break
	}
	list, _ := r.Attribute("list")
	for range list.Array() {
		break
	}
}

// A value asked for another kind than its own answers zero, never somebody else's bytes.
func TestValueOfAnotherKind(t *testing.T) {
	list, _ := engine.Record{Wire: marshal(t, fullRecord())}.Attribute("list")
	for v := range list.Array() {
		if k := v.Kind(); (k != engine.ValueBool && v.Bool()) || (k != engine.ValueInt && v.Int() != 0) ||
			(k != engine.ValueDouble && v.Double() != 0) || (k != engine.ValueString && k != engine.ValueBytes && v.Bytes() != nil) {
			t.Errorf("a %v answers as another kind", k)
		}
		for range v.Array() {
			t.Errorf("a %v has elements", v.Kind())
		}
		for range v.KVList() {
			t.Errorf("a %v has keys", v.Kind())
		}
	}
}

func TestViewsAllocateNothing(t *testing.T) {
	r := engine.Record{Wire: marshal(t, fullRecord())}
	resource := marshal(t, &sluicev1.Resource{Attributes: fullRecord().Attributes})
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		f := r.Fields()
		for key := range f.Body.KVList() {
			n += len(key)
		}
		for key, v := range r.Attributes() {
			for range v.Array() {
				n += len(key)
			}
		}
		for key := range engine.ResourceAttributes(resource) {
			n += len(key)
		}
		_, _ = r.Attribute("none")
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// The views end where the bytes are no field, instead of panicking: what a buffer reads back may be damaged.
func TestViewsOfDamagedBytes(t *testing.T) {
	wire := marshal(t, fullRecord())
	for n := range wire {
		r := engine.Record{Wire: wire[:n]}
		_ = r.Fields()
		for _, v := range r.Attributes() {
			for range v.Array() {
			}
		}
	}
}

func BenchmarkViews(b *testing.B) {
	for name, record := range benchRecords() {
		r := engine.Record{Wire: marshal(b, record)}
		b.Run(name+"/fields", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f := r.Fields(); f.Body.Kind() != engine.ValueString {
					b.Fatal("no body")
				}
			}
		})
		b.Run(name+"/attributes", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, v := range r.Attributes() {
					n += len(v.Bytes())
				}
			}
		})
	}
}

// sameRecord compares all that the views say with what protobuf read.
func sameRecord(t *testing.T, r engine.Record, want *sluicev1.LogRecord) {
	t.Helper()
	f := r.Fields()
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"time", f.Time, want.TimeUnixNano},
		{"observed time", f.ObservedTime, want.ObservedTimeUnixNano},
		{"severity", f.Severity, int32(want.SeverityNumber)},
		{"severity text", string(f.SeverityText), want.SeverityText},
		{"dropped attributes", f.DroppedAttributes, want.DroppedAttributesCount},
		{"flags", f.Flags, want.Flags},
		{"trace id", string(f.TraceID), string(want.TraceId)},
		{"span id", string(f.SpanID), string(want.SpanId)},
		{"event name", string(f.EventName), want.EventName},

		{"Time", r.Time(), want.TimeUnixNano},
		{"ObservedTime", r.ObservedTime(), want.ObservedTimeUnixNano},
		{"Severity", r.Severity(), int32(want.SeverityNumber)},
		{"SeverityText", string(r.SeverityText()), want.SeverityText},
		{"DroppedAttributes", r.DroppedAttributes(), want.DroppedAttributesCount},
		{"Flags", r.Flags(), want.Flags},
		{"TraceID", string(r.TraceID()), string(want.TraceId)},
		{"SpanID", string(r.SpanID()), string(want.SpanId)},
		{"EventName", string(r.EventName()), want.EventName},
	} {
		if part.got != part.want {
			t.Fatalf("%x: %s: got %v, want %v", r.Wire, part.name, part.got, part.want)
		}
	}
	sameValue(t, "body", r.Body(), want.Body)
	sameKeyValues(t, "attributes", r.Attributes(), want.Attributes)
}

func sameKeyValues(t *testing.T, path string, got iter.Seq2[[]byte, engine.Value], want []*sluicev1.KeyValue) {
	t.Helper()
	n := 0
	for key, v := range got {
		if n == len(want) {
			t.Fatalf("%s: more than %d", path, n)
		}
		at := fmt.Sprintf("%s[%d]", path, n)
		if string(key) != want[n].Key {
			t.Fatalf("%s: key %q, want %q", at, key, want[n].Key)
		}
		sameValue(t, at, v, want[n].Value)
		n++
	}
	if n != len(want) {
		t.Fatalf("%s: %d, want %d", path, n, len(want))
	}
}

func sameValue(t *testing.T, path string, got engine.Value, want *sluicev1.AnyValue) {
	t.Helper()
	kind, same := engine.ValueNone, true
	switch w := want.GetValue().(type) {
	case *sluicev1.AnyValue_StringValue:
		kind, same = engine.ValueString, string(got.Bytes()) == w.StringValue
	case *sluicev1.AnyValue_BytesValue:
		kind, same = engine.ValueBytes, bytes.Equal(got.Bytes(), w.BytesValue)
	case *sluicev1.AnyValue_BoolValue:
		kind, same = engine.ValueBool, got.Bool() == w.BoolValue
	case *sluicev1.AnyValue_IntValue:
		kind, same = engine.ValueInt, got.Int() == w.IntValue
	case *sluicev1.AnyValue_DoubleValue:
		kind, same = engine.ValueDouble, math.Float64bits(got.Double()) == math.Float64bits(w.DoubleValue)
	case *sluicev1.AnyValue_KvlistValue:
		kind = engine.ValueKVList
		sameKeyValues(t, path, got.KVList(), w.KvlistValue.Values)
	case *sluicev1.AnyValue_ArrayValue:
		kind = engine.ValueArray
		n := 0
		for v := range got.Array() {
			if n == len(w.ArrayValue.Values) {
				t.Fatalf("%s: more than %d", path, n)
			}
			sameValue(t, fmt.Sprintf("%s[%d]", path, n), v, w.ArrayValue.Values[n])
			n++
		}
		same = n == len(w.ArrayValue.Values)
	}
	if got.Kind() != kind || !same {
		t.Fatalf("%s: got %v %+v, want %v", path, got.Kind(), got, want)
	}
}
