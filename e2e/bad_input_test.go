package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// Series that count what producers do wrong.
const (
	invalidArgument = `sluice_calls_total{code="InvalidArgument",method="StreamLogs"}`
	precondition    = `sluice_refused_total{code="failed_precondition"}`
	invalidUTF8     = `sluice_rejected_records_total{code="invalid_utf8"}`
	malformed       = `sluice_rejected_records_total{code="malformed"}`
	tooDeep         = `sluice_rejected_records_total{code="too_deep"}`
	aborted         = `sluice_calls_total{code="Aborted",method="StreamLogs"}`
	canceled        = `sluice_calls_total{code="Canceled",method="StreamLogs"}`
	admitted        = `sluice_records_total`
	paused          = `sluice_pauses_total{reason="stream_limit"}`
)

// deepField is how a field far down is named: the middle of its path is left out.
const deepField = "open.resource.attributes[0].value.array_value.values[0].array_value.values[0]..." +
	"array_value.values[0].array_value.values[0]"

type counted map[string]float64

// Whatever a producer does wrong, it is told what and where, it is counted, and nobody else notices.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		phrase  string
		act     func(s *scene)
		counted counted
	}{
		{"first message not Open", refused(codes.InvalidArgument, "open", "the first message must be Open",
			wire{}.field(2, nil)), counted{invalidArgument: 1}},
		{"no message at all", refused(codes.InvalidArgument, "open", "the first message must be Open"), counted{invalidArgument: 1}},
		{"a second Open", refused(codes.InvalidArgument, "open", "comes once", opens(), opens()), counted{invalidArgument: 1}},
		{"a tag that no route takes", refused(codes.FailedPrecondition, "open.tag", `no route takes tag "nowhere"`,
			wire{}.field(1, wire{}.field(2, []byte("nowhere")))), counted{precondition: 1}},
		{"a gap in sequence", refused(codes.FailedPrecondition, "append.first_sequence", "expected 1, got 3",
			opens(), wire{}.field(2, wire{}.varint(1, 3).field(2, nil))), counted{precondition: 1}},
		{"an epoch that the next would wrap", refused(codes.InvalidArgument, "open.epoch", "more than 4611686018427387904",
			wire{}.field(1, wire{}.field(2, []byte("app.x")).varint(4, math.MaxUint64))), counted{invalidArgument: 1}},
		{"a sequence that the next would wrap", refused(codes.InvalidArgument, "append.first_sequence", "more than 4611686018427387904",
			opens(), wire{}.field(2, wire{}.varint(1, math.MaxUint64).field(2, nil))), counted{invalidArgument: 1}},
		{"SendLogs with such a sequence", sendRefused(codes.InvalidArgument, "first_sequence", "more than 4611686018427387904",
			wire{}.field(2, []byte("app.x")).varint(4, math.MaxUint64)), counted{`sluice_calls_total{code="InvalidArgument",method="SendLogs"}`: 1}},
		{"a smaller epoch", smallerEpoch, counted{precondition: 1}},

		{"an append over max_append_bytes", refused(codes.InvalidArgument, "append", "more than the 1048576 that are taken (max_append_bytes)",
			opens(), wire{}.field(2, wire{}.field(2, make([]byte, 1<<20)))), counted{invalidArgument: 1}},
		{"an append too large to be read", tooLargeToRead, counted{`sluice_calls_total{code="ResourceExhausted",method="StreamLogs"}`: 1}},
		{"SendLogs too large to be read", sendTooLargeToRead, counted{`sluice_calls_total{code="ResourceExhausted",method="SendLogs"}`: 1}},
		{"SendLogs over max_append_bytes", sendRefused(codes.InvalidArgument, "records", "more than the 1048576",
			wire{}.field(2, []byte("app.x")).field(5, make([]byte, 1<<20))), counted{`sluice_calls_total{code="InvalidArgument",method="SendLogs"}`: 1}},

		{"truncated request", refused(codes.InvalidArgument, "request", "malformed", opens()[:5]), counted{invalidArgument: 1}},
		{"truncated append", refused(codes.InvalidArgument, "append", "malformed", opens(), wire{}.field(2, wire{2<<3 | 2, 9, 1})),
			counted{invalidArgument: 1}},
		{"not protobuf", refused(codes.InvalidArgument, "request", "malformed", wire("GET / HTTP/1.1\r\n\r\n")), counted{invalidArgument: 1}},
		{"an empty request", refused(codes.InvalidArgument, "request", "neither open nor append", opens(), wire{}), counted{invalidArgument: 1}},
		{"SendLogs, not protobuf", sendRefused(codes.InvalidArgument, "request", "malformed", wire(`{"tag":"t"}`)),
			counted{`sluice_calls_total{code="InvalidArgument",method="SendLogs"}`: 1}},
		{"truncated record", rejected(sluicev1.RejectionCode_REJECTION_CODE_MALFORMED, "body", wire{}.field(5, wire{1<<3 | 2, 9, 'x'})),
			counted{malformed: 1}},
		{"record of another wire type", rejected(sluicev1.RejectionCode_REJECTION_CODE_MALFORMED, "", wire{0x07}), counted{malformed: 1}},

		{"invalid UTF-8 in a body", rejected(sluicev1.RejectionCode_REJECTION_CODE_INVALID_UTF8, "body.string_value",
			wire{}.field(5, wire{}.field(1, []byte("a\xffz")))), counted{invalidUTF8: 1}},
		{"invalid UTF-8 in an attribute's key", rejected(sluicev1.RejectionCode_REJECTION_CODE_INVALID_UTF8, "attributes[1].key",
			wire{}.field(6, nil).field(6, wire{}.field(1, []byte("\xc0\x80")))), counted{invalidUTF8: 1}},
		{"invalid UTF-8 in the tag", refused(codes.InvalidArgument, "open.tag", "UTF-8",
			wire{}.field(1, wire{}.field(2, []byte("app.\xff")))), counted{invalidArgument: 1}},
		{"invalid UTF-8 in the stream id", refused(codes.InvalidArgument, "open.stream_id", "UTF-8",
			wire{}.field(1, wire{}.field(1, []byte("\xff")).field(2, []byte("app.x")))), counted{invalidArgument: 1}},
		{"invalid UTF-8 in the resource", refused(codes.InvalidArgument, "open.resource.attributes[0].value.string_value", "UTF-8",
			wire{}.field(1, wire{}.field(2, []byte("app.x")).field(3, wire{}.field(1, wire{}.field(2, wire{}.field(1, []byte("\xff"))))))),
			counted{invalidArgument: 1}},
		{"a resource of 70,000 bytes", refused(codes.InvalidArgument, "open.resource", "more than the 65536 that are taken",
			wire{}.field(1, wire{}.field(2, []byte("app.x")).field(3, wire{}.field(1, make([]byte, 70_000))))), counted{invalidArgument: 1}},

		{"a record with no body", taken(&sluicev1.LogRecord{SeverityText: "INFO"}), counted{admitted: some}},
		{"an empty record", taken(&sluicev1.LogRecord{}), counted{admitted: some}},
		{"10,000 attributes", taken(manyAttributes(10_000)), counted{admitted: some}},
		{"time 0", taken(&sluicev1.LogRecord{Body: text("x")}), counted{admitted: some}},
		{"the year 2200", taken(&sluicev1.LogRecord{TimeUnixNano: 7_258_118_400_000_000_000, Body: text("x")}), counted{admitted: some}},
		{"the last time", taken(&sluicev1.LogRecord{TimeUnixNano: math.MaxUint64, ObservedTimeUnixNano: math.MaxUint64}), counted{admitted: some}},
		{"nesting 1,000 deep", rejected(sluicev1.RejectionCode_REJECTION_CODE_TOO_DEEP, "body.array_value.values[0].array_value",
			wire{}.field(5, nested(500))), counted{tooDeep: 1}},
		{"nesting 1,000 deep in the resource", refused(codes.InvalidArgument, deepField, "nested more than 96 messages deep",
			wire{}.field(1, wire{}.field(2, []byte("app.x")).field(3, wire{}.field(1, wire{}.field(2, nested(500)))))),
			counted{invalidArgument: 1}},

		{"a repeated run with the same stream id", repeatedRun, counted{`sluice_repeated_records_total`: 0}},
		{"a repeated run of a naive client", naiveRepeatedRun, counted{`sluice_repeated_records_total`: 0}},
		{"a repeated run with the clock set back", clockSetBack, counted{precondition: 1}},
		{"two connections with one stream id", twoConnections, counted{aborted: 1}},
		{"two connections with one stream id and epoch", twoConnectionsOneEpoch, counted{aborted: 1}},
		{"two producers with one stream id", twoProducers, counted{aborted: 1}},
	} {
		t.Run(c.phrase, func(t *testing.T) { play(t, c.act, c.counted) })
	}
}

func opens() wire {
	return wire{}.field(1, wire{}.field(1, []byte(culprit)).field(2, []byte("app."+culprit)))
}

// refused sends messages; the last one ends the call.
func refused(code codes.Code, field, says string, sends ...wire) func(*scene) {
	return func(s *scene) {
		p := newProducer(s.t.Context(), s.t, s.conn)
		for _, w := range sends {
			p.raw(w)
		}
		if len(sends) == 0 {
			_ = p.CloseSend()
		}
		wantRefusal(s.t, p.end(), code, field, says)
		if n := s.engine.Stats().Sessions; n != 2 {
			s.t.Errorf("%d sessions are open, want the bystanders'", n)
		}
	}
}

func sendRefused(code codes.Code, field, says string, request wire) func(*scene) {
	return func(s *scene) {
		err := s.conn.Invoke(s.t.Context(), sluicev1.IngestService_SendLogs_FullMethodName, request, &sluicev1.SendLogsResponse{})
		wantRefusal(s.t, err, code, field, says)
	}
}

// rejected sends a record between two sound ones: it alone is refused, and its field named.
func rejected(code sluicev1.RejectionCode, says string, record wire) func(*scene) {
	return func(s *scene) {
		p := s.producer(&sluicev1.Open{})
		one, three := marshal(s.t, records("one")[0]), marshal(s.t, records("three")[0])
		p.raw(wire{}.field(2, wire{}.varint(1, 1).field(2, one).field(2, record).field(2, three)))
		got := p.untilAcked(3)
		if len(got) != 1 || got[0].GetFirstSequence() != 2 || got[0].GetLastSequence() != 2 || got[0].GetCount() != 1 ||
			got[0].GetCode() != code || !strings.Contains(got[0].GetMessage(), "record 1: "+says) {
			s.t.Errorf("rejections %v", got)
		}
		p.append(4, "four")
		p.untilAcked(4)
		p.leave()
		s.wantDelivered("one", "three", "four")
	}
}

// taken sends a record that is unusual and sound: it comes out as it went in.
func taken(record *sluicev1.LogRecord) func(*scene) {
	return func(s *scene) {
		p := s.producer(&sluicev1.Open{})
		w := marshal(s.t, record)
		p.raw(wire{}.field(2, wire{}.field(2, w)))
		if got := p.untilAcked(1); len(got) != 0 {
			s.t.Errorf("rejections %v", got)
		}
		p.leave()
		for _, d := range []*destination{s.out, s.other} {
			if got := d.arrivals(culprit); len(got) != 1 || !bytes.Equal(got[0].wire, w) {
				s.t.Errorf("%d records came, or not as they were sent", len(got))
			}
		}
	}
}

func manyAttributes(n int) *sluicev1.LogRecord {
	r := &sluicev1.LogRecord{}
	for i := range n {
		r.Attributes = append(r.Attributes, &sluicev1.KeyValue{Key: fmt.Sprint("key.", i), Value: text("v")})
	}
	return r
}

// nested is an AnyValue of so many lists in each other: each is two messages.
func nested(lists int) (value wire) {
	for range lists {
		value = wire{}.field(5, wire{}.field(1, value))
	}
	return value
}

func tooLargeToRead(s *scene) {
	p := s.producer(&sluicev1.Open{})
	p.append(1, strings.Repeat("x", 3<<20))
	if err := p.end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		s.t.Errorf("got %v", err)
	}
}

func sendTooLargeToRead(s *scene) {
	request := &sluicev1.SendLogsRequest{Tag: "app.x", Records: records(strings.Repeat("x", 3<<20))}
	_, err := sluicev1.NewIngestServiceClient(s.conn).SendLogs(s.t.Context(), request)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		s.t.Errorf("got %v", err)
	}
}

func smallerEpoch(s *scene) {
	p := s.producer(&sluicev1.Open{Epoch: 8})
	older := newProducer(s.t.Context(), s.t, s.conn)
	older.sendOpen(asCulprit(&sluicev1.Open{Epoch: 7}))
	err := older.end()
	wantRefusal(s.t, err, codes.FailedPrecondition, "open.epoch", "8")
	if i := info(err); i.GetReason() != "EPOCH_TOO_SMALL" || i.GetMetadata()["epoch"] != "8" {
		s.t.Errorf("info %v", i)
	}
	p.append(1, "goes on")
	p.untilAcked(1)
	p.leave()
	s.wantDelivered("goes on")
}

// run is one run of a program that uses the SDK: it logs ten records and exits. Zero is an epoch of its start.
func (s *scene) run(epoch uint64) {
	s.t.Helper()
	a := s.net.app(s.t, "gateway", sluice.StreamOptions{ID: culprit, Tag: "app." + culprit, Epoch: epoch})
	a.log(tenLines()...)
	a.exit()
}

func tenLines() []string {
	return strings.Fields("one two three four five six seven eight nine ten")
}

func repeatedRun(s *scene) {
	s.run(0)
	time.Sleep(time.Second)
	s.run(0)
	s.wantDelivered(slices.Concat(tenLines(), tenLines())...)
}

// A program that knows nothing of epochs numbers its records from 1 each time it runs.
func naiveRepeatedRun(s *scene) {
	for range 2 {
		p := s.producer(&sluicev1.Open{})
		p.append(1, tenLines()...)
		p.untilAcked(10)
		p.leave()
	}
	s.wantDelivered(slices.Concat(tenLines(), tenLines())...)
}

func clockSetBack(s *scene) {
	s.run(2_000_000)
	s.run(1_000_000)
	s.wantDelivered(slices.Concat(tenLines(), tenLines())...)
}

// The newer connection wins, and the numbers of the two do not mix.
func twoConnections(s *scene) {
	older := s.producer(&sluicev1.Open{})
	older.append(1, "a", "b", "c")
	older.untilAcked(3)
	newer := s.producer(&sluicev1.Open{})
	newer.append(1, "d", "e")
	wantRefusal(s.t, older.end(), codes.Aborted, "", "taken over by a newer connection")
	newer.untilAcked(2)
	newer.leave()
	s.wantDelivered("a", "b", "c", "d", "e")
}

// A producer that reconnects before its old connection is known to be dead goes on where it was.
func twoConnectionsOneEpoch(s *scene) {
	older := s.producer(&sluicev1.Open{Epoch: 5})
	older.append(1, "a", "b", "c")
	older.untilAcked(3)
	newer := s.producer(&sluicev1.Open{Epoch: 5, FirstSequence: 4})
	if newer.last.GetNextSequence() != 4 {
		s.t.Errorf("goes on with %v", newer.last)
	}
	newer.append(3, "c", "d")
	wantRefusal(s.t, older.end(), codes.Aborted, "", "taken over by a newer connection")
	newer.untilAcked(4)
	newer.leave()
	s.wantDelivered("a", "b", "c", "d")
}

// Of two programs that were given one stream id by mistake the older is told, and knows what it could not send.
func twoProducers(s *scene) {
	older := s.net.app(s.t, "gateway", sluice.StreamOptions{ID: culprit, Tag: "app." + culprit})
	older.log("older")
	older.flush()
	time.Sleep(time.Second)
	s.run(0)
	<-older.Done()
	if err := older.Log(s.t.Context(), "too late"); !errors.Is(err, sluice.ErrFenced) {
		s.t.Errorf("log: %v", err)
	}
	if report, err := older.Close(s.t.Context()); err != nil || report.Lost() != 0 {
		s.t.Errorf("close: %v, %d lost", err, report.Lost())
	}
	older.exit()
	s.wantDelivered(append([]string{"older"}, tenLines()...)...)
}

// A record is the same one at the other end, whatever of it the gateway does not know.
func TestUnknownFieldsSurvive(t *testing.T) {
	record := wire{}.field(5, wire{}.field(1, []byte("known")).field(77, []byte("in the body"))).varint(99, 5).field(100, []byte("\xff\x00"))
	var unknown sluicev1.LogRecord
	if err := proto.Unmarshal(record, &unknown); err != nil || len(unknown.ProtoReflect().GetUnknown()) == 0 {
		t.Fatalf("%v, %v", &unknown, err)
	}
	play(t, taken(&unknown), nil)
}
