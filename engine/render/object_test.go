package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// Wire encodings, by hand: the package must render what any producer may send, not what one library makes.
func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func sub(n protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), cat(parts...))
}
func str(n protowire.Number, s string) []byte { return sub(n, []byte(s)) }
func fixed(n protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), v)
}
func varint(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}
func body(value ...[]byte) []byte { return sub(5, value...) }
func pair(n protowire.Number, key string, value []byte) []byte {
	return sub(n, str(1, key), sub(2, value))
}
func double(d float64) []byte { return fixed(4, math.Float64bits(d)) }

func chunkOf(resource []byte, records ...[]byte) *engine.Chunk {
	c := &engine.Chunk{
		Stream: &engine.Stream{Tenant: "default", Tag: "shop.checkout", ID: "s1"}, First: 7, Count: len(records),
		Resource: resource, Arrived: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)),
	}
	for _, r := range records {
		c.Data = append(c.Data, sub(2, r)...)
	}
	return c
}

func batchOf(dead *engine.DeadLetter, cs ...*engine.Chunk) *engine.Batch {
	var spans []engine.Span
	for _, c := range cs {
		spans = append(spans, engine.Span{Stream: c.Stream, Records: engine.SelectRange(0, c.Count), Bytes: len(c.Data), Dead: dead})
	}
	b := engine.NewBatch(spans...)
	b.Pin(cs)
	return b
}

func renderer(t testing.TB, o Options) *Renderer {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func renderAll(t testing.TB, r *Renderer, b *engine.Batch) string {
	t.Helper()
	block := r.Render(b)
	defer block.Free()
	return string(block.Bytes)
}

func TestObject(t *testing.T) {
	const (
		head = `{"time":"2026-01-02T02:04:05.000000006Z"`
		tail = `,"tag":"shop.checkout","stream":"s1","sequence":7`
		year = 1_767_323_045_000_000_006 // 2026-01-02T03:04:05.000000006Z
	)
	for name, c := range map[string]struct {
		record []byte
		want   string // with ~ for what follows the body
	}{
		"nothing":           {nil, head + `,"body":null~}`},
		"string":            {body(str(1, "a \"b\"\n")), head + `,"body":"a \"b\"\n"~}`},
		"its own time":      {cat(fixed(1, year), fixed(11, 5)), `{"time":"2026-01-02T03:04:05.000000006Z","body":null~}`},
		"observed time":     {cat(fixed(1, 0), fixed(11, 1_500_000_000)), `{"time":"1970-01-01T00:00:01.5Z","body":null~}`},
		"the year 2200":     {fixed(1, 7_258_118_400_000_000_000), `{"time":"2200-01-01T00:00:00Z","body":null~}`},
		"the last time":     {fixed(1, math.MaxUint64), `{"time":"2554-07-21T23:34:33.709551615Z","body":null~}`},
		"beyond int64":      {fixed(1, math.MaxInt64+1), `{"time":"2262-04-11T23:47:16.854775808Z","body":null~}`},
		"severity text":     {cat(varint(2, 9), str(3, "notice")), head + `,"severity":"notice","body":null~}`},
		"severity number":   {varint(2, 18), head + `,"severity":"ERROR2","body":null~}`},
		"severity 1":        {varint(2, 1), head + `,"severity":"TRACE","body":null~}`},
		"severity 24":       {varint(2, 24), head + `,"severity":"FATAL4","body":null~}`},
		"severity 25":       {varint(2, 25), head + `,"severity":"25","body":null~}`},
		"severity -1":       {varint(2, math.MaxUint64), head + `,"severity":"-1","body":null~}`},
		"true":              {body(varint(2, 1)), head + `,"body":true~}`},
		"smallest integer":  {body(varint(3, 1<<63)), head + `,"body":-9223372036854775808~}`},
		"largest integer":   {body(varint(3, math.MaxInt64)), head + `,"body":9223372036854775807~}`},
		"double":            {body(double(1.5)), head + `,"body":1.5~}`},
		"whole double":      {body(double(1e6)), head + `,"body":1000000~}`},
		"large double":      {body(double(1e300)), head + `,"body":1e+300~}`},
		"small double":      {body(double(-5e-324)), head + `,"body":-5e-324~}`},
		"minus zero":        {body(double(math.Copysign(0, -1))), head + `,"body":-0~}`},
		"not a number":      {body(double(math.NaN())), head + `,"body":"NaN"~}`},
		"infinity":          {body(double(math.Inf(1))), head + `,"body":"Infinity"~}`},
		"minus infinity":    {body(double(math.Inf(-1))), head + `,"body":"-Infinity"~}`},
		"bytes":             {body(str(7, "\xff\x00\xfe!")), head + `,"body":"/wD+IQ=="~}`},
		"empty list":        {body(sub(5)), head + `,"body":[]~}`},
		"empty map":         {body(sub(6)), head + `,"body":{}~}`},
		"list":              {body(sub(5, str(1, string(varint(3, 1))), sub(1, str(1, "x")), sub(1))), head + `,"body":[1,"x",null]~}`},
		"map":               {body(sub(6, pair(1, "a", varint(3, 1)), pair(1, "b", sub(6, pair(1, "c", sub(5)))))), head + `,"body":{"a":1,"b":{"c":[]}}~}`},
		"attributes":        {cat(pair(6, "k", str(1, "v")), pair(6, "", varint(2, 0))), head + `,"body":null~,"attributes":{"k":"v","":false}}`},
		"a key twice":       {cat(pair(6, "k", varint(3, 1)), pair(6, "k", varint(3, 2))), head + `,"body":null~,"attributes":{"k":1,"k":2}}`},
		"event and context": {cat(str(12, "e\"v"), str(9, "\x01\xff"), str(10, "\x00")), head + `,"body":null~,"event_name":"e\"v","trace_id":"01ff","span_id":"00"}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(c.want, "~", tail, 1) + "\n"
			if got := renderAll(t, renderer(t, Options{}), batchOf(nil, chunkOf(nil, c.record))); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			} else if !json.Valid([]byte(got)) {
				t.Errorf("not JSON: %s", got)
			}
		})
	}
}

// The parts that are kept from record to record are those of the record's own chunk, also in a block that is used again.
func TestObjectsOfSeveralChunks(t *testing.T) {
	r := renderer(t, Options{})
	for range 3 {
		one := chunkOf(enginetest.Resource("host", "a\"", "empty", ""), body(str(1, "1")), body(str(1, "2")))
		two := chunkOf(nil, body(str(1, "3")))
		two.Stream, two.First = &engine.Stream{Tag: "t\x00", ID: "s2"}, 100
		got := renderAll(t, r, batchOf(nil, one, two))
		const at = `{"time":"2026-01-02T02:04:05.000000006Z","body":`
		want := at + `"1","tag":"shop.checkout","stream":"s1","sequence":7,"resource":{"host":"a\"","empty":""}}` + "\n" +
			at + `"2","tag":"shop.checkout","stream":"s1","sequence":8,"resource":{"host":"a\"","empty":""}}` + "\n" +
			at + `"3","tag":"t\u0000","stream":"s2","sequence":100}` + "\n"
		if got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
	}
}

// A chunk may come to lie where another one lay.
func TestObjectOfAnotherChunkInTheSamePlace(t *testing.T) {
	r := renderer(t, Options{})
	c := chunkOf(nil, nil)
	for _, id := range []string{"one", "two", "three"} {
		c.Stream, c.Resource = &engine.Stream{ID: id}, enginetest.Resource("id", id)
		if got := renderAll(t, r, batchOf(nil, c)); strings.Count(got, `"`+id+`"`) != 2 {
			t.Errorf("of stream %s: %s", id, got)
		}
	}
}

func TestDeadLetter(t *testing.T) {
	d := &engine.DeadLetter{
		Output: "aws", Reason: "http_400", Message: "no \"such\"\nthing", Attempts: 3,
		First: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Last: time.Date(2026, 1, 2, 3, 4, 6, 500, time.FixedZone("", 60)),
	}
	got := renderAll(t, renderer(t, Options{}), batchOf(d, chunkOf(nil, nil)))
	want := `,"dead_letter":{"output":"aws","reason":"http_400","message":"no \"such\"\nthing","attempts":3,` +
		`"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:03:06.0000005Z"}}` + "\n"
	if !strings.HasSuffix(got, want) || !json.Valid([]byte(got)) {
		t.Errorf("got %s\nwant it to end in %s", got, want)
	}
}

func TestOddRecordsAreJSON(t *testing.T) {
	for name, record := range enginetest.OddRecords() {
		got := renderAll(t, renderer(t, Options{}), batchOf(nil, chunkOf(enginetest.Resource("\x00", "\n"), record)))
		if !json.Valid([]byte(got)) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %.300q", name, got)
		}
	}
}

func TestBlock(t *testing.T) {
	b := renderer(t, Options{Format: FormatText}).Render(batchOf(nil, chunkOf(nil, body(str(1, "ab")), nil, body(str(1, "c")))))
	defer b.Free()
	if got := fmt.Sprint(b.Ends); got != "[3 4 6]" || string(b.Bytes) != "ab\n\nc\n" {
		t.Fatalf("%s %q", got, b.Bytes)
	}
	for n, want := range []int{0, 0, 0, 1, 2, 2, 3, 3} {
		if got := b.Whole(n); got != want {
			t.Errorf("%d records are whole in %d bytes, want %d", got, n, want)
		}
	}
	b.Undo()
	if string(b.Bytes) != "ab\n\n" || len(b.Ends) != 2 || b.Start(2) != 4 || b.Start(0) != 0 {
		t.Errorf("after Undo %q, ends %v", b.Bytes, b.Ends)
	}
}

func TestLeadIsNotARecord(t *testing.T) {
	b := renderer(t, Options{Format: FormatText}).Block()
	defer b.Free()
	b.Lead("[")
	batch := batchOf(nil, chunkOf(nil, body(str(1, "ab"))))
	for _, r := range batch.All() {
		b.Add(r)
	}
	b.Undo()
	if string(b.Bytes) != "[" || b.Start(0) != 1 {
		t.Errorf("%q, the first record begins at %d", b.Bytes, b.Start(0))
	}
}

func manyRecords(n int) *engine.Batch {
	records := make([][]byte, n)
	for i := range records {
		records[i] = enginetest.Record(uint64(i), strings.Repeat("a line of a log ", 16), "http.method", "GET", "http.route", "/a/b",
			"code", "200", "user", "somebody", "peer", "10.0.0.1")
	}
	return batchOf(nil, chunkOf(enginetest.Resource("host.name", "a", "service.name", "checkout"), records...))
}

// Rendering allocates per batch at most, never per record.
func TestRenderAllocatesNothingPerRecord(t *testing.T) {
	batch := manyRecords(1000)
	for _, o := range []Options{{}, {Format: FormatText}, {Format: FormatText, Template: "{time} {severity} {attr.user} {body}"}} {
		r := renderer(t, o)
		b := r.Block() // held, for a pool forgets now and then under the race detector
		render := func() {
			b.Bytes, b.Ends = b.Bytes[:0], b.Ends[:0]
			for _, record := range batch.All() {
				b.Add(record)
			}
		}
		render()
		if n := testing.AllocsPerRun(20, render); n > 20 {
			t.Errorf("%+v: %v allocations for 1000 records", o, n)
		}
	}
}

func BenchmarkNDJSON(b *testing.B) {
	batch := manyRecords(1000)
	r := renderer(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		r.Render(batch).Free()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

// Whatever the scan takes is rendered as one line of JSON, and says what the view says.
func FuzzObject(f *testing.F) {
	for _, record := range enginetest.OddRecords() {
		if len(record) < 4096 {
			f.Add(record)
		}
	}
	f.Add(cat(fixed(1, 1), body(sub(6, pair(1, "a", double(1))))))
	f.Fuzz(func(t *testing.T, record []byte) {
		if engine.ScanRecord(record) != nil {
			t.Skip()
		}
		got := renderAll(t, renderer(t, Options{}), batchOf(nil, chunkOf(nil, record)))
		if strings.Count(got, "\n") != 1 {
			t.Fatalf("%q is not one line", got)
		}
		var object struct {
			Time     time.Time
			Body     any
			Sequence uint64
		}
		if err := json.Unmarshal([]byte(got), &object); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if v := (engine.Record{Wire: record}).Body(); v.Kind() == engine.ValueString && object.Body != string(v.Bytes()) {
			t.Fatalf("the body %q is read back as %q", v.Bytes(), object.Body)
		}
		if n := (engine.Record{Wire: record}).Time(); n != 0 && !object.Time.Equal(unixNano(n)) {
			t.Fatalf("time %d is read back as %v", n, object.Time)
		}
		renderAll(t, renderer(t, Options{Format: FormatText, Template: "{body}{time}{severity}"}), batchOf(nil, chunkOf(nil, record)))
	})
}
