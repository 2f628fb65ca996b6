package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

func TestSendIsPausedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{Stream: 100})
		out.will(alwaysDown)
		open := engine.Open{Tenant: "default", Tag: "t"}
		if _, err := r.Send(open, r.records(0, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
		_, err := r.Send(open, r.records(0, "y"))
		if ee := wantError(t, err, engine.CodeResourceExhausted, "stream_limit"); ee.RetryAfter == 0 {
			t.Error("no retry_after")
		}
		out.will(nil)
		time.Sleep(time.Minute)
		if _, err := r.Send(open, r.records(0, "z")); err != nil {
			t.Error(err)
		}
		r.finish()
		if got := out.taken(); len(got) != 2 || got[1].body != "z" || got[1].sequence != 2 {
			t.Errorf("delivered %+v", got)
		}
	})
}

// Callers without an epoch that all begin at 1 are not each other's repeats.
func TestNaiveSendsAreNotRepeats(t *testing.T) {
	for _, id := range []string{"", "cron"} {
		t.Run("id "+id, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, out := oneOutput(t, engine.Limits{})
				for _, body := range []string{"a", "b"} {
					open := engine.Open{Tenant: "default", Tag: "t", StreamID: id}
					if _, err := r.Send(open, r.records(1, body)); err != nil {
						t.Fatal(err)
					}
				}
				r.finish()
				if got := out.bodies(); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("delivered %v", got)
				}
			})
		})
	}
}

// A sequenced call that is sent again is.
func TestSequencedSendsAreRecognised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		for range 2 {
			open := engine.Open{Tenant: "default", Tag: "t", StreamID: "s", Epoch: 7}
			if _, err := r.Send(open, r.records(1, "a", "b")); err != nil {
				t.Fatal(err)
			}
		}
		r.finish()
		if got := out.bodies(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// A call that takes the numbers of a connected stream away fences its connection: what that sends next must not be taken
// for a repeat.
func TestSendFencesWhoseNumbersItTakes(t *testing.T) {
	for name, epoch := range map[string]uint64{"greater epoch": 2, "no epoch": 0, "same epoch, numbered by the engine": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := oneOutput(t, engine.Limits{})
				s := r.open(engine.Open{StreamID: "s", Epoch: 1})
				r.append(s, 1, "a", "b")
				open := engine.Open{Tenant: "default", Tag: "test", StreamID: "s", Epoch: epoch}
				if _, err := r.Send(open, r.records(0, "1", "2", "3")); err != nil {
					t.Fatal(err)
				}
				err := s.Append(t.Context(), r.records(3, "c", "d"))
				wantError(t, err, engine.CodeAborted, "taken over")
				r.finish()
			})
		})
	}
}
