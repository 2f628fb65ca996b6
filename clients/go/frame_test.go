package sluice

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A frame is what protobuf would have made of the same Append, byte for byte, and never longer than it is taken for.
func TestFrameIsAnAppend(t *testing.T) {
	record := &sluicev1.LogRecord{TimeUnixNano: 5, Body: text1("hello")}
	raw, err := proto.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []uint64{1, 127, 128, 1 << 35, math.MaxUint64} {
		for _, flush := range []bool{false, true} {
			for _, count := range []int{0, 1, 100} {
				a := &sluicev1.Append{FirstSequence: first, Flush: flush}
				f := &frame{first: first, flush: flush}
				for range count {
					a.Records = append(a.Records, record)
					f.records = appendField(f.records, raw)
				}
				want, err := proto.Marshal(&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{Append: a}})
				if err != nil {
					t.Fatal(err)
				}
				out, err := newCodec().Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, out.Materialize()); diff != "" {
					t.Errorf("first %d, flush %v, %d records: %s", first, flush, count, diff)
				}
				if n := proto.Size(a); n > len(f.records)+appendOverhead {
					t.Errorf("append of %d bytes for %d of records", n, len(f.records))
				}
			}
		}
	}
}

func text1(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}

func integer(n int64) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_IntValue{IntValue: n}}
}

func list(kvs ...*sluicev1.KeyValue) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_KvlistValue{KvlistValue: &sluicev1.KeyValueList{Values: kvs}}}
}

func pair(key string, v *sluicev1.AnyValue) *sluicev1.KeyValue {
	return &sluicev1.KeyValue{Key: key, Value: v}
}

type secret struct{}

func (secret) LogValue() slog.Value { return slog.StringValue("hidden") }

type panicky struct{}

func (panicky) String() string { panic("no") }

func TestAttributes(t *testing.T) {
	long := strings.Repeat("x", 300)
	when := time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)
	for _, tt := range []struct {
		attr slog.Attr
		want *sluicev1.KeyValue
	}{
		{slog.String("s", "v"), pair("s", text1("v"))},
		{slog.String("", "v"), pair("", text1("v"))},
		{slog.String(long, long), pair(long, text1(long))},
		{slog.String("s", "\xff"), pair("s", &sluicev1.AnyValue{Value: &sluicev1.AnyValue_BytesValue{BytesValue: []byte("\xff")}})},
		{slog.String("k\xff", "v"), pair("k\uFFFD", text1("v"))},
		{slog.Bool("b", true), pair("b", &sluicev1.AnyValue{Value: &sluicev1.AnyValue_BoolValue{BoolValue: true}})},
		{slog.Bool("b", false), pair("b", &sluicev1.AnyValue{Value: &sluicev1.AnyValue_BoolValue{}})},
		{slog.Int("i", -1), pair("i", integer(-1))},
		{slog.Uint64("u", 1), pair("u", integer(1))},
		{slog.Uint64("u", math.MaxUint64), pair("u", text1("18446744073709551615"))},
		{slog.Float64("f", 0.5), pair("f", &sluicev1.AnyValue{Value: &sluicev1.AnyValue_DoubleValue{DoubleValue: 0.5}})},
		{slog.Duration("d", time.Second), pair("d", integer(1e9))},
		{slog.Time("t", when), pair("t", text1("2024-05-06T07:08:09.00000001Z"))},
		{slog.Any("nil", nil), pair("nil", &sluicev1.AnyValue{})},
		{slog.Any("bytes", []byte("raw")), pair("bytes", &sluicev1.AnyValue{Value: &sluicev1.AnyValue_BytesValue{BytesValue: []byte("raw")}})},
		{slog.Any("err", ErrClosed), pair("err", text1("stream is closed"))},
		{slog.Any("json", map[string]int{"a": 1}), pair("json", text1(`{"a":1}`))},
		{slog.Any("valuer", secret{}), pair("valuer", text1("hidden"))},
		{slog.Any("panics", panicky{}), pair("panics", text1("!PANIC: no"))},
		{slog.Any("chan", (chan int)(nil)), pair("chan", text1("<nil>"))},
		{slog.Attr{}, nil},
		{slog.Group("empty"), nil},
		{slog.Group("emptier", slog.Group("empty")), nil},
		{slog.Group("", slog.Int("inline", 1)), pair("inline", integer(1))},
		{
			slog.Group("g", slog.Int("a", 1), slog.Group("h", slog.String("b", long))),
			pair("g", list(pair("a", integer(1)), pair("h", list(pair("b", text1(long)))))),
		},
	} {
		t.Run(tt.attr.Key, func(t *testing.T) {
			got := NewResource(tt.attr)
			want := &sluicev1.Resource{}
			if tt.want != nil {
				want.Attributes = []*sluicev1.KeyValue{tt.want}
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNestedLengthsOfEverySize(t *testing.T) {
	for _, n := range []int{0, 1, 100, 120, 126, 127, 128, 129, 16_380, 16_384, 16_390, 2_097_152} {
		want := pair("k", list(pair("s", text1(strings.Repeat("y", n)))))
		got := NewResource(slog.Group("k", slog.String("s", strings.Repeat("y", n))))
		if diff := cmp.Diff(want, got.GetAttributes()[0], protocmp.Transform()); diff != "" {
			t.Errorf("%d: %s", n, diff)
		}
	}
}
