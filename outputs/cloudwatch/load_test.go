package cloudwatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine"
)

// drawn are records whose limits are close by, so that each of them binds now and then.
type drawn []drawnRecord

type drawnRecord struct {
	wire     []byte
	text     string
	at       int64
	producer string
}

// batch has each record in a chunk of its own.
func (d drawn) batch(o *Output) *engine.Batch {
	var cs []*engine.Chunk
	for _, r := range d {
		c := chunkOf(r.wire)
		c.Stream = &engine.Stream{Tenant: "default", Tag: "shop", ID: r.producer}
		cs = append(cs, c)
	}
	return batchOf(o, cs...)
}

func draw(t *rapid.T, now time.Time) (d drawn) {
	for range rapid.IntRange(1, 40).Draw(t, "records") {
		text := rapid.OneOf(
			rapid.StringN(0, 20, -1),
			rapid.Just(strings.Repeat("é", 30)),
			rapid.Map(rapid.IntRange(90, 400), func(n int) string { return strings.Repeat("x", n) }),
		).Draw(t, "text")
		offset := time.Duration(rapid.IntRange(-40, 25).Draw(t, "seconds")) * time.Second
		if rapid.Bool().Draw(t, "together") {
			offset = 0
		}
		at := now.Add(offset)
		d = append(d, drawnRecord{record(at, text), text, at.UnixMilli(), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "producer")})
	}
	return d
}

// Any records in: all limits hold, nothing is lost, order is kept, and every record is in exactly one of delivered, rejected
// and left.
func TestLoadOfAnything(t *testing.T) {
	environment(t)
	now := time.UnixMilli(1_700_000_000_000)
	split := newOutput(t, Options{})
	whole := newOutput(t, Options{Oversize: OversizeDeadLetter})
	for _, o := range []*Output{split, whole} {
		o.limits = limits{bytes: 200, records: 5, span: 20 * time.Second, past: 30 * time.Second, future: 15 * time.Second}
	}
	rapid.Check(t, func(t *rapid.T) {
		o := split
		if rapid.Bool().Draw(t, "dead letters") {
			o = whole
		}
		for d := draw(t, now); len(d) > 0; {
			b := d.batch(o)
			l := o.load(b, now)
			checkLimits(t, o, l)
			checkRecords(t, o, l, d, now)
			checkPassed(t, o, l, d)
			if l.next == len(l.passed) {
				t.Fatal("no progress")
			}
			checkAnswer(t, l.answer(b.Records, nil), l, b.Records)
			var left drawn
			for _, i := range l.passed {
				left = append(left, d[i])
			}
			d = append(left, d[l.next:]...)
			o.unload(l)
		}
	})
}

func checkLimits(t *rapid.T, o *Output, l *load) {
	puts := 0
	for rest := l.events; len(rest) > 0; puts++ {
		n := len(l.request(rest))
		if n == 0 || n > o.limits.records {
			t.Fatalf("%d events in a request", n)
		}
		size := 0
		for i := range rest[:n] {
			size += rest[i].size()
			if i > 0 && rest[i].at < rest[i-1].at {
				t.Fatal("not in order of time")
			}
		}
		if span := rest[n-1].at - rest[0].at; size > o.limits.bytes || span > o.limits.span.Milliseconds() {
			t.Fatalf("%d bytes over %d ms in a request", size, span)
		}
		rest = rest[n:]
	}
	if puts > 1 && l.events[0].record != l.events[len(l.events)-1].record {
		t.Fatal("several requests for several records")
	}
}

// checkRecords checks that the records up to next are either rejected for what they are, or in the events with their text.
func checkRecords(t *rapid.T, o *Output, l *load, d drawn, now time.Time) {
	rejected := map[int]string{}
	for _, r := range l.rejected {
		rejected[r.record] = r.why.code()
	}
	texts := map[int]string{}
	var order []int
	for _, e := range l.events {
		text := string(e.text)
		if len(d[e.record].text) > o.limits.message() {
			_, text, _ = strings.Cut(text, "] ")
		}
		texts[e.record] += text
		if e.at != d[e.record].at {
			t.Fatalf("record %d is of %d, and sent as of %d", e.record, d[e.record].at, e.at)
		}
		if len(order) == 0 || order[len(order)-1] != e.record {
			order = append(order, e.record)
		}
	}
	if !slices.IsSortedFunc(order, func(a, b int) int {
		if d[a].at != d[b].at {
			return int(d[a].at - d[b].at)
		}
		return a - b
	}) {
		t.Fatalf("records go in the order %v", order)
	}
	for i, r := range d[:l.next] {
		text, want := r.text, ""
		switch {
		case slices.Contains(l.passed, i):
			if _, sent := texts[i]; sent || rejected[i] != "" {
				t.Fatalf("record %d is passed over, and sent or rejected", i)
			}
			continue
		case r.at < now.Add(-o.limits.past).UnixMilli():
			want = "too_old"
		case r.at > now.Add(o.limits.future).UnixMilli():
			want = "too_new"
		case text == "":
			want = "empty_message"
		case len(text) > o.limits.message() && o.set.Oversize == OversizeDeadLetter:
			want = "too_large"
		}
		if rejected[i] != want {
			t.Fatalf("record %d is rejected as %q, want %q", i, rejected[i], want)
		}
		if got, sent := texts[i]; sent != (want == "") || sent && got != text {
			t.Fatalf("record %d, %q, is sent as %q", i, text, got)
		}
	}
	if len(order)+len(rejected)+len(l.passed) != l.next {
		t.Fatalf("%d records sent, %d rejected, %d passed over, of %d", len(order), len(rejected), len(l.passed), l.next)
	}
}

// checkPassed checks that no record overtakes an earlier one of its producer, and that none is passed over without need.
func checkPassed(t *rapid.T, o *Output, l *load, d drawn) {
	behind := map[string]bool{}
	for _, i := range l.passed {
		apart := false
		for _, e := range l.events {
			apart = apart || max(d[i].at-e.at, e.at-d[i].at) > o.limits.span.Milliseconds()
		}
		if !apart && !behind[d[i].producer] {
			t.Fatalf("record %d is passed over", i)
		}
		behind[d[i].producer] = true
		for _, e := range l.events {
			if e.record > i && d[e.record].producer == d[i].producer {
				t.Fatalf("record %d overtakes %d", e.record, i)
			}
		}
	}
}

// checkAnswer checks that the answer names every record up to next once but for those that were passed over, and none after it.
func checkAnswer(t *rapid.T, err error, l *load, records int) {
	if err == nil {
		if l.next != records || len(l.rejected)+len(l.passed) > 0 {
			t.Fatal("all is said to be delivered")
		}
		return
	}
	p, ok := err.(*engine.Partial) //nolint:errorlint // it is what answer makes
	if !ok || p.Err != nil {
		t.Fatal(err)
	}
	told := make([]int, records)
	mark := func(r engine.Range) {
		for i := r.From; i < r.To; i++ {
			told[i]++
		}
	}
	for _, r := range p.Delivered {
		mark(r)
	}
	for _, r := range p.Rejected {
		mark(r.Range)
	}
	for i, n := range told {
		if want := i < l.next && !slices.Contains(l.passed, i); n > 1 || (n == 1) != want {
			t.Fatalf("record %d of %d, next %d, is named %d times: %+v", i, records, l.next, n, p)
		}
	}
}

// Producers a day apart in one log stream do not mean one record a request.
func TestProducersADayApart(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	now := time.Now()
	var d drawn
	for i := range 2 * (maxPassed + 10) {
		at, producer := now, "a"
		if i%2 == 1 {
			at, producer = now.Add(-25*time.Hour), "b"
		}
		d = append(d, drawnRecord{record(at, "x"), "x", at.UnixMilli(), producer})
	}
	d[4].producer = "b" // it comes after one that is passed over
	l := o.load(d.batch(o), now)
	if len(l.passed) != maxPassed || len(l.events) != maxPassed-1 || l.next != 2*maxPassed-1 {
		t.Errorf("%d events, %d passed over, next %d", len(l.events), len(l.passed), l.next)
	}
	if l.passed[0] != 1 || l.passed[1] != 3 || l.passed[2] != 4 || l.passed[3] != 5 {
		t.Errorf("passed over: %v", l.passed[:4])
	}
	o.unload(l)
	if l = o.load(bodies(o, "one"), now); len(l.passed) > 0 || len(l.behind) > 0 {
		t.Error("a load that is used again is not empty")
	}
}
