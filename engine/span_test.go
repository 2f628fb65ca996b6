package engine_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

func TestSelection(t *testing.T) {
	list := []uint32{1, 4, 5, 9}
	for _, c := range []struct {
		name string
		sel  engine.Selection
		want []int
	}{
		{"zero", engine.Selection{}, nil},
		{"empty range", engine.SelectRange(3, 3), nil},
		{"range", engine.SelectRange(3, 6), []int{3, 4, 5}},
		{"list", engine.SelectList(list), []int{1, 4, 5, 9}},
		{"empty list", engine.SelectList(nil), nil},
		{"slice of a range", engine.SelectRange(3, 9).Slice(2, 4), []int{5, 6}},
		{"slice of a list", engine.SelectList(list).Slice(1, 3), []int{4, 5}},
		{"slice of a slice of a range", engine.SelectRange(3, 9).Slice(1, 5).Slice(1, 3), []int{5, 6}},
		{"slice of a slice of a list", engine.SelectList(list).Slice(1, 4).Slice(1, 3), []int{5, 9}},
		{"empty slice of a list", engine.SelectList(list).Slice(4, 4), nil},
		{"whole slice", engine.SelectList(list).Slice(0, 4), []int{1, 4, 5, 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := slices.Collect(c.sel.All()); !slices.Equal(got, c.want) {
				t.Errorf("All: %v, want %v", got, c.want)
			}
			if got := c.sel.Len(); got != len(c.want) {
				t.Errorf("Len: %d, want %d", got, len(c.want))
			}
			for i, want := range c.want {
				if got := c.sel.At(i); got != want {
					t.Errorf("At(%d): %d, want %d", i, got, want)
				}
			}
		})
	}
}

func TestSelectionAllStops(t *testing.T) {
	for i := range engine.SelectRange(5, 100).All() {
		if i != 5 {
			t.Fatalf("went on to %d", i)
		}
		break
	}
}

func TestSpanSplit(t *testing.T) {
	s := engine.Span{Pos: 7, Key: "k", Records: engine.SelectList([]uint32{0, 2, 4, 6}), Bytes: 101, Urgent: true}
	tail := s.Split(1)
	if got := slices.Collect(s.Records.All()); !slices.Equal(got, []int{0}) || s.Bytes != 25 {
		t.Errorf("head: records %v, %d bytes; want [0], 25", got, s.Bytes)
	}
	if got := slices.Collect(tail.Records.All()); !slices.Equal(got, []int{2, 4, 6}) || tail.Bytes != 76 {
		t.Errorf("tail: records %v, %d bytes; want [2 4 6], 76", got, tail.Bytes)
	}
	if tail.Pos != 7 || tail.Key != "k" || !tail.Urgent {
		t.Errorf("tail: %+v, want all else as it was", tail)
	}
}

// However a span is split and split again, no record and no byte is lost, doubled or moved.
func TestSpanSplitKeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, 50).Draw(t, "from")
		n := rapid.IntRange(2, 60).Draw(t, "n")
		sel := engine.SelectRange(from, from+n)
		if rapid.Bool().Draw(t, "list") {
			var list []uint32
			for i, at := 0, from; i < n; i++ {
				list = append(list, uint32(at))
				at += rapid.IntRange(1, 3).Draw(t, "step")
			}
			sel = engine.SelectList(list)
		}
		want := slices.Collect(sel.All())
		bytes := rapid.IntRange(0, 1<<31-1).Draw(t, "bytes")
		spans := []engine.Span{{Records: sel, Bytes: bytes}}
		for range rapid.IntRange(1, 8).Draw(t, "splits") {
			i := rapid.IntRange(0, len(spans)-1).Draw(t, "span")
			if spans[i].Records.Len() < 2 {
				continue
			}
			tail := spans[i].Split(rapid.IntRange(1, spans[i].Records.Len()-1).Draw(t, "at"))
			spans = slices.Insert(spans, i+1, tail)
		}
		var got []int
		sum := 0
		for _, s := range spans {
			got = slices.AppendSeq(got, s.Records.All())
			sum += s.Bytes
			if s.Bytes < 0 || s.Records.Len() < 1 {
				t.Fatalf("a part of %d records and %d bytes", s.Records.Len(), s.Bytes)
			}
		}
		if !slices.Equal(got, want) || sum != bytes {
			t.Fatalf("parts hold %v, %d bytes; want %v, %d", got, sum, want, bytes)
		}
	})
}
