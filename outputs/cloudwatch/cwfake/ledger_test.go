package cwfake_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// Three puts of one stream at 20 ms each, two of them together, with a pause in between.
func TestStats(t *testing.T) {
	inBubble(t, cwfake.Options{Latency: 20 * time.Millisecond, Sequence: numbered}, func(t *testing.T, sc *scene) {
		var both sync.WaitGroup
		for i := range 2 {
			both.Go(func() {
				if err := sc.putOne(t.Context(), fmt.Sprint("a ", i+1)); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		time.Sleep(time.Second)
		if _, err := sc.put(t.Context(), here, event(0, "a 3"), event(0, "a 5"), event(3*time.Hour, "a 6")); err != nil {
			t.Fatal(err)
		}
		if err := sc.putOne(t.Context(), ""); codeOf(err) != "InvalidParameterException" {
			t.Error(err)
		}
		st := sc.Stats()
		want := cwfake.Stats{
			Calls: map[cwfake.Operation]map[string]int64{
				cwfake.PutLogEvents: {"OK": 3, "InvalidParameterException": 1},
			},
			Puts: 3, Events: 4, Rejected: 1, Bytes: 4 * 29, SmallestBatch: 29, LargestBatch: 58, Wire: st.Wire,
			MaxInFlight: 2, MaxStreamFlight: 2,
			Busy: 60 * time.Millisecond, Flight: 80 * time.Millisecond,
			Connections: 2, OpenConnections: 2, MaxOpenConnections: 2,
		}
		if diff := cmp.Diff(want, st); diff != "" {
			t.Error(diff)
		}
		if st.Wire < 3*100 {
			t.Errorf("%d bytes on the wire", st.Wire)
		}
		if n := sc.MaxStreamFlight(here); n != 2 {
			t.Errorf("%d in flight of the stream", n)
		}
		o := sc.Order(here)
		if o.Events != 4 || o.Missing != 1 || o.Duplicates != 0 {
			t.Errorf("order is %+v", o)
		}
		if o := cwfake.CheckOrder(sc.Events(here), numbered); o.Events != 4 || o.Missing != 1 {
			t.Errorf("order of what is kept is %+v", o)
		}
		last := sc.Calls()[2]
		if last.Events != 3 || last.Rejected != 1 || last.Bytes != 3*29 || last.End.Sub(last.Start) != 20*time.Millisecond ||
			last.Target != here || last.Result != cwfake.ResultOK || last.Number != 3 {
			t.Errorf("the third call is %+v", last)
		}
		if puts := sc.Events(here); puts[0].Put != 1 || puts[1].Put != 2 || puts[3].Put != 3 || puts[3].Message != "a 5" {
			t.Errorf("kept are %v", puts)
		}
	})
}

// Only counts are kept, and they are the same.
func TestCountOnly(t *testing.T) {
	sc := onLoopback(t, cwfake.Options{CountOnly: true, Sequence: numbered})
	for _, message := range []string{"a 1", "a 2", "a 2", "b 1"} {
		if err := sc.putOne(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sc.Events(here)) + len(sc.Calls()); n != 0 {
		t.Errorf("%d events and calls kept", n)
	}
	if st := sc.Stats(); st.Events != 4 || sc.Stored(here) != 4 {
		t.Errorf("%+v", st)
	}
	if o := sc.Order(here); o.Duplicates != 1 || len(o.Sources) != 2 {
		t.Errorf("%+v", o)
	}
}

func TestOrder(t *testing.T) {
	tests := []struct {
		numbers               []uint64
		reordered, duplicates int64
		missing               uint64
		gaps                  []cwfake.Range
	}{
		{numbers: []uint64{1, 2, 3}},
		{numbers: []uint64{7}},
		{numbers: []uint64{1, 2, 1, 2, 3}, duplicates: 2},
		{numbers: []uint64{1, 3, 2}, reordered: 1},
		{numbers: []uint64{2, 1}, reordered: 1},
		{numbers: []uint64{1, 5, 6, 3}, reordered: 1, missing: 2, gaps: []cwfake.Range{{First: 2, Last: 2}, {First: 4, Last: 4}}},
		{numbers: []uint64{1, 9, 5, 4, 6, 5}, reordered: 3, duplicates: 1, missing: 4, gaps: []cwfake.Range{{First: 2, Last: 3}, {First: 7, Last: 8}}},
		{numbers: []uint64{0, 1, 3}, missing: 1, gaps: []cwfake.Range{{First: 2, Last: 2}}},
	}
	for _, test := range tests {
		var es []cwfake.Event
		for _, n := range test.numbers {
			es = append(es, cwfake.Event{Message: fmt.Sprint("a ", n)})
		}
		o := cwfake.CheckOrder(append(es, cwfake.Event{Message: "what?"}), numbered)
		want := cwfake.Source{
			Name: "a", First: slices.Min(test.numbers), Last: slices.Max(test.numbers), Events: int64(len(test.numbers)),
			Reordered: test.reordered, Duplicates: test.duplicates, Missing: test.missing, Gaps: test.gaps,
		}
		if diff := cmp.Diff([]cwfake.Source{want}, o.Sources); diff != "" || o.Unnumbered != 1 {
			t.Errorf("%v: %s", test.numbers, diff)
		}
		if o.Reordered != test.reordered || o.Duplicates != test.duplicates || o.Missing != test.missing {
			t.Errorf("%v: the sums are %+v", test.numbers, o)
		}
	}
}
