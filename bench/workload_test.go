package main

import (
	"testing"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestFrameIsAnAppend(t *testing.T) {
	t.Parallel()
	for _, w := range []workload{{Append: 1}, {Append: 10, Attributes: true}, {Append: 1000}} {
		appends, err := w.template()
		if err != nil {
			t.Fatal(err)
		}
		for _, first := range []uint64{1, 127, 128, 1 << 40} {
			f := &frame{first: first, records: appends.at(first)}
			var got sluicev1.StreamLogsRequest
			if err := proto.Unmarshal(f.encode().Materialize(), &got); err != nil {
				t.Fatalf("%+v at %d: %v", w, first, err)
			}
			a := got.GetAppend()
			if a.GetFirstSequence() != first || len(a.GetRecords()) != w.Append {
				t.Errorf("%+v at %d: got %d records from %d", w, first, len(a.GetRecords()), a.GetFirstSequence())
			}
			last := a.GetRecords()[w.Append-1]
			if n := len(last.GetBody().GetStringValue()); n != bodySize {
				t.Errorf("body of %d bytes, want %d", n, bodySize)
			}
			if n := len(last.GetAttributes()); n != 5 && w.Attributes || n != 0 && !w.Attributes {
				t.Errorf("%+v: %d attributes", w, n)
			}
		}
	}
}

func TestWorkloadSendsWholeAppends(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		w    workload
		want uint64
	}{
		{workload{Streams: 16, Append: 1000, Records: 1_000_000}, 62_000},
		{workload{Streams: 1, Append: 10, Records: 1_000}, 1_000},
		{workload{Streams: 256, Append: 1000, Records: 1_000}, 1_000}, // one append each, at least
	} {
		if got := c.w.perStream(); got != c.want {
			t.Errorf("%+v: %d records a stream, want %d", c.w, got, c.want)
		}
	}
}
