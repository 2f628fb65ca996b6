package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestNewBatch(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := engine.NewBatch(
		engine.Span{Key: "k", Records: engine.SelectRange(0, 3), Bytes: 30, Arrived: at.Add(2 * time.Second)},
		engine.Span{Key: "k", Records: engine.SelectList([]uint32{1, 5}), Bytes: 12, Arrived: at},
		engine.Span{Key: "k", Records: engine.SelectRange(2, 3), Bytes: 7, Arrived: at.Add(time.Second)},
	)
	if b.Key != "k" || b.Records != 6 || b.Bytes != 49 || !b.Arrived.Equal(at) || len(b.Spans) != 3 {
		t.Errorf("batch of key %q, %d spans, %d records, %d bytes, arrived %v; want k, 3, 6, 49, %v",
			b.Key, len(b.Spans), b.Records, b.Bytes, b.Arrived, at)
	}
}

// A batch's records come in order of its spans, each with its sequence, chunk and dead letter, and counted through.
func TestBatchAll(t *testing.T) {
	var mint enginetest.Mint
	bodies := func(prefix string, n int) (bs []string) {
		for i := range n {
			bs = append(bs, fmt.Sprint(prefix, i))
		}
		return bs
	}
	x := mint.Chunk(&engine.Stream{ID: "x"}, 101, 1, bodies("x", 10)...)
	y := mint.Chunk(&engine.Stream{ID: "y"}, 501, 1, bodies("y", 4)...)
	dead := &engine.DeadLetter{Output: "aws", Reason: "permanent"}
	type read struct {
		body     string
		sequence uint64
		chunk    *engine.Chunk
		dead     *engine.DeadLetter
	}
	for _, c := range []struct {
		name   string
		spans  []engine.Span
		chunks []*engine.Chunk
		want   []read
	}{
		{
			"a whole chunk",
			[]engine.Span{{Records: engine.SelectRange(0, 4)}},
			[]*engine.Chunk{y},
			[]read{{"y0", 501, y, nil}, {"y1", 502, y, nil}, {"y2", 503, y, nil}, {"y3", 504, y, nil}},
		},
		{
			"a range from the middle",
			[]engine.Span{{Records: engine.SelectRange(4, 6)}},
			[]*engine.Chunk{x},
			[]read{{"x4", 105, x, nil}, {"x5", 106, x, nil}},
		},
		{
			"a list with gaps, to the last record",
			[]engine.Span{{Records: engine.SelectList([]uint32{0, 3, 4, 9})}},
			[]*engine.Chunk{x},
			[]read{{"x0", 101, x, nil}, {"x3", 104, x, nil}, {"x4", 105, x, nil}, {"x9", 110, x, nil}},
		},
		{
			"part of a list",
			[]engine.Span{{Records: engine.SelectList([]uint32{0, 3, 4, 9}).Slice(1, 3)}},
			[]*engine.Chunk{x},
			[]read{{"x3", 104, x, nil}, {"x4", 105, x, nil}},
		},
		{
			"spans of several chunks, and of one chunk twice",
			[]engine.Span{
				{Records: engine.SelectList([]uint32{8, 9})},
				{Records: engine.SelectRange(1, 2), Dead: dead},
				{Records: engine.SelectRange(0, 1)},
			},
			[]*engine.Chunk{x, y, x},
			[]read{{"x8", 109, x, nil}, {"x9", 110, x, nil}, {"y1", 502, y, dead}, {"x0", 101, x, nil}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := engine.NewBatch(c.spans...)
			b.Pin(c.chunks)
			for range 2 { // a Write may read it more than once
				var got []read
				for i, r := range b.All() {
					if i != len(got) {
						t.Errorf("index %d, want %d", i, len(got))
					}
					got = append(got, read{enginetest.Body(r.Record), r.Sequence, r.Chunk, r.Dead})
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("read %v, want %v", got, c.want)
				}
			}
		})
	}
	if mint.Held() != 2 {
		t.Error("reading a batch released its chunks")
	}
	x.Release()
	y.Release()
	mint.Check(t)
}

func TestBatchAllStops(t *testing.T) {
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{}, 1, 1, "a", "b", "c")
	defer c.Release()
	b := engine.NewBatch(engine.Span{Records: engine.SelectRange(0, 2)}, engine.Span{Records: engine.SelectRange(2, 3)})
	b.Pin([]*engine.Chunk{c, c})
	n := 0
	for i := range b.All() {
		if n++; i == 1 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d records after a break at the second", n)
	}
}

func TestBatchAllDoesNotAllocate(t *testing.T) {
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{}, 1, 1, make([]string, 1000)...)
	defer c.Release()
	b := engine.NewBatch(engine.Span{Records: engine.SelectRange(0, 1000)})
	b.Pin([]*engine.Chunk{c})
	n := 0
	allocs := testing.AllocsPerRun(10, func() {
		for range b.All() {
			n++
		}
	})
	if allocs > 4 || n != 11_000 {
		t.Errorf("%v allocations for 1000 records, %d read", allocs, n)
	}
}
