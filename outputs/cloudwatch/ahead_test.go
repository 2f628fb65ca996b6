package cloudwatch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// numbered are so many texts that fit four to a request, and no five.
func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%03d %s", i, strings.Repeat("x", 250_000))
	}
	return texts
}

// A batch of several requests goes in one Write, in order, one after the other; what would leave the last one mostly empty is
// left to be filled up.
func TestSeveralRequests(t *testing.T) {
	for n, want := range map[int]struct{ puts, left int }{
		3: {1, 0}, 4: {1, 0}, 5: {1, 1}, 7: {1, 3}, 8: {2, 0}, 9: {2, 1}, 16: {4, 0},
	} {
		t.Run(fmt.Sprint(n, " records"), func(t *testing.T) {
			s, o := fake(t, cwfake.Options{}, Options{})
			must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
			texts := numbered(n)
			err := o.Write(t.Context(), bodies(o, texts...))
			if want.left > 0 {
				if p := partial(t, err); len(p.Delivered) != 1 || p.Delivered[0] != (engine.Range{From: 0, To: n - want.left}) {
					t.Errorf("delivered %v", p.Delivered)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got := stored(s); !slices.Equal(got, texts[:n-want.left]) {
				t.Errorf("%d are stored, or in another order", len(got))
			}
			if st := s.Stats(); st.Puts != int64(want.puts) || st.MaxInFlight != 1 {
				t.Errorf("%d puts, %d at once", st.Puts, st.MaxInFlight)
			}
		})
	}
}

// What was delivered before a request failed is not sent again, nor what was rejected.
func TestFailureAfterSomeRequests(t *testing.T) {
	s, o := fake(t, cwfake.Options{}, Options{})
	must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
	s.SetFault(func(c cwfake.Call) cwfake.Fault {
		if c.Number == 2 {
			return cwfake.Throttle()
		}
		return cwfake.Fault{}
	})
	texts := numbered(8)
	texts[1], texts[6] = "", ""
	texts = append(texts, numbered(2)...)
	err := o.Write(t.Context(), bodies(o, texts...))
	p, ok := err.(*engine.Partial) //nolint:errorlint // it is answered bare
	if !ok || engine.AsWriteError(err).Kind != engine.KindThrottled {
		t.Fatalf("%v", err)
	}
	var rejected []engine.Range
	for _, r := range p.Rejected {
		rejected = append(rejected, r.Range)
	}
	if want := []engine.Range{{From: 0, To: 1}, {From: 2, To: 5}}; !slices.Equal(p.Delivered, want) {
		t.Errorf("delivered %v, want %v", p.Delivered, want)
	}
	if want := []engine.Range{{From: 1, To: 2}, {From: 6, To: 7}}; !slices.Equal(rejected, want) {
		t.Errorf("rejected %v, want %v", rejected, want)
	}
}

// Where a record was passed over there is no further request: its producer's other records might overtake it.
func TestNoRequestAfterOneThatPassedOver(t *testing.T) {
	s, o := fake(t, cwfake.Options{}, Options{})
	must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
	var d drawn
	for i, text := range numbered(12) {
		at, producer := time.Now(), "a"
		if i == 1 || i == 6 {
			producer = "b"
		}
		if i == 1 {
			at = at.Add(-25 * time.Hour)
		}
		d = append(d, drawnRecord{record(at, text), text, at.UnixMilli(), producer})
	}
	p := partial(t, o.Write(t.Context(), d.batch(o)))
	if want := []engine.Range{{From: 0, To: 1}, {From: 2, To: 5}}; !slices.Equal(p.Delivered, want) || len(p.Rejected) > 0 {
		t.Errorf("delivered %v, want %v", p.Delivered, want)
	}
	if got := stored(s); len(got) != 4 || s.Stats().Puts != 1 {
		t.Errorf("%d records are stored, of %d puts", len(got), s.Stats().Puts)
	}
}

// A panic while the next request is prepared is the Write's, which the engine catches.
func TestPanicAhead(t *testing.T) {
	o := handled(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("x-amzn-RequestId", "id") }, Options{})
	b := bodies(o, numbered(8)...)
	b.Spans[0].Records = engine.SelectRange(0, 9) // of a chunk of eight
	b.Records = 9
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = o.Write(t.Context(), b)
}
