package cloudwatch

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// The window of times is by AWS's clock, as soon as it has answered.
func TestWindowByAWSsClock(t *testing.T) {
	const skew = 20 * 24 * time.Hour
	calls := 0
	id := ""
	o := handled(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		if id != "" {
			w.Header().Set("x-amzn-RequestId", id)
		}
	}, Options{})
	write := func(at time.Duration) error {
		return o.Write(t.Context(), batchOf(o, chunkOf(record(time.Now().Add(at), "one"))))
	}
	wantKind(t, write(0), engine.KindRetryable, "") // of a proxy, whose clock says nothing
	if now := o.region(testRegion).clock.now(); !now.IsZero() {
		t.Errorf("AWS's clock is taken from somebody else: %v", now)
	}
	id = "request-1"
	for range 2 {
		must(t, write(skew))
	}
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	for at, reason := range map[time.Duration]string{0: "too_old", skew + 3*time.Hour: "too_new"} {
		if p := partial(t, write(at)); len(p.Rejected) != 1 || p.Rejected[0].Reason != reason {
			t.Errorf("%v from our time: %+v, want %s", at, p, reason)
		}
	}
	if calls != 3 {
		t.Error("there was a call for what AWS does not take")
	}
}

// Before the first answer it is for AWS to say what is out of the window; requests keep to their 24 hours nevertheless.
func TestWindowBeforeTheFirstAnswer(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		s, o := piped(t, cwfake.Options{}, Options{})
		must(t, s.CreateStream(cwfake.Target{Region: testRegion, Group: testGroup, Stream: testStream}))
		var records [][]byte
		for _, at := range []time.Duration{-15 * day, 0, 3 * time.Hour, -15 * day} {
			records = append(records, record(time.Now().Add(at), "x"))
		}
		writes, rejected := writeAll(t, o, records)
		if len(rejected) != 3 || rejected[0] != "too_old" || rejected[2] != "too_new" || rejected[3] != "too_old" {
			t.Errorf("rejected %v", rejected)
		}
		if st := s.Stats(); writes != 2 || st.Rejected != 1 || len(stored(s)) != 1 {
			t.Errorf("%d writes, %d rejected by the server, %d stored", writes, st.Rejected, len(stored(s)))
		}
	})
}

func TestSmallSkewIsNone(t *testing.T) {
	var c clock
	for skew, want := range map[time.Duration]time.Duration{
		-9 * time.Second: 0, 9 * time.Second: 0, time.Hour: time.Hour, -time.Hour: -time.Hour,
	} {
		c.set(skew)
		if got := time.Until(c.now()).Round(time.Minute); got != want {
			t.Errorf("%v is taken for %v", skew, got)
		}
	}
}
