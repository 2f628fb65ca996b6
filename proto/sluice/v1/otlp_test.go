package sluicev1_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// pairs are our messages with their namesakes in OTLP.
var pairs = []struct{ ours, theirs proto.Message }{
	{&sluicev1.LogRecord{}, &logsv1.LogRecord{}},
	{&sluicev1.Resource{}, &resourcev1.Resource{}},
	{&sluicev1.KeyValue{}, &commonv1.KeyValue{}},
	{&sluicev1.AnyValue{}, &commonv1.AnyValue{}},
	{&sluicev1.ArrayValue{}, &commonv1.ArrayValue{}},
	{&sluicev1.KeyValueList{}, &commonv1.KeyValueList{}},
}

// theirsAlone are fields that OTLP has and we do not: those of profiles and of entities. We pass them on unread.
var theirsAlone = []protoreflect.FullName{
	"opentelemetry.proto.common.v1.AnyValue.string_value_strindex",
	"opentelemetry.proto.common.v1.KeyValue.key_strindex",
	"opentelemetry.proto.resource.v1.Resource.entity_refs",
}

func TestSchemaIsOTLPs(t *testing.T) {
	for _, pair := range pairs {
		ours, theirs := pair.ours.ProtoReflect().Descriptor(), pair.theirs.ProtoReflect().Descriptor()
		for i := range ours.Fields().Len() {
			a := ours.Fields().Get(i)
			if b := theirs.Fields().ByNumber(a.Number()); b == nil || signature(a) != signature(b) {
				t.Errorf("%s: %v, in OTLP %v", a.FullName(), a, b)
			}
		}
		for i := range theirs.Fields().Len() {
			b := theirs.Fields().Get(i)
			if ours.Fields().ByNumber(b.Number()) == nil && !slices.Contains(theirsAlone, b.FullName()) {
				t.Errorf("%s is new in OTLP", b.FullName())
			}
		}
	}
	ours := sluicev1.SeverityNumber(0).Descriptor().Values()
	theirs := logsv1.SeverityNumber(0).Descriptor().Values()
	if ours.Len() != theirs.Len() {
		t.Errorf("%d severities, in OTLP %d", ours.Len(), theirs.Len())
	}
	for i := range ours.Len() {
		a := ours.Get(i)
		if b := theirs.ByNumber(a.Number()); b == nil || a.Name() != b.Name() {
			t.Errorf("severity %v, in OTLP %v", a, b)
		}
	}
}

// signature is what two fields of different messages must have in common.
func signature(fd protoreflect.FieldDescriptor) string {
	s := fmt.Sprint(fd.Number(), fd.Name(), fd.Kind(), fd.Cardinality())
	if fd.Message() != nil {
		s += string(fd.Message().Name())
	}
	if fd.ContainingOneof() != nil {
		s += string(fd.ContainingOneof().Name())
	}
	return s
}

func TestOursIsReadAsTheirs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := rapid.SampledFrom(pairs).Draw(t, "message")
		ours := random(t, pair.ours)
		theirs := transcode(t, ours, pair.theirs)
		if a, b := asJSON(t, ours), asJSON(t, theirs); a != b {
			t.Fatalf("ours   %s\ntheirs %s", a, b)
		}
		if back := transcode(t, theirs, pair.ours); !proto.Equal(back, ours) {
			t.Fatalf("sent %v, came back %v", ours, back)
		}
	})
}

// What OTLP has and we do not is there again after the way through ours.
func TestTheirsIsReadAsOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := rapid.SampledFrom(pairs).Draw(t, "message")
		theirs := random(t, pair.theirs, theirsAlone...)
		if a, b := asJSON(t, theirs), asJSON(t, transcode(t, theirs, pair.ours)); a != b {
			t.Fatalf("theirs %s\nours   %s", a, b)
		}
		whole := random(t, pair.theirs)
		if back := transcode(t, transcode(t, whole, pair.ours), pair.theirs); !proto.Equal(back, whole) {
			t.Fatalf("sent %v, came back %v", whole, back)
		}
	})
}

// An append without its first sequence and flush, which is what a chunk's bytes are, is the body of a ScopeLogs.
func TestRecordsOfAnAppendAreScopeLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ours := &sluicev1.Append{}
		for range rapid.IntRange(0, 3).Draw(t, "records") {
			ours.Records = append(ours.Records, random(t, &sluicev1.LogRecord{}).(*sluicev1.LogRecord))
		}
		scope := transcode(t, ours, &logsv1.ScopeLogs{}).(*logsv1.ScopeLogs)
		if len(scope.ProtoReflect().GetUnknown()) > 0 || scope.Scope != nil || scope.SchemaUrl != "" {
			t.Fatalf("more than records: %v", scope)
		}
		if len(scope.LogRecords) != len(ours.Records) {
			t.Fatalf("%d records of %d", len(scope.LogRecords), len(ours.Records))
		}
		for i, record := range ours.Records {
			if a, b := asJSON(t, record), asJSON(t, scope.LogRecords[i]); a != b {
				t.Fatalf("ours   %s\ntheirs %s", a, b)
			}
		}
		if back := transcode(t, scope, &sluicev1.Append{}); !proto.Equal(back, ours) {
			t.Fatalf("sent %v, came back %v", ours, back)
		}
	})
}

// transcode writes a message and reads the bytes as another type.
func transcode(t *rapid.T, m, as proto.Message) proto.Message {
	t.Helper()
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	into := as.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(wire, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// asJSON is a message by the names of its fields. Unknown fields are not in it.
func asJSON(t *rapid.T, m proto.Message) string {
	t.Helper()
	wide, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer // protojson varies its white space on purpose
	if err := json.Compact(&compact, wide); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}

// random is a message of the same type, filled by its descriptor, without the fields named.
func random(t *rapid.T, like proto.Message, without ...protoreflect.FullName) proto.Message {
	m := like.ProtoReflect().New()
	fill(t, m, 4, without)
	return m.Interface()
}

func fill(t *rapid.T, m protoreflect.Message, levels int, without []protoreflect.FullName) {
	fds := m.Descriptor().Fields()
	one := rapid.IntRange(0, fds.Len()-1).Draw(t, "which") // of a oneof
	for i := range fds.Len() {
		fd := fds.Get(i)
		if slices.Contains(without, fd.FullName()) || !rapid.Bool().Draw(t, string(fd.Name())) {
			continue
		}
		if fd.ContainingOneof() != nil && i != one {
			continue
		}
		if levels == 0 && fd.Message() != nil {
			continue
		}
		value := func(zero protoreflect.Value) protoreflect.Value {
			if fd.Message() == nil {
				return scalar(t, fd)
			}
			fill(t, zero.Message(), levels-1, without)
			return zero
		}
		if !fd.IsList() {
			m.Set(fd, value(m.NewField(fd)))
			continue
		}
		for list, n := m.Mutable(fd).List(), rapid.IntRange(1, 3).Draw(t, "n"); n > 0; n-- {
			list.Append(value(list.NewElement()))
		}
	}
}

func scalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch name := string(fd.Name()); fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOf(rapid.String().Draw(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOf(rapid.SliceOf(rapid.Byte()).Draw(t, name))
	case protoreflect.BoolKind:
		return protoreflect.ValueOf(rapid.Bool().Draw(t, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOf(protoreflect.EnumNumber(rapid.Int32().Draw(t, name)))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOf(rapid.Int32().Draw(t, name))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOf(rapid.Int64().Draw(t, name))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOf(rapid.Uint32().Draw(t, name))
	case protoreflect.Fixed64Kind:
		return protoreflect.ValueOf(rapid.Uint64().Draw(t, name))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOf(rapid.OneOf(rapid.Float64(), rapid.Just(math.Inf(1)), rapid.Just(math.NaN())).Draw(t, name))
	default:
		t.Fatalf("%s is of kind %s, which this test does not know", fd.FullName(), fd.Kind())
		return protoreflect.Value{}
	}
}
