package cloudwatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestParts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		most       int
		want       int // parts
	}{
		{"two", strings.Repeat("x", 31), 30, 2},
		{"nine, the last of one", strings.Repeat("x", 8*19+1), 30, 9},
		{"nine, full", strings.Repeat("x", 9*19), 30, 9},
		{"more digits make more parts", strings.Repeat("x", 9*19+1), 30, 11},
		{"hundreds", strings.Repeat("x", 3000), 30, 200},
		{"two bytes a rune", strings.Repeat("é", 100), 30, 13},
		{"four bytes a rune", strings.Repeat("😀", 100), 30, 25},
		{"runes across every cut", "x" + strings.Repeat("€", 100), 30, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := appendParts(nil, event{at: 7, record: 3, text: []byte(c.text)}, c.most)
			var whole strings.Builder
			for i, p := range parts {
				marker, text, ok := strings.Cut(string(p.text), "] ")
				if want := fmt.Sprintf("[part %d/%d", i+1, len(parts)); !ok || marker != want {
					t.Errorf("marker %q, want %q", marker, want)
				}
				if len(p.text) > c.most || !utf8.Valid(p.text) || text == "" || p.at != 7 || p.record != 3 {
					t.Errorf("part %d: %d bytes, %+v", i, len(p.text), p)
				}
				whole.WriteString(text)
			}
			if whole.String() != c.text || len(parts) != c.want {
				t.Errorf("%d parts, want %d, of %d bytes, want %d", len(parts), c.want, whole.Len(), len(c.text))
			}
		})
	}
}

func FuzzParts(f *testing.F) {
	f.Add("plain text", 24)
	f.Add(strings.Repeat("😀é€x", 50), 30)
	f.Fuzz(func(t *testing.T, text string, most int) {
		if !utf8.ValidString(text) || most < 24 || most > 1000 || len(text) <= most {
			t.Skip()
		}
		var whole strings.Builder
		for _, p := range appendParts(nil, event{text: []byte(text)}, most) {
			if len(p.text) > most || !utf8.Valid(p.text) {
				t.Fatalf("part %q of up to %d bytes", p.text, most)
			}
			_, rest, _ := strings.Cut(string(p.text), "] ")
			whole.WriteString(rest)
		}
		if whole.String() != text {
			t.Fatalf("parts make %q of %q", whole.String(), text)
		}
	})
}

// What AWS has taken of a record is not sent again because a later part is not taken at once.
func TestPartsAreSentOnce(t *testing.T) {
	environment(t)
	for name, fault := range map[string]cwfake.Fault{
		"throttle": cwfake.Throttle(), "reset": cwfake.ResetBefore(), "unavailable": cwfake.Unavailable(), "hang": cwfake.HangBefore(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, o := piped(t, cwfake.Options{}, Options{})
				must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
				s.Queue(cwfake.PutLogEvents, cwfake.Fault{}, fault, fault, fault)
				must(t, o.Write(t.Context(), bodies(o, strings.Repeat("x", 5<<20/2))))
				if got := stored(s); len(got) != 3 || s.Queued(cwfake.PutLogEvents) != 0 {
					t.Errorf("%d parts are stored, %d faults did not happen", len(got), s.Queued(cwfake.PutLogEvents))
				}
			})
		})
	}
}

// That ends with the Write's time, and at once where somebody has to mend it.
func TestPartsThatAreNotTaken(t *testing.T) {
	environment(t)
	for fault, want := range map[cwfake.Fault]struct {
		took time.Duration
		kind engine.Kind
	}{
		cwfake.Unavailable(): {time.Minute, engine.KindRetryable},
		cwfake.Denied():      {0, engine.KindDenied},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, o := piped(t, cwfake.Options{}, Options{})
			must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
			s.SetFault(func(c cwfake.Call) cwfake.Fault {
				if len(stored(s)) > 0 {
					return fault
				}
				return cwfake.Fault{}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			wantKind(t, o.Write(ctx, bodies(o, strings.Repeat("x", 3<<20))), want.kind, "")
			if took := time.Since(start); took != want.took {
				t.Errorf("%v: it took %v, want %v", fault, took, want.took)
			}
		})
	}
}
