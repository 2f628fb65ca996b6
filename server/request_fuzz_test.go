package server

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// oracles are the requests with their records and resource left as bytes and without the oneof: what protobuf makes of a
// request when only its frame counts.
func oracles(f *testing.F) (stream, send protoreflect.MessageDescriptor) {
	type kind = descriptorpb.FieldDescriptorProto_Type
	const (
		str  = descriptorpb.FieldDescriptorProto_TYPE_STRING
		raw  = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		num  = descriptorpb.FieldDescriptorProto_TYPE_UINT64
		flag = descriptorpb.FieldDescriptorProto_TYPE_BOOL
		msg  = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	field := func(number int32, name string, k kind) *descriptorpb.FieldDescriptorProto {
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if k == raw || k == msg {
			label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		}
		d := &descriptorpb.FieldDescriptorProto{Name: &name, JsonName: &name, Number: &number, Type: &k, Label: &label}
		if k == msg {
			d.TypeName = new(".oracle." + name)
		}
		return d
	}
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("oracle.proto"), Package: new("oracle"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("Stream", field(1, "Open", msg), field(2, "Append", msg)),
			message("Open", field(1, "stream_id", str), field(2, "tag", str), field(3, "resource", raw), field(4, "epoch", num),
				field(5, "first_sequence", num)),
			message("Append", field(1, "first_sequence", num), field(2, "records", raw), field(3, "flush", flag)),
			message("Send", field(1, "stream_id", str), field(2, "tag", str), field(3, "resource", raw),
				field(4, "first_sequence", num), field(5, "records", raw), field(6, "epoch", num)),
		},
	}, nil)
	if err != nil {
		f.Fatal(err)
	}
	return file.Messages().ByName("Stream"), file.Messages().ByName("Send")
}

func get(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func parts(m protoreflect.Message, name protoreflect.Name) [][]byte {
	list := get(m, name).List()
	var all [][]byte
	for i := range list.Len() {
		all = append(all, list.Get(i).Bytes())
	}
	return all
}

// checkOpen compares an Open, or its refusal, with what the oracle read.
func checkOpen(t *testing.T, m protoreflect.Message, got *engine.Open, fault *engine.Error) {
	id, tag, resource := get(m, "stream_id").String(), get(m, "tag").String(), parts(m, "resource")
	epoch, first := get(m, "epoch").Uint(), get(m, "first_sequence").Uint()
	good := checkName(id) == nil && checkTag(tag) == nil && epoch <= maxNumber && first <= maxNumber &&
		!slices.ContainsFunc(resource, func(b []byte) bool { return engine.ScanResource(b) != nil })
	if good != (fault == nil) {
		t.Fatalf("good: %v, but the fault is %v", good, fault)
	}
	if !good {
		return
	}
	if got.StreamID != id || got.Tag != tag || got.Epoch != epoch || got.First != first {
		t.Fatalf("got %+v, want %v", got, m)
	}
	if !bytes.Equal(got.Resource, bytes.Join(resource, nil)) {
		t.Fatalf("resource %x, want %x", got.Resource, resource)
	}
}

// tooFaulty reports whether more of the records are faulty than an append may hold.
func tooFaulty(m protoreflect.Message) bool {
	n := 0
	for _, b := range parts(m, "records") {
		if engine.ScanRecord(b) != nil {
			n++
		}
	}
	return n > maxFaults
}

// checkAppend compares an Append with what the oracle read.
func checkAppend(t *testing.T, m protoreflect.Message, got *engine.Append) {
	want := parts(m, "records")
	if got.First != get(m, "first_sequence").Uint() || got.Count != len(want) {
		t.Fatalf("got first %d, count %d, want %v", got.First, got.Count, m)
	}
	rest, faults := got.Data, got.Faults
	for i, w := range want {
		f, err := readField(rest, 0)
		if err != nil || rest[0] != recordsTag || f.body != 1 || !bytes.Equal(f.value, w) {
			t.Fatalf("record %d: %v, got %x, want %x", i, err, f.value, w)
		}
		from := len(got.Data) - len(rest)
		if engine.ScanRecord(w) != nil {
			if len(faults) == 0 || faults[0].Index != i || faults[0].From != from || faults[0].To != from+f.to {
				t.Fatalf("record %d: faults %+v", i, faults)
			}
			faults = faults[1:]
		}
		rest = rest[f.to:]
	}
	if len(rest) != 0 || len(faults) != 0 {
		t.Fatalf("left over: %x, %+v", rest, faults)
	}
}

// checkRecords compares the records with those that protobuf reads from the whole request, where it takes them all.
func checkRecords(t *testing.T, got *engine.Append, want []*sluicev1.LogRecord, err error) {
	if len(got.Faults) == 0 && err != nil {
		t.Fatalf("protobuf refuses it: %v", err)
	}
	if err != nil {
		return
	}
	for _, f := range got.Faults {
		if f.Err.Code != engine.FaultTooDeep {
			t.Fatalf("protobuf takes record %d, the scan says %v", f.Index, f.Err)
		}
	}
	var a sluicev1.Append
	if err := proto.Unmarshal(got.Data, &a); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&a, &sluicev1.Append{Records: want}) {
		t.Fatalf("got %v, want %v", &a, want)
	}
}

func FuzzStreamRequest(f *testing.F) {
	descriptor, _ := oracles(f)
	f.Add(marshal(f, openRequest(&sluicev1.Open{StreamId: "s", Tag: "a.b", Epoch: 1, FirstSequence: 2,
		Resource: &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "k", Value: text("v")}}}})))
	f.Add(marshal(f, appendRequest(&sluicev1.Append{FirstSequence: 1, Records: records("one", "two"), Flush: true})))
	f.Fuzz(func(t *testing.T, b []byte) {
		oracle := dynamicpb.NewMessage(descriptor)
		frameErr := proto.Unmarshal(b, oracle)
		var whole sluicev1.StreamLogsRequest
		wholeErr := proto.Unmarshal(b, &whole)
		got, fault := scanStreamRequest(bytes.Clone(b), len(b))
		if fault != nil && (fault.Code != engine.CodeInvalidArgument || fault.Field == "") {
			t.Fatalf("fault %+v", fault)
		}
		if frameErr != nil {
			if fault == nil {
				t.Fatalf("protobuf refuses it: %v", frameErr)
			}
			return
		}
		opens, appends := get(oracle, "Open").List(), get(oracle, "Append").List()
		switch {
		case opens.Len()+appends.Len() != 1:
			if fault == nil {
				t.Fatalf("%d opens and %d appends were taken", opens.Len(), appends.Len())
			}
		case opens.Len() == 1:
			checkOpen(t, opens.Get(0).Message(), got.open, fault)
			if fault == nil && wholeErr != nil {
				t.Fatalf("protobuf refuses it: %v", wholeErr)
			}
		case tooFaulty(appends.Get(0).Message()), get(appends.Get(0).Message(), "first_sequence").Uint() > maxNumber:
			if fault == nil {
				t.Fatal("an append of faulty records, or that begins too high, was taken")
			}
		default:
			if fault != nil {
				t.Fatal(fault)
			}
			checkAppend(t, appends.Get(0).Message(), got.append)
			if got.append.Flush != get(appends.Get(0).Message(), "flush").Bool() {
				t.Fatalf("flush %v", got.append.Flush)
			}
			checkRecords(t, got.append, whole.GetAppend().GetRecords(), wholeErr)
		}
	})
}

func FuzzSendRequest(f *testing.F) {
	_, descriptor := oracles(f)
	f.Add(marshal(f, &sluicev1.SendLogsRequest{StreamId: "s", Tag: "a.b", FirstSequence: 2, Epoch: 1, Records: records("one", "two"),
		Resource: &sluicev1.Resource{Attributes: []*sluicev1.KeyValue{{Key: "k", Value: text("v")}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		oracle := dynamicpb.NewMessage(descriptor)
		frameErr := proto.Unmarshal(b, oracle)
		var whole sluicev1.SendLogsRequest
		wholeErr := proto.Unmarshal(b, &whole)
		open, records, fault := scanSendRequest(bytes.Clone(b), len(b))
		if fault != nil && (fault.Code != engine.CodeInvalidArgument || fault.Field == "") {
			t.Fatalf("fault %+v", fault)
		}
		if frameErr != nil {
			if fault == nil {
				t.Fatalf("protobuf refuses it: %v", frameErr)
			}
			return
		}
		if tooFaulty(oracle) {
			if fault == nil {
				t.Fatal("faulty records were taken")
			}
			return
		}
		checkOpen(t, oracle, open, fault)
		if fault == nil {
			checkAppend(t, oracle, records)
			checkRecords(t, records, whole.GetRecords(), wholeErr)
		}
	})
}
