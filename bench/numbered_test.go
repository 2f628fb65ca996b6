package main

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestNumberedRecordsCanBeToldApart(t *testing.T) {
	t.Parallel()
	w := workload{Append: 7, Run: runName(3)}
	appends, err := w.template()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, first := range []uint64{1, 8, 123_456} { // one after the other in the same memory
		before := uint64(time.Now().UnixNano())
		f := &frame{first: first, records: appends.at(first)}
		var got sluicev1.StreamLogsRequest
		encoded := f.encode()
		if err := proto.Unmarshal(encoded.Materialize(), &got); err != nil {
			t.Fatal(err)
		}
		encoded.Free()
		records := got.GetAppend().GetRecords()
		if len(records) != w.Append {
			t.Fatalf("%d records, want %d", len(records), w.Append)
		}
		for i, r := range records {
			body := r.GetBody().GetStringValue()
			run, number, ok := readNumber(body)
			if !ok || run != "0003" || number != first+uint64(i) {
				t.Errorf("append at %d: record %d is %d of run %q, %t", first, i, number, run, ok)
			}
			if at := r.GetTimeUnixNano(); len(body) != bodySize || at < before || at > uint64(time.Now().UnixNano()) {
				t.Errorf("body of %d bytes, time %d", len(body), at)
			}
			seen[body[runSize+1+numberSize:]] = true
		}
	}
	if len(seen) != w.Append {
		t.Errorf("%d different texts, want %d", len(seen), w.Append)
	}
}

func TestReadNumber(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"0001 0000000042 rest": "0001 42 true",
		"0001 0000000042":      "0001 42 true",
		"0001 000000004":       " 0 false",
		"0001-0000000042 rest": " 0 false",
		"0001 00000000x2 rest": " 0 false",
		"":                     " 0 false",
	} {
		run, number, ok := readNumber(body)
		if !ok {
			number = 0
		}
		if got := fmt.Sprint(run, " ", number, " ", ok); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}
