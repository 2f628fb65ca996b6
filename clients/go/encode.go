package sluice

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of record.proto, which are OTLP's.
const (
	recordTime           protowire.Number = 1
	recordSeverity       protowire.Number = 2
	recordSeverityText   protowire.Number = 3
	recordBody           protowire.Number = 5
	recordAttributes     protowire.Number = 6
	recordFlags          protowire.Number = 8
	recordTraceID        protowire.Number = 9
	recordSpanID         protowire.Number = 10
	keyValueKey          protowire.Number = 1
	keyValueValue        protowire.Number = 2
	anyString            protowire.Number = 1
	anyBool              protowire.Number = 2
	anyInt               protowire.Number = 3
	anyDouble            protowire.Number = 4
	anyKeyValueList      protowire.Number = 6
	anyBytes             protowire.Number = 7
	keyValueListKeyValue protowire.Number = 1
)

// begin opens a nested field; end closes it and puts its length in. One byte is kept for the length, which is enough for
// most; longer ones are moved.
func begin(b []byte, num protowire.Number) (opened []byte, start int) {
	b = append(protowire.AppendTag(b, num, protowire.BytesType), 0)
	return b, len(b)
}

func end(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	b = slices.Grow(b, more)[:len(b)+more]
	copy(b[start+more:], b[start:start+n])
	protowire.AppendVarint(b[:start-1], uint64(n))
	return b
}

func appendFixed64(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), v)
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// appendTime appends when a record happened; nothing for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendFixed64(b, recordTime, uint64(t.UnixNano()))
}

// appendAnyString appends s as an AnyValue in field num: as a string, or as bytes where it is not UTF-8, so that nothing
// is lost.
func appendAnyString(b []byte, num protowire.Number, s string) []byte {
	kind := anyString
	if !utf8.ValidString(s) {
		kind = anyBytes
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(fieldBytes(len(s))))
	return appendString(b, kind, s)
}

// appendAttrs appends attributes, each as a KeyValue in field num. As slog asks of handlers: empty ones are left out,
// groups without a key are inlined, empty groups are left out.
func appendAttrs(b []byte, num protowire.Number, attrs []slog.Attr) []byte {
	for _, a := range attrs {
		b = appendAttr(b, num, a)
	}
	return b
}

func appendAttr(b []byte, num protowire.Number, a slog.Attr) []byte {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return b
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key == "" {
			return appendAttrs(b, num, a.Value.Group())
		}
		return appendGroup(b, num, a.Key, func(b []byte) []byte {
			return appendAttrs(b, keyValueListKeyValue, a.Value.Group())
		})
	}
	b, kv := begin(b, num)
	b = appendKey(b, a.Key)
	b = appendValue(b, a.Value)
	return end(b, kv)
}

// appendGroup appends a KeyValue in field num whose value is the key-value list that fill appends to; nothing if fill
// appends nothing.
func appendGroup(b []byte, num protowire.Number, key string, fill func([]byte) []byte) []byte {
	before := len(b)
	b, kv := begin(b, num)
	b = appendKey(b, key)
	b, value := begin(b, keyValueValue)
	b, list := begin(b, anyKeyValueList)
	b = fill(b)
	if len(b) == list {
		return b[:before]
	}
	return end(end(end(b, list), value), kv)
}

func appendKey(b []byte, key string) []byte {
	if !utf8.ValidString(key) {
		key = strings.ToValidUTF8(key, "\uFFFD")
	}
	return appendString(b, keyValueKey, key)
}

// appendValue appends a resolved value that is no group as a KeyValue's value.
func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendAnyString(b, keyValueValue, v.String())
	case slog.KindTime:
		return appendAnyString(b, keyValueValue, v.Time().Format(time.RFC3339Nano))
	case slog.KindAny:
		return appendAny(b, v.Any())
	case slog.KindUint64:
		if v.Uint64() > math.MaxInt64 { // OTLP has no unsigned numbers
			return appendAnyString(b, keyValueValue, v.String())
		}
	default:
	}
	b, value := begin(b, keyValueValue)
	switch v.Kind() {
	case slog.KindBool:
		b = appendVarint(b, anyBool, protowire.EncodeBool(v.Bool()))
	case slog.KindInt64:
		b = appendVarint(b, anyInt, uint64(v.Int64()))
	case slog.KindUint64:
		b = appendVarint(b, anyInt, v.Uint64())
	case slog.KindDuration:
		b = appendVarint(b, anyInt, uint64(v.Duration()))
	case slog.KindFloat64:
		b = appendFixed64(b, anyDouble, math.Float64bits(v.Float64()))
	default:
	}
	return end(b, value)
}

// appendAny appends a value of a type that slog does not know.
func appendAny(b []byte, v any) []byte {
	if v == nil {
		b, value := begin(b, keyValueValue) // an AnyValue with nothing in it is OTLP's null
		return end(b, value)
	}
	if raw, ok := v.([]byte); ok {
		b, value := begin(b, keyValueValue)
		b = protowire.AppendBytes(protowire.AppendTag(b, anyBytes, protowire.BytesType), raw)
		return end(b, value)
	}
	return appendAnyString(b, keyValueValue, text(v))
}

// text gives v as text: by its own methods, as JSON, or as fmt would. A value whose methods panic must not take the
// application down with it.
func text(v any) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = fmt.Sprintf("!PANIC: %v", r)
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	if data, err := json.Marshal(v); err == nil {
		return string(data)
	}
	return fmt.Sprintf("%+v", v)
}
