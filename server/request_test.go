package server

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

const testMaxAppend = 1 << 20

func text(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}

func record(body string) *sluicev1.LogRecord { return &sluicev1.LogRecord{Body: text(body)} }

func records(bodies ...string) []*sluicev1.LogRecord {
	var all []*sluicev1.LogRecord
	for _, b := range bodies {
		all = append(all, record(b))
	}
	return all
}

func openRequest(o *sluicev1.Open) *sluicev1.StreamLogsRequest {
	return &sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Open{Open: o}}
}

func appendRequest(a *sluicev1.Append) *sluicev1.StreamLogsRequest {
	return &sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{Append: a}}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wire puts a message together from raw fields.
type wire []byte

func (w wire) bytes(number protowire.Number, b []byte) wire {
	return protowire.AppendBytes(protowire.AppendTag(w, number, protowire.BytesType), b)
}

func (w wire) varint(number protowire.Number, v uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, number, protowire.VarintType), v)
}

func (w wire) raw(b ...byte) wire { return append(w, b...) }

// bodies reads what the scan calls Data, as a ScopeLogs or an Append would be read.
func bodies(t testing.TB, data []byte) []string {
	t.Helper()
	var a sluicev1.Append
	if err := proto.Unmarshal(data, &a); err != nil {
		t.Fatalf("data: %v", err)
	}
	var all []string
	for _, r := range a.GetRecords() {
		all = append(all, r.GetBody().GetStringValue())
	}
	return all
}

func TestScanOpen(t *testing.T) {
	resource := &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "host.name", Value: text("h1")}}}
	b := marshal(t, openRequest(&sluicev1.Open{
		StreamId: "s1", Tag: "shop.checkout", Resource: resource, Epoch: 7, FirstSequence: 42,
	}))
	r, fault := scanStreamRequest(b, testMaxAppend)
	if fault != nil {
		t.Fatal(fault)
	}
	clear(b) // the frame goes elsewhere
	o := r.open
	if o == nil || r.append != nil {
		t.Fatalf("got %+v", r)
	}
	if o.Tenant != "default" || o.StreamID != "s1" || o.Tag != "shop.checkout" || o.Epoch != 7 || o.First != 42 {
		t.Errorf("got %+v", o)
	}
	var got sluicev1.Resource
	if err := proto.Unmarshal(o.Resource, &got); err != nil || !proto.Equal(&got, resource) {
		t.Errorf("resource %v, %v", &got, err)
	}
}

func TestScanAppend(t *testing.T) {
	one, two, three := marshal(t, record("one")), marshal(t, record("two")), marshal(t, record("three"))
	long := wire{}.raw(2<<3|2|0x80, 0x80, 0)
	long = append(long, byte(len(two)))
	long = append(long, two...)
	cases := []struct {
		name  string
		wire  []byte
		first uint64
		flush bool
		want  []string
	}{
		{"canonical", marshal(t, &sluicev1.Append{FirstSequence: 9, Records: records("one", "two"), Flush: true}), 9, true, []string{"one", "two"}},
		{"empty", nil, 0, false, nil},
		{"flush alone", wire{}.varint(3, 1), 0, true, nil},
		{"other fields between", wire{}.bytes(2, one).varint(1, 5).bytes(2, two).bytes(99, []byte("future")).bytes(2, three), 5, false,
			[]string{"one", "two", "three"}},
		{"the last scalar wins", wire{}.varint(1, 5).bytes(2, one).varint(1, 6).varint(3, 1).varint(3, 0), 6, false, []string{"one"}},
		{"long tag first", append(append(wire{}, long...), wire{}.bytes(2, three)...), 0, false, []string{"two", "three"}},
		{"long tag between", append(wire{}.bytes(2, one), append(append(wire{}, long...), wire{}.bytes(2, three)...)...), 0, false,
			[]string{"one", "two", "three"}},
		{"records of another type are unknown", wire{}.varint(2, 1).bytes(2, one), 0, false, []string{"one"}},
		{"a group is unknown", wire{}.raw(7<<3|3).varint(1, 1).raw(7<<3|4).bytes(2, one), 0, false, []string{"one"}},
		{"empty record", wire{}.bytes(2, nil).bytes(2, one), 0, false, []string{"", "one"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, fault := scanStreamRequest(wire{}.bytes(2, c.wire), testMaxAppend)
			if fault != nil {
				t.Fatal(fault)
			}
			a := r.append
			if a == nil || a.First != c.first || a.Flush != c.flush || a.Count != len(c.want) || len(a.Faults) != 0 {
				t.Fatalf("got %+v", a)
			}
			if got := strings.Join(bodies(t, a.Data), " "); got != strings.Join(c.want, " ") {
				t.Errorf("records %q, want %q", got, c.want)
			}
		})
	}
}

func TestScanAppendMovesNothing(t *testing.T) {
	b := marshal(t, appendRequest(&sluicev1.Append{FirstSequence: 1, Records: records("one", "two", "three"), Flush: true}))
	before := string(b)
	r, fault := scanStreamRequest(b, testMaxAppend)
	if fault != nil {
		t.Fatal(fault)
	}
	if string(b) != before {
		t.Error("bytes were moved")
	}
	if n := testing.AllocsPerRun(100, func() { r, _ = scanStreamRequest(b, testMaxAppend) }); n > 1 {
		t.Errorf("%v allocations, want the Append alone", n)
	}
	if cap(r.append.Data) != len(r.append.Data) {
		t.Error("Data can be appended to")
	}
}

func TestScanAppendFaults(t *testing.T) {
	good := marshal(t, record("good"))
	data := wire{}.bytes(2, good).bytes(2, []byte{0xff}).varint(1, 3).bytes(2, good).bytes(2, wire{}.bytes(3, []byte("\xff")))
	r, fault := scanStreamRequest(wire{}.bytes(2, data), testMaxAppend)
	if fault != nil {
		t.Fatal(fault)
	}
	a := r.append
	if a.Count != 4 || len(a.Faults) != 2 {
		t.Fatalf("got %+v", a)
	}
	want := []struct {
		index int
		code  engine.FaultCode
	}{{1, engine.FaultMalformed}, {3, engine.FaultInvalidUTF8}}
	var kept []byte
	at := 0
	for i, f := range a.Faults {
		if f.Index != want[i].index || f.Err.Code != want[i].code {
			t.Errorf("fault %d: index %d, code %d", i, f.Index, f.Err.Code)
		}
		kept = append(kept, a.Data[at:f.From]...)
		at = f.To
	}
	kept = append(kept, a.Data[at:]...)
	if got := bodies(t, kept); len(got) != 2 || got[0] != "good" || got[1] != "good" {
		t.Errorf("what is kept reads %q", got)
	}
	if a.Faults[1].Err.Field != "severity_text" {
		t.Errorf("field %q", a.Faults[1].Err.Field)
	}
}

func TestScanSendRequest(t *testing.T) {
	b := marshal(t, &sluicev1.SendLogsRequest{
		StreamId: "s1", Tag: "t", FirstSequence: 3, Epoch: 4, Records: records("one", "two"),
		Resource: &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "k", Value: text("v")}}},
	})
	o, a, fault := scanSendRequest(b, testMaxAppend)
	if fault != nil {
		t.Fatal(fault)
	}
	if o.StreamID != "s1" || o.Tag != "t" || o.Epoch != 4 || o.First != 3 || len(o.Resource) == 0 {
		t.Errorf("got %+v", o)
	}
	if a.First != 3 || a.Count != 2 || strings.Join(bodies(t, a.Data), " ") != "one two" {
		t.Errorf("got %+v", a)
	}
}

func TestScanRefuses(t *testing.T) {
	open := func(fields wire) []byte { return wire{}.bytes(1, fields) }
	deep := wire{}.bytes(1, wire{}.bytes(1, []byte("\xff"))) // attributes[0].key
	cases := []struct {
		name, field, says string
		wire              []byte
	}{
		{"empty message", "request", "neither", nil},
		{"only unknown fields", "request", "neither", wire{}.varint(9, 1)},
		{"open twice", "request", "more than one", append(open(nil), open(nil)...)},
		{"open and append", "request", "more than one", append(open(nil), wire{}.bytes(2, nil)...)},
		{"truncated", "request", "malformed", wire{}.raw(2<<3|2, 10, 1)},
		{"field number 0", "request", "malformed", wire{}.raw(2, 0)},
		{"field number too large", "request", "malformed", wire{}.raw(0x82, 0x80, 0x80, 0x80, 0x10, 0)},
		{"end of a group that did not begin", "request", "malformed", wire{}.raw(7<<3 | 4)},
		{"truncated open", "open", "malformed", open(wire{}.raw(1<<3|2, 5))},
		{"truncated append", "append", "malformed", wire{}.bytes(2, wire{}.raw(2<<3|2, 200))},
		{"append too large", "append", "1048577 bytes, more than the 1048576", wire{}.bytes(2, make([]byte, testMaxAppend+1))},
		{"stream id not UTF-8", "open.stream_id", "UTF-8", open(wire{}.bytes(1, []byte("\xff")))},
		{"stream id too long", "open.stream_id", "257 bytes", open(wire{}.bytes(1, make([]byte, 257)))},
		{"stream id with a newline", "open.stream_id", "control", open(wire{}.bytes(1, []byte("a\nb")))},
		{"tag not UTF-8", "open.tag", "UTF-8", open(wire{}.bytes(2, []byte("\xc0\x80")))},
		{"tag not UTF-8, replaced later", "open.tag", "UTF-8", open(wire{}.bytes(2, []byte("\xff")).bytes(2, []byte("ok")))},
		{"tag with an empty part", "open.tag", "empty part", open(wire{}.bytes(2, []byte("a..b")))},
		{"tag that ends in a dot", "open.tag", "empty part", open(wire{}.bytes(2, []byte("a.")))},
		{"resource", "open.resource.attributes[0].key", "UTF-8", open(wire{}.bytes(3, deep))},
		{"epoch that would wrap", "open.epoch", "more than 4611686018427387904", open(wire{}.varint(4, 1<<62+1))},
		{"sequence that would wrap", "open.first_sequence", "more than", open(wire{}.varint(5, math.MaxUint64))},
		{"append's sequence that would wrap", "append.first_sequence", "more than", wire{}.bytes(2, wire{}.varint(1, 1<<62+1))},
		{"truncated resource", "open.resource", "", open(wire{}.bytes(3, wire{}.raw(1<<3|2, 9)))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, fault := scanStreamRequest(c.wire, testMaxAppend)
			if fault == nil {
				t.Fatal("was taken")
			}
			if fault.Code != engine.CodeInvalidArgument || !strings.HasPrefix(fault.Field, c.field) || !strings.Contains(fault.Error(), c.says) {
				t.Errorf("got %v (field %q), want field %q and %q", fault, fault.Field, c.field, c.says)
			}
		})
	}
	for field, request := range map[string]wire{
		"tag": wire{}.bytes(2, []byte("a\tb")), "first_sequence": wire{}.varint(4, 1<<62+1), "epoch": wire{}.varint(6, 1<<62+1),
	} {
		if _, _, fault := scanSendRequest(request, testMaxAppend); fault == nil || fault.Field != field {
			t.Errorf("send: got %v about %q, want %q", fault, fault.Field, field)
		}
	}
}

// The last epoch and sequence that are taken, and numbers that another one replaces.
func TestScanLargeNumbers(t *testing.T) {
	fields := wire{}.varint(4, 1<<63).varint(4, 1<<62).varint(5, 1<<63).varint(5, 1<<62)
	if r, fault := scanStreamRequest(wire{}.bytes(1, fields), testMaxAppend); fault != nil || r.open.Epoch != 1<<62 || r.open.First != 1<<62 {
		t.Errorf("got %+v, %v", r.open, fault)
	}
	fields = wire{}.varint(1, 1<<63).varint(1, 1<<62)
	if r, fault := scanStreamRequest(wire{}.bytes(2, fields), testMaxAppend); fault != nil || r.append.First != 1<<62 {
		t.Errorf("got %+v, %v", r.append, fault)
	}
}

func BenchmarkScanAppend(b *testing.B) {
	var all []string
	for range 1000 {
		all = append(all, strings.Repeat("x", 256))
	}
	frame := marshal(b, appendRequest(&sluicev1.Append{FirstSequence: 1, Records: records(all...)}))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := scanStreamRequest(frame, testMaxAppend); fault != nil {
			b.Fatal(fault)
		}
	}
}

// A message that is made of faulty records is refused whole: each of them costs an error of its own.
func TestScanTooManyFaults(t *testing.T) {
	for _, n := range []int{maxFaults, maxFaults + 1} {
		var message []byte
		for range n {
			message = append(message, recordsTag, 1, 0xff)
		}
		a, fault := scanAppend(message, 1<<20)
		switch {
		case n == maxFaults && (fault != nil || len(a.Faults) != n):
			t.Errorf("%d faults: %v", n, fault)
		case n > maxFaults && (fault == nil || fault.Field != "records"):
			t.Errorf("%d faults: %v, want the append refused", n, fault)
		}
	}
}
