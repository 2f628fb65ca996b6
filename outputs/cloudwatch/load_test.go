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
type drawn struct {
	records [][]byte
	texts   []string
	at      []int64
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
		d.records = append(d.records, record(at, text))
		d.texts = append(d.texts, text)
		d.at = append(d.at, at.UnixMilli())
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
		d := draw(t, now)
		for from := 0; from < len(d.records); {
			b := batchOf(o, chunkOf(d.records[from:]...))
			l := o.load(b, 0, now)
			checkLimits(t, o, l)
			checkRecords(t, o, l, drawn{d.records[from:], d.texts[from:], d.at[from:]}, now)
			if l.next == 0 {
				t.Fatal("no progress")
			}
			checkAnswer(t, l.answer(b.Records, nil), l, b.Records)
			from += l.next
			o.unload(l)
		}
	})
}

func checkLimits(t *rapid.T, o *Output, l *load) {
	puts := 0
	for rest := l.events; len(rest) > 0; puts++ {
		n := o.limits.fit(rest)
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
		if len(d.texts[e.record]) > o.limits.message() {
			_, text, _ = strings.Cut(text, "] ")
		}
		texts[e.record] += text
		if e.at != d.at[e.record] {
			t.Fatalf("record %d is of %d, and sent as of %d", e.record, d.at[e.record], e.at)
		}
		if len(order) == 0 || order[len(order)-1] != e.record {
			order = append(order, e.record)
		}
	}
	if !slices.IsSortedFunc(order, func(a, b int) int {
		if d.at[a] != d.at[b] {
			return int(d.at[a] - d.at[b])
		}
		return a - b
	}) {
		t.Fatalf("records go in the order %v", order)
	}
	for i, text := range d.texts[:l.next] {
		want := ""
		switch {
		case d.at[i] < now.Add(-o.limits.past).UnixMilli():
			want = "too_old"
		case d.at[i] > now.Add(o.limits.future).UnixMilli():
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
	if len(order)+len(rejected) != l.next {
		t.Fatalf("%d records sent, %d rejected, of %d", len(order), len(rejected), l.next)
	}
}

// checkAnswer checks that the answer names every record up to next once, and none after it.
func checkAnswer(t *rapid.T, err error, l *load, records int) {
	if err == nil {
		if l.next != records || len(l.rejected) > 0 {
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
		if want := i < l.next; n > 1 || (n == 1) != want {
			t.Fatalf("record %d of %d, next %d, is named %d times: %+v", i, records, l.next, n, p)
		}
	}
}
