package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// An OutputFixture is an output under test and what the suite has to know of its destination. What cannot be told is nil:
// the cases that need it are then left out, with a word.
type OutputFixture struct {
	Output engine.Output
	// Delivered reads the bodies that the destination holds. Those of one key are in the order in which they came. A body
	// that is no string may read as anything that does not begin with a stream's name and a slash.
	Delivered func(t testing.TB) []string
	// Fail has the destination fail from now on after it took about n more records, as it would when it is full or goes
	// away; a negative n mends it. It is not called during a Write.
	Fail func(n int)
}

// TestOutput checks what the delivery loop relies on. open makes an output and a destination for one test; the suite
// closes the output.
func TestOutput(t *testing.T, open func(t *testing.T) OutputFixture) {
	cases := []struct {
		name string
		run  func(t *testing.T, d *destination)
	}{
		{"in order, once", outputOrder},
		{"part of a chunk", outputSelection},
		{"keys", outputKeys},
		{"keys at once", outputConcurrent},
		{"failure half-way", outputFailure},
		{"cancelled", outputCancelled},
		{"odd records", outputOdd},
		{"dead letters", outputDead},
		{"nothing kept", outputKeepsNothing},
		{"closed unused", func(*testing.T, *destination) {}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := &destination{OutputFixture: open(t)}
			c.run(t, d)
			d.close(t)
			d.mint.Check(t)
		})
	}
}

// A destination is an output under test with what was made to be delivered to it.
type destination struct {
	OutputFixture
	mint Mint
}

func (d *destination) close(t *testing.T) {
	if c, ok := d.Output.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// stream gives a stream and count chunks of it, of size records each, whose bodies are the stream's ID, a slash and the
// sequence.
func (d *destination) stream(id string, count, size int) []*engine.Chunk {
	s := &engine.Stream{Tenant: "default", ID: id, Tag: "test." + id}
	var chunks []*engine.Chunk
	for i := range count {
		bodies := make([]string, size)
		for j := range bodies {
			bodies[j] = fmt.Sprintf("%s/%d", id, i*size+j+1)
		}
		c := d.mint.Chunk(s, uint64(i*size+1), engine.OutputSet(0).With(0), bodies...)
		c.Resource = Resource("host.name", "host-"+id)
		chunks = append(chunks, c)
	}
	return chunks
}

// expect checks that the destination holds the wanted bodies of a stream in order, each once.
func (d *destination) expect(t *testing.T, id string, want []string) {
	t.Helper()
	if d.Delivered == nil {
		return
	}
	var got []string
	for _, body := range d.Delivered(t) {
		if strings.HasPrefix(body, id+"/") {
			got = append(got, body)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("stream %s: the destination holds %d records\n%.300q\nwant %d\n%.300q", id, len(got), got, len(want), want)
	}
}

func bodiesOf(chunks []*engine.Chunk) []string {
	var all []string
	for _, c := range chunks {
		all = append(all, Bodies(c)...)
	}
	return all
}

func release(chunks []*engine.Chunk) {
	for _, c := range chunks {
		c.Release()
	}
}

// A load is what is to be delivered under one key: records, by their chunk and their index in it.
type load struct {
	key     string
	records []loaded
	dead    *engine.DeadLetter
}

type loaded struct {
	chunk *engine.Chunk
	index uint32
}

// loads sorts the chunks' records by the output's keys, as a delivery loop does.
func loads(t *testing.T, o engine.Output, chunks ...*engine.Chunk) []*load {
	t.Helper()
	byKey := make(map[string]*load)
	var all []*load
	keyer, keyed := o.(engine.Keyer)
	for _, c := range chunks {
		for i, r := range c.Records() {
			var key []byte
			if keyed && keyer.PerRecord(c) {
				key = keyer.AppendKey(nil, c, r)
			} else if keyed {
				key = keyer.AppendKey([]byte("x"), c, engine.Record{})
				if key[0] != 'x' {
					t.Fatalf("AppendKey wrote over what was there: %q", key)
				}
				key = key[1:]
			}
			l := byKey[string(key)]
			if l == nil {
				l = &load{key: string(key)}
				byKey[l.key] = l
				all = append(all, l)
			}
			l.records = append(l.records, loaded{c, uint32(i)})
		}
	}
	return all
}

// batch makes a batch of the load, a span per run of one chunk's records.
func (l *load) batch() *engine.Batch {
	var spans []engine.Span
	var chunks []*engine.Chunk
	for from := 0; from < len(l.records); {
		c := l.records[from].chunk
		var list []uint32
		for ; from < len(l.records) && l.records[from].chunk == c; from++ {
			list = append(list, l.records[from].index)
		}
		spans = append(spans, engine.Span{
			Stream: c.Stream, Key: l.key, Records: engine.SelectList(list), Bytes: len(c.Data) * len(list) / c.Count,
			Arrived: c.Arrived, Dead: l.dead,
		})
		chunks = append(chunks, c)
	}
	b := engine.NewBatch(spans...)
	b.Attempt, b.First = 1, time.Now()
	b.Pin(chunks)
	return b
}

// write writes the load once and keeps of it what is to be tried again.
func (l *load) write(ctx context.Context, t *testing.T, o engine.Output) (rejected int, err error) {
	t.Helper()
	total := len(l.records)
	err = o.Write(ctx, l.batch())
	if err == nil {
		l.records = nil
		return 0, nil
	}
	var p *engine.Partial
	if !errors.As(err, &p) {
		return 0, err
	}
	done := make([]bool, total)
	mark := func(r engine.Range) {
		if r.From < 0 || r.From >= r.To || r.To > total {
			t.Fatalf("a Partial of a batch of %d records has the range %+v", total, r)
		}
		for i := r.From; i < r.To; i++ {
			if done[i] {
				t.Fatalf("a Partial names record %d twice: %+v", i, p)
			}
			done[i] = true
		}
	}
	for _, r := range p.Delivered {
		mark(r)
	}
	for _, r := range p.Rejected {
		mark(r.Range)
		rejected += r.To - r.From
		if r.Reason == "" {
			t.Errorf("rejected without a reason: %+v", r)
		}
	}
	var rest []loaded
	for i, r := range l.records {
		if !done[i] {
			rest = append(rest, r)
		}
	}
	if p.Err == nil && len(rest) == total {
		t.Fatalf("a Partial that says nothing: %+v", p)
	}
	l.records = rest
	return rejected, err
}

// maxTries is how often deliver writes a load before it gives up: each try is to get something done.
const maxTries = 100

// deliver writes the load until all of it is delivered.
func (l *load) deliver(t *testing.T, o engine.Output) {
	t.Helper()
	for range maxTries {
		rejected, err := l.write(t.Context(), t, o)
		if rejected > 0 {
			t.Errorf("%d sound records were rejected: %v", rejected, err)
		}
		if len(l.records) == 0 {
			return
		}
		var p *engine.Partial
		if !errors.As(err, &p) || p.Err != nil {
			t.Fatalf("Write: %v", err)
		}
	}
	t.Fatalf("%d records are left after %d tries", len(l.records), maxTries)
}

func deliverAll(t *testing.T, o engine.Output, ls []*load) {
	var all sync.WaitGroup
	for _, l := range ls {
		all.Go(func() { l.deliver(t, o) })
	}
	all.Wait()
}
