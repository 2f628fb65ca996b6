package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// wires makes a chunk whose records' wire forms are these strings, which no scan would pass.
func wires(records ...string) *Chunk {
	c := &Chunk{Stream: &Stream{ID: "s"}, First: 1, Count: len(records), Last: uint64(len(records)), Arrived: time.Unix(7, 0), Urgent: true}
	for _, r := range records {
		c.Data = protowire.AppendTag(c.Data, 2, protowire.BytesType)
		c.Data = protowire.AppendString(c.Data, r)
	}
	return c
}

// byFirst keys each record by its first byte, or all of a chunk by its stream.
type byFirst struct{ perRecord bool }

func (byFirst) Write(context.Context, *Batch) error { return nil }

func (k byFirst) PerRecord(*Chunk) bool { return k.perRecord }

func (k byFirst) AppendKey(dst []byte, c *Chunk, r Record) []byte {
	if !k.perRecord {
		return append(dst, c.Stream.ID...)
	}
	return append(dst, r.Wire[:1]...)
}

// noKeys is an output that is no Keyer.
type noKeys struct{}

func (noKeys) Write(context.Context, *Batch) error { return nil }

// cutOf describes spans as "key:indices", and checks what every cut must keep.
func cutOf(t *testing.T, spans []Span, of Span) string {
	t.Helper()
	var all []string
	records := 0
	for _, s := range spans {
		var indices []string
		last := -1
		for i := range s.Records.All() {
			if i <= last {
				t.Errorf("span %q: record %d after %d", s.Key, i, last)
			}
			last = i
			indices = append(indices, fmt.Sprint(i))
		}
		records += len(indices)
		all = append(all, s.Key+":"+strings.Join(indices, ","))
		if s.Pos != of.Pos || s.Stream != of.Stream || !s.Arrived.Equal(of.Arrived) || s.Urgent != of.Urgent || s.Dead != of.Dead {
			t.Errorf("span %+v is not of %+v", s, of)
		}
	}
	if records != of.Records.Len() {
		t.Errorf("%d records in spans of %d", records, of.Records.Len())
	}
	return strings.Join(all, " ")
}

func TestCutting(t *testing.T) {
	records := []string{"a0", "b1", "a2", "c3", "b4", "a5"}
	dead := &DeadLetter{Reason: "why"}
	tests := map[string]struct {
		out    Output
		choose Selection
		want   string
	}{
		"without keys":            {noKeys{}, SelectRange(0, 6), ":0,1,2,3,4,5"},
		"a key for the chunk":     {byFirst{false}, SelectRange(0, 6), "s:0,1,2,3,4,5"},
		"a key for each":          {byFirst{true}, SelectRange(0, 6), "a:0,2,5 b:1,4 c:3"},
		"part, without keys":      {noKeys{}, SelectRange(2, 5), ":2,3,4"},
		"part, one key":           {byFirst{false}, SelectList([]uint32{1, 5}), "s:1,5"},
		"part, a range":           {byFirst{true}, SelectRange(2, 5), "a:2 c:3 b:4"},
		"part, a list":            {byFirst{true}, SelectList([]uint32{0, 1, 4, 5}), "a:0,5 b:1,4"},
		"part, all of one key":    {byFirst{true}, SelectList([]uint32{2, 5}), "a:2,5"},
		"part, a single one":      {byFirst{true}, SelectRange(3, 4), "c:3"},
		"part, a slice of a list": {byFirst{true}, SelectList([]uint32{0, 1, 2, 4, 5}).Slice(1, 4), "b:1,4 a:2"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			k := newCutter(c.out)
			chunk := wires(records...)
			whole := uncut(nil, Part{9, SelectRange(0, chunk.Count)}, chunk)
			whole.Records, whole.Key, whole.Dead = c.choose, "of another output", dead
			whole.Bytes = len(chunk.Data) * c.choose.Len() / chunk.Count
			for range 2 { // a cutter is used over and over
				spans := k.cut(whole, chunk)
				if got := cutOf(t, spans, whole); got != c.want {
					t.Errorf("cut into %s, want %s", got, c.want)
				}
				bytes := 0
				for _, s := range spans {
					bytes += s.Bytes
				}
				if bytes > whole.Bytes || bytes < 2*c.choose.Len() {
					t.Errorf("%d bytes in spans of %d", bytes, whole.Bytes)
				}
			}
		})
	}
}

// measured counts a hundred for each record, and what its second byte says.
type measured struct{ Output }

func (measured) Measure(_ *Chunk, r Record) int { return 100 + int(r.Wire[1]-'0') }

// measuredByFirst is a Keyer too.
type measuredByFirst struct {
	byFirst
	measured
}

func (measuredByFirst) Write(context.Context, *Batch) error { return nil }

func TestMeasuring(t *testing.T) {
	chunk := wires("a0", "b1", "a2", "c3", "b4", "a5")
	perRecord, perChunk := measuredByFirst{byFirst: byFirst{true}}, measuredByFirst{byFirst: byFirst{false}}
	tests := map[string]struct {
		out    Output
		choose Selection
		want   map[string]int
	}{
		"without keys":         {measured{noKeys{}}, SelectRange(0, 6), map[string]int{"": 615}},
		"a key for the chunk":  {perChunk, SelectRange(0, 6), map[string]int{"s": 615}},
		"a key for each":       {perRecord, SelectRange(0, 6), map[string]int{"a": 307, "b": 205, "c": 103}},
		"part, without keys":   {measured{noKeys{}}, SelectRange(2, 5), map[string]int{"": 309}},
		"part, one key":        {perChunk, SelectList([]uint32{1, 5}), map[string]int{"s": 206}},
		"part, a list":         {perRecord, SelectList([]uint32{0, 1, 4, 5}), map[string]int{"a": 205, "b": 205}},
		"part, all of one key": {perRecord, SelectList([]uint32{2, 5}), map[string]int{"a": 207}},
		"in wire bytes":        {byFirst{true}, SelectRange(0, 6), map[string]int{"a": 6, "b": 4, "c": 2}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			k := newCutter(c.out)
			whole := uncut(nil, Part{9, SelectRange(0, chunk.Count)}, chunk)
			whole.Records = c.choose
			for range 2 {
				got := map[string]int{}
				for _, s := range k.cut(whole, chunk) {
					got[s.Key] = s.Bytes
				}
				if !maps.Equal(got, c.want) {
					t.Errorf("measured %v, want %v", got, c.want)
				}
			}
		})
	}
}

// What a cutter gave stays as it was when it cuts the next chunk: schedulers keep spans for long.
func TestCutsDoNotShare(t *testing.T) {
	k := newCutter(byFirst{true})
	one, two := wires("a", "b", "a", "b"), wires("b", "b", "a", "a")
	first := slices.Clone(k.cut(uncut(nil, Part{1, SelectRange(0, one.Count)}, one), one))
	k.cut(uncut(nil, Part{2, SelectRange(0, two.Count)}, two), two)
	if got := cutOf(t, first, uncut(nil, Part{1, SelectRange(0, one.Count)}, one)); got != "a:0,2 b:1,3" {
		t.Errorf("the first cut became %s", got)
	}
}

// A cutter keeps nothing of the keys that came and went but the last chunk's.
func TestACutterForgets(t *testing.T) {
	k := newCutter(byFirst{true})
	for i := range 200 {
		c := wires(string(rune('!'+i%90)), string(rune('!'+(i+1)%90)))
		k.cut(uncut(nil, Part{Pos(i), SelectRange(0, c.Count)}, c), c)
	}
	if len(k.groups) != 2 {
		t.Errorf("%d keys are known", len(k.groups))
	}
}
