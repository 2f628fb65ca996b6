package enginetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
)

func outputOrder(t *testing.T, d *destination) {
	chunks := d.stream("a", 6, 50)
	want := bodiesOf(chunks)
	for some := range slices.Chunk(chunks, 2) {
		for _, l := range loads(t, d.Output, some...) {
			l.deliver(t, d.Output)
		}
	}
	d.expect(t, "a", want)
	release(chunks)
}

func outputSelection(t *testing.T, d *destination) {
	chunks := d.stream("a", 3, 20)
	var want []string
	for _, l := range loads(t, d.Output, chunks...) {
		var some []loaded
		for i, r := range l.records {
			if i%3 == 1 {
				some = append(some, r)
				want = append(want, Bodies(r.chunk)[r.index])
			}
		}
		l.records = some
		l.deliver(t, d.Output)
	}
	d.expect(t, "a", want)
	release(chunks)
}

// outputKeys: the key of a chunk is that of its records, and asking twice gives the same.
func outputKeys(t *testing.T, d *destination) {
	keyer, ok := d.Output.(engine.Keyer)
	if !ok {
		t.Log("the output has a single key")
		return
	}
	chunks := d.stream("a", 1, 5)
	c := chunks[0]
	for _, r := range c.Records() {
		if !keyer.PerRecord(c) {
			r = engine.Record{}
		}
		one, two := keyer.AppendKey(nil, c, r), keyer.AppendKey([]byte("before"), c, r)
		if "before"+string(one) != string(two) {
			t.Errorf("AppendKey gives %q, then %q after other bytes", one, two)
		}
	}
	release(chunks)
}

func outputConcurrent(t *testing.T, d *destination) {
	var all sync.WaitGroup
	want := make(map[string][]string)
	var chunks []*engine.Chunk
	for i := range 8 {
		id := fmt.Sprintf("s%d", i)
		mine := d.stream(id, 10, 10)
		chunks = append(chunks, mine...)
		want[id] = bodiesOf(mine)
		// One after the other, as it must be under one key; the streams among themselves at once.
		var ls [][]*load
		for _, c := range mine {
			ls = append(ls, loads(t, d.Output, c))
		}
		all.Go(func() {
			for _, l := range ls {
				deliverAll(t, d.Output, l)
			}
		})
	}
	all.Wait()
	for id, bodies := range want {
		d.expect(t, id, bodies)
	}
	release(chunks)
}

func outputFailure(t *testing.T, d *destination) {
	if d.Fail == nil {
		t.Log("the destination cannot be made to fail")
		return
	}
	var chunks []*engine.Chunk
	for n, after := range []int{0, 1, 7, 29} {
		id := fmt.Sprintf("f%d", n)
		mine := d.stream(id, 3, 10)
		chunks = append(chunks, mine...)
		ls := loads(t, d.Output, mine...)
		for _, l := range ls {
			d.Fail(after)
			for try := 0; len(l.records) > 0; try++ {
				if try == 3 {
					d.Fail(-1)
				}
				if try == maxTries {
					t.Fatalf("after %d tries %d records are left", try, len(l.records))
				}
				if _, err := l.write(t.Context(), t, d.Output); err == nil {
					break
				} else if k := engine.AsWriteError(err).Kind; k == engine.KindPermanent || k == engine.KindTooLarge {
					t.Fatalf("a failing destination must not lose records: %v", err)
				}
				if len(ls) == 1 {
					d.expect(t, id, bodiesOf(mine)[:30-len(l.records)])
				}
			}
			d.Fail(-1)
		}
		d.expect(t, id, bodiesOf(mine))
	}
	release(chunks)
}

// outputCancelled: a Write whose context has ended answers, and what it says of the records is true.
func outputCancelled(t *testing.T, d *destination) {
	chunks := d.stream("a", 2, 10)
	want := bodiesOf(chunks)
	for _, l := range loads(t, d.Output, chunks...) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.write(ctx, t, d.Output)
		if k := engine.AsWriteError(err).Kind; err != nil && (k == engine.KindPermanent || k == engine.KindTooLarge) {
			t.Errorf("a cancelled Write must not lose records: %v", err)
		}
		if len(l.records) > 0 {
			l.deliver(t, d.Output)
		}
	}
	d.expect(t, "a", want)
	release(chunks)
}

// outputOdd: every record that the scan admits can be written, or is refused by an answer, and harms no other.
func outputOdd(t *testing.T, d *destination) {
	s := &engine.Stream{Tenant: "default", ID: "odd/../\x00\n", Tag: "../odd"}
	odd := OddRecords()
	names := make([]string, 0, len(odd))
	for name := range odd {
		names = append(names, name)
	}
	slices.Sort(names)
	records := [][]byte{Record(1, "odd/first")}
	for _, name := range names {
		records = append(records, odd[name])
	}
	records = append(records, Record(uint64(len(records)+1), "odd/last"))
	c := d.mint.ChunkOf(s, 1, engine.OutputSet(0).With(0), records...)
	c.Resource = Resource("host.name", "a\"b\\c\n../", "", "empty key")
	for _, l := range loads(t, d.Output, c) {
		for try := 0; len(l.records) > 0; try++ {
			_, err := l.write(t.Context(), t, d.Output)
			k := engine.AsWriteError(err).Kind
			if err != nil && (k == engine.KindPermanent || k == engine.KindTooLarge) && len(l.records) > 0 {
				t.Logf("refused: %v", err) // one by one then, as after bisecting
				l.records = l.records[1:]
			}
			if try == maxTries {
				t.Fatalf("after %d tries %d records are left: %v", try, len(l.records), err)
			}
		}
	}
	d.expect(t, "odd", []string{"odd/first", "odd/last"})
	c.Release()
}

func outputDead(t *testing.T, d *destination) {
	chunks := d.stream("a", 1, 3)
	for _, l := range loads(t, d.Output, chunks...) {
		l.dead = &engine.DeadLetter{
			Output: "aws", Reason: "permanent", Message: "a \"bad\"\nrecord", Attempts: 3,
			First: time.Unix(1, 0), Last: time.Unix(2, 5),
		}
		l.deliver(t, d.Output)
	}
	d.expect(t, "a", bodiesOf(chunks))
	release(chunks)
}

// outputKeepsNothing: what a Write was given is overwritten when it has returned. An output that reads it later delivers
// garbage, or is a race.
func outputKeepsNothing(t *testing.T, d *destination) {
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("k%d", i)
		chunks := d.stream(id, 1, 20)
		want = bodiesOf(chunks)
		for _, l := range loads(t, d.Output, chunks...) {
			l.deliver(t, d.Output)
		}
		release(chunks)
		d.expect(t, id, want)
	}
}

// OddRecords are records in wire form that the scan admits and that an output may not be made for, by what is odd.
func OddRecords() map[string][]byte {
	field := func(b []byte, n protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), value)
	}
	at := func(n protowire.Number, nanos uint64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), nanos)
	}
	number := func(n protowire.Number, bits uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), bits)
	}
	deep := stringValue("bottom")
	for range 40 { // a list within a list: two messages each, so well below engine.MaxDepth
		deep = field(nil, 5, field(nil, 1, deep))
	}
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("key.%d", i), "value")
	}
	double := func(bits uint64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), bits)
	}
	return map[string][]byte{
		"empty":               {},
		"no body":             at(timeField, 1),
		"empty body":          field(nil, bodyField, nil),
		"time 0":              append(at(timeField, 0), field(nil, bodyField, stringValue("t"))...),
		"time beyond 2200":    append(at(timeField, 1<<64-1), field(nil, bodyField, stringValue("t"))...),
		"only observed":       append(at(11, 1), field(nil, bodyField, stringValue("t"))...),
		"deep":                field(nil, bodyField, deep),
		"10,000 attributes":   Record(1, "many", many...),
		"control characters":  Record(1, "\x00\x01\n\r\t\x1b[31m\x7f\u2028\u202e", "\x00", "\n"),
		"200 KiB body":        Record(1, string(make([]byte, 200<<10))),
		"not a number":        field(nil, bodyField, double(0x7ff8000000000001)),
		"minus infinity":      field(nil, bodyField, double(0xfff0000000000000)),
		"smallest integer":    field(nil, bodyField, number(3, 1<<63)),
		"bytes":               field(nil, bodyField, field(nil, 7, []byte{0xff, 0, 0xfe})),
		"empty list":          field(nil, bodyField, field(nil, 5, nil)),
		"empty map":           field(nil, bodyField, field(nil, 6, nil)),
		"severity 2147483647": append(number(severityField, 1<<31-1), field(nil, bodyField, stringValue("s"))...),
		"severity -1":         append(number(severityField, 1<<64-1), field(nil, bodyField, stringValue("s"))...),
		"unknown field":       append(Record(1, "u"), field(nil, 999, []byte("later"))...),
		"one key twice":       Record(1, "d", "k", "1", "k", "2"),
		"attribute of nothing": append(Record(1, "n"),
			field(nil, attributesField, nil)...),
		"odd trace":     append(Record(1, "i"), field(nil, 9, []byte{1, 2, 3})...),
		"two times":     append(append(at(timeField, 1), at(timeField, 2)...), field(nil, bodyField, stringValue("t"))...),
		"wrong type":    append(number(bodyField, 1), field(nil, bodyField, stringValue("w"))...),
		"a value twice": field(nil, bodyField, append(stringValue("first"), number(3, 7)...)),
	}
}
