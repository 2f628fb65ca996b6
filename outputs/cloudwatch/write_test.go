package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// writeAll writes records until none is left, as the engine does. It gives how many Writes that took, and the reasons of those
// that were rejected, by their place.
func writeAll(t testing.TB, o *Output, records [][]byte) (writes int, rejected map[int]string) {
	t.Helper()
	rejected = map[int]string{}
	places := make([]int, len(records))
	for i := range places {
		places[i] = i
	}
	for len(places) > 0 {
		var left [][]byte
		for _, i := range places {
			left = append(left, records[i])
		}
		writes++
		err := o.Write(t.Context(), batchOf(o, chunkOf(left...)))
		if err == nil {
			return writes, rejected
		}
		p := partial(t, err)
		done := make([]bool, len(places))
		for _, r := range p.Delivered {
			for i := r.From; i < r.To; i++ {
				done[i] = true
			}
		}
		for _, r := range p.Rejected {
			for i := r.From; i < r.To; i++ {
				if done[i] {
					t.Fatalf("record %d is delivered and rejected", places[i])
				}
				done[i] = true
				rejected[places[i]] = r.Reason
			}
		}
		var rest []int
		for i, place := range places {
			if !done[i] {
				rest = append(rest, place)
			}
		}
		if len(rest) == len(places) {
			t.Fatalf("a Partial that says nothing: %+v", p)
		}
		places = rest
	}
	return writes, rejected
}

// Every limit at its exact boundary, on both sides, against a server that enforces it.
func TestLimits(t *testing.T) {
	environment(t)
	many := func(n int, text string) []string { return slices.Repeat([]string{text}, n) }
	texts := func(texts ...string) func(now time.Time) [][]byte {
		return func(now time.Time) (records [][]byte) {
			for _, text := range texts {
				records = append(records, record(now, text))
			}
			return records
		}
	}
	times := func(offsets ...time.Duration) func(now time.Time) [][]byte {
		return func(now time.Time) (records [][]byte) {
			for _, offset := range offsets {
				records = append(records, record(now.Add(offset), "x"))
			}
			return records
		}
	}
	const day, ms = 24 * time.Hour, time.Millisecond
	half := strings.Repeat("x", 1_048_576/2-perEvent)
	most := strings.Repeat("x", 1_048_576-perEvent)
	for _, c := range []struct {
		name     string
		o        Options
		records  func(now time.Time) [][]byte
		writes   int
		puts     int64
		rejected map[int]string
	}{
		{"bytes", Options{}, texts(half, half), 1, 1, nil},
		{"bytes and one", Options{}, texts(half, half+"x"), 2, 2, nil},
		{"bytes in several", Options{}, texts(many(4096, strings.Repeat("x", 256-perEvent))...), 1, 1, nil},
		{"bytes in several and one more", Options{}, texts(append(many(4096, strings.Repeat("x", 256-perEvent)), "x")...), 2, 2, nil},
		{"bytes, not characters", Options{}, texts(half, strings.Repeat("é", (1_048_576/2-perEvent)/2)), 1, 1, nil},
		{"bytes and one character", Options{}, texts(half, strings.Repeat("é", (1_048_576/2-perEvent)/2)+"é"), 2, 2, nil},
		{"records", Options{}, texts(many(10_000, "x")...), 1, 1, nil},
		{"records and one", Options{}, texts(many(10_001, "x")...), 2, 2, nil},
		{"one event", Options{}, texts(most), 1, 1, nil},
		{"one event and one", Options{}, texts(most + "x"), 1, 2, nil},
		{"one event and one, not split", Options{Oversize: OversizeDeadLetter}, texts("a", most+"x", "b"), 1, 1, map[int]string{1: "too_large"}},
		{"oversize among others", Options{}, texts("a", most+"x", "b"), 3, 4, nil},
		{"empty", Options{}, texts("a", "", "b"), 1, 1, map[int]string{1: "empty_message"}},
		{"only empty", Options{}, texts("", ""), 1, 0, map[int]string{0: "empty_message", 1: "empty_message"}},
		{"span", Options{}, times(-day, 0), 1, 1, nil},
		{"span and one", Options{}, times(-day-ms, 0), 2, 2, nil},
		{"span backwards", Options{}, times(0, -day), 1, 1, nil},
		{"span and one backwards", Options{}, times(0, -day-ms), 2, 2, nil},
		{"span without what is out of the window", Options{}, times(-15*day, 0, -day), 1, 1, map[int]string{0: "too_old"}},
		{"past", Options{}, times(-14 * day), 1, 1, nil},
		{"past and one", Options{}, times(-14*day-ms, -14*day), 1, 1, map[int]string{0: "too_old"}},
		{"future", Options{}, times(2 * time.Hour), 1, 1, nil},
		{"future and one", Options{}, times(2*time.Hour, 2*time.Hour+ms), 1, 1, map[int]string{1: "too_new"}},
		{"only out of the window", Options{}, times(-15*day, 3*time.Hour), 1, 0, map[int]string{0: "too_old", 1: "too_new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, c.o)
				must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
				o.region(testRegion).clock.set(0)
				records := c.records(time.Now())
				writes, rejected := writeAll(t, o, records)
				st := s.Stats()
				if writes != c.writes || st.Puts != c.puts || st.Rejected != 0 || st.Count(cwfake.PutLogEvents) != c.puts {
					t.Errorf("%d writes, %d puts, %d calls; want %d, %d; rejected by the server: %d",
						writes, st.Puts, st.Count(cwfake.PutLogEvents), c.writes, c.puts, st.Rejected)
				}
				if len(rejected) != len(c.rejected) {
					t.Errorf("rejected %v, want %v", rejected, c.rejected)
				}
				for i, reason := range c.rejected {
					if rejected[i] != reason {
						t.Errorf("record %d: rejected as %q, want %q", i, rejected[i], reason)
					}
				}
			})
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fours are so many texts that fit four to a request, and no five.
func fours(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%03d %s", i, strings.Repeat("x", 250_000))
	}
	return texts
}

// A Write takes what makes one request, however much it is given: what is left is for another.
func TestOneRequestAWrite(t *testing.T) {
	for n, taken := range map[int]int{1: 1, 3: 3, 4: 4, 5: 4, 9: 4, 16: 4} {
		t.Run(fmt.Sprint(n, " records"), func(t *testing.T) {
			s, o := fake(t, cwfake.Options{}, Options{})
			must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
			texts := fours(n)
			err := o.Write(t.Context(), bodies(o, texts...))
			if taken == n {
				must(t, err)
			} else if p := partial(t, err); len(p.Rejected) > 0 || !slices.Equal(p.Delivered, []engine.Range{{From: 0, To: taken}}) {
				t.Errorf("delivered %v, rejected %v", p.Delivered, p.Rejected)
			}
			if got := stored(s); !slices.Equal(got, texts[:taken]) || s.Stats().Puts != 1 {
				t.Errorf("%d records are stored of %d puts, or in another order", len(got), s.Stats().Puts)
			}
		})
	}
}

// Within a batch the order is that of time, then of sequence.
func TestOrderInABatch(t *testing.T) {
	s, o := fake(t, cwfake.Options{}, Options{})
	now := time.Now().Truncate(time.Millisecond)
	at := func(offset time.Duration, text string) []byte { return record(now.Add(offset), text) }
	c := chunkOf(at(2*time.Millisecond, "c1"), at(0, "a1"), at(time.Millisecond, "b1"), at(0, "a2"), at(500*time.Microsecond, "a3"), at(2*time.Millisecond, "c2"))
	must(t, o.Write(t.Context(), batchOf(o, c, chunkOf(at(0, "a4"), at(time.Millisecond, "b2")))))
	if got := strings.Join(stored(s), " "); got != "a1 a2 a3 a4 b1 b2 c1 c2" {
		t.Errorf("stored %s", got)
	}
}

// The time is the record's own, else when it was observed, else when its chunk arrived; in milliseconds.
func TestTimes(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	arrived := time.UnixMilli(1_700_000_000_123)
	for name, x := range map[string]struct {
		f    engine.Fields
		want int64
	}{
		"its own":   {engine.Fields{Time: 1_500_999_999, ObservedTime: 2_000_000_000}, 1500},
		"observed":  {engine.Fields{ObservedTime: 2_000_000_000}, 2000},
		"arrived":   {engine.Fields{}, 1_700_000_000_123},
		"last ever": {engine.Fields{Time: 1<<64 - 1}, 18_446_744_073_709},
	} {
		if got := millis(&x.f, &engine.Chunk{Arrived: arrived}); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
	if got := o.load(batchOf(o, chunkOf(record(time.Time{}, "x"))), time.Now()).events[0].at; got < time.Now().Add(-time.Minute).UnixMilli() {
		t.Errorf("a record without a time is of %d", got)
	}
}

// What was let in may age in the buffer: the window is that of the moment of sending.
func TestBufferedRecordAges(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		s, o := piped(t, cwfake.Options{}, Options{})
		b := bodies(o, "one", "two")
		s.SetFault(cwfake.On(cwfake.Puts, cwfake.Unavailable()))
		if err := o.Write(t.Context(), b); engine.AsWriteError(err).Kind != engine.KindRetryable {
			t.Fatal(err)
		}
		s.SetFault(nil)
		time.Sleep(14*24*time.Hour + time.Second)
		calls := s.Stats().Count(cwfake.PutLogEvents)
		p := partial(t, o.Write(t.Context(), b))
		if len(p.Rejected) != 1 || p.Rejected[0].Range != (engine.Range{From: 0, To: 2}) || p.Rejected[0].Reason != "too_old" {
			t.Errorf("%+v", p)
		}
		if s.Stats().Count(cwfake.PutLogEvents) != calls {
			t.Error("there was a call for what AWS does not take")
		}
	})
}

func TestStructuredBodies(t *testing.T) {
	odd := enginetest.OddRecords()
	for format, want := range map[string]string{
		FormatBody: `[]|{}|-9223372036854775808`,
		FormatJSON: `"body":[],|"body":{},|"body":-9223372036854775808,`,
	} {
		s, o := fake(t, cwfake.Options{}, Options{Format: format})
		must(t, o.Write(t.Context(), batchOf(o, chunkOf(odd["empty list"], odd["empty map"], odd["smallest integer"]))))
		got := stored(s)
		for i, want := range strings.Split(want, "|") {
			if format == FormatBody && got[i] != want || !strings.Contains(got[i], want) || strings.Contains(got[i], "\n") {
				t.Errorf("%s: %s, want %s", format, got[i], want)
			}
		}
	}
}

// Bytes that are no UTF-8 are replaced before they are counted: three bytes for one.
func TestInvalidTextIsCountedAsReplaced(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	text := strings.Repeat("x", o.limits.message()-3) + "\xff"
	l := o.load(batchOf(o, chunkOf(record(time.Now(), text))), time.Now())
	if len(l.events) != 1 || len(l.events[0].text) != o.limits.message() {
		t.Errorf("%d events, the first of %d bytes", len(l.events), len(l.events[0].text))
	}
	o.unload(l)
	if l = o.load(batchOf(o, chunkOf(record(time.Now(), "x"+text))), time.Now()); len(l.events) != 2 {
		t.Errorf("%d events, want the two parts of one that is too large", len(l.events))
	}
}

func TestBadKey(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	b := bodies(o, "x")
	b.Key = "nowhere"
	wantKind(t, o.Write(t.Context(), b), engine.KindPermanent, "bad_key")
}

func TestCancelledWrite(t *testing.T) {
	s, o := fake(t, cwfake.Options{}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, o.Write(ctx, bodies(o, "x")), engine.KindRetryable, "")
	if calls := s.Stats().Count(cwfake.PutLogEvents); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// Measure is what a Write counts, exactly so for strings.
func TestMeasure(t *testing.T) {
	environment(t)
	c := chunkOf(record(time.Now(), "héllo"), enginetest.OddRecords()["empty map"])
	for format, slack := range map[string]int{FormatBody: 30, FormatJSON: 200} {
		o := newOutput(t, Options{Format: format})
		l := o.load(batchOf(o, c), time.Now())
		for i, r := range c.Records() {
			got, want := o.Measure(c, r), l.events[i].size()
			if format == FormatBody && i == 0 && got != want || got < want-slack || got > want+slack {
				t.Errorf("%s, record %d: measured %d, is %d", format, i, got, want)
			}
		}
		o.unload(l)
	}
}
