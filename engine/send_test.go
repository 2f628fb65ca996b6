package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
		if _, err := r.Send(t.Context(), open, r.records(0, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
		_, err := r.Send(t.Context(), open, r.records(0, "y"))
		if ee := wantError(t, err, engine.CodeResourceExhausted, "stream_limit"); ee.RetryAfter == 0 {
			t.Error("no retry_after")
		}
		out.will(nil)
		time.Sleep(time.Minute)
		if _, err := r.Send(t.Context(), open, r.records(0, "z")); err != nil {
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
					if _, err := r.Send(t.Context(), open, r.records(1, body)); err != nil {
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
			if _, err := r.Send(t.Context(), open, r.records(1, "a", "b")); err != nil {
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
				if _, err := r.Send(t.Context(), open, r.records(0, "1", "2", "3")); err != nil {
					t.Fatal(err)
				}
				err := s.Append(t.Context(), r.records(3, "c", "d"))
				wantError(t, err, engine.CodeAborted, "taken over")
				r.finish()
			})
		})
	}
}

// A call without an epoch does not take the numbers of a producer that is away for a moment: what that resends must not be
// taken for a repeat.
func TestSendLeavesTheNumbersOfWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{StreamID: "s", Epoch: 5})
		r.append(s, 1, "a", "b")
		s.Close() // its third record was lost with the connection
		if _, err := r.Send(t.Context(), engine.Open{Tenant: "default", Tag: "test", StreamID: "s"}, r.records(0, "stranger")); err != nil {
			t.Fatal(err)
		}
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "test", StreamID: "s", Epoch: 5, First: 3})
		ee := wantError(t, err, engine.CodeFailedPrecondition, "older than the current epoch")
		s = r.open(engine.Open{StreamID: "s", Epoch: ee.Epoch + 1, First: 3})
		r.append(s, 3, "c")
		r.finish()
		if got := out.bodies(); !slices.Equal(got, []string{"a", "b", "stranger", "c"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// Numbered calls of one producer that overtake each other: the later one is refused, not the earlier one lost.
func TestSendRefusesAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		open := engine.Open{Tenant: "default", Tag: "t", StreamID: "s", Epoch: 7}
		send := func(first uint64, bodies ...string) error {
			_, err := r.Send(t.Context(), open, r.records(first, bodies...))
			return err
		}
		if err := send(1, "a"); err != nil {
			t.Fatal(err)
		}
		wantError(t, send(3, "c"), engine.CodeFailedPrecondition, "expected 2, got 3")
		if err := errors.Join(send(2, "b"), send(3, "c")); err != nil {
			t.Fatal(err)
		}
		r.finish()
		if got := out.bodies(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// A call that is paused has changed nothing: the connection stays, and its numbers.
func TestPausedSendChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{Stream: 100})
		out.will(alwaysDown)
		s := r.open(engine.Open{StreamID: "s", Epoch: 1})
		r.append(s, 1, strings.Repeat("x", 120))
		_, err := r.Send(t.Context(), engine.Open{Tenant: "default", Tag: "test", StreamID: "s", Epoch: 2}, r.records(1, "y"))
		wantError(t, err, engine.CodeResourceExhausted, "paused")
		r.append(s, 2, "z")
		if st := status(s); st.Next != 3 {
			t.Errorf("the connection is told %+v", st)
		}
		out.will(nil)
		r.finish()
	})
}

// Callers of one tag that say an epoch but no stream share the tag's stream, and do not lock each other out.
func TestSendByTagHasNoEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		for _, epoch := range []uint64{100, 200, 100} {
			if _, err := r.Send(t.Context(), engine.Open{Tenant: "default", Tag: "t", Epoch: epoch}, r.records(1, "x")); err != nil {
				t.Fatal(err)
			}
		}
		r.finish()
		if got := out.bodies(); len(got) != 3 {
			t.Errorf("delivered %v", got)
		}
	})
}

// Calls that are refused leave nothing behind that would keep others out.
func TestRefusedSendsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{Engine: mib, Streams: 100})
		out.will(alwaysDown)
		full := r.open(engine.Open{StreamID: "full"})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		for next := uint64(1); full.Append(ctx, r.records(next, strings.Repeat("x", 100*kib))) == nil; next++ {
		}
		refused := 0
		for i := range 500 {
			open := engine.Open{Tenant: "default", Tag: "test", StreamID: fmt.Sprint(i)}
			_, err := r.Send(t.Context(), open, r.records(1, strings.Repeat("y", 300*kib)))
			if err != nil {
				refused++
				wantError(t, err, engine.CodeResourceExhausted, "paused")
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
		out.will(nil)
		time.Sleep(time.Minute)
		r.open(engine.Open{StreamID: "another"})
		r.finish()
	})
}

// The engine's ceiling holds for a call that is cut up, each piece of which is charged its resource.
func TestSendReservesItsResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{Engine: 4 * mib})
		out.will(alwaysDown)
		open := engine.Open{Tenant: "default", Tag: "test", StreamID: "s", Resource: bytes.Repeat([]byte("\x10\x00"), 30*kib)}
		r.append(r.open(engine.Open{StreamID: "other"}), 1, "x") // a meter that holds nothing takes anything
		_, err := r.Send(t.Context(), open, cutUp(r, 200))
		wantError(t, err, engine.CodeResourceExhausted, "paused")
		if st := r.Stats(); st.Held > st.Ceiling {
			t.Errorf("%d bytes held, over the ceiling of %d", st.Held, st.Ceiling)
		}
		out.will(nil)
		r.finish()
	})
}

// Where a call's records go decides whether it is let in, not where those of its stream went before.
func TestSendIsJudgedByItsOwnOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, alive := &probe{answer: alwaysDown}, &probe{}
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Engine: 4 * mib, Stream: 3 * mib},
			Outputs: []engine.OutputOptions{keyed("dead", dead), keyed("alive", alive)},
			Routes:  []engine.Route{{Match: "dead", Outputs: []string{"dead"}}, {Match: "alive", Outputs: []string{"alive"}}},
		})
		send := func(tag string, epoch uint64, size int) error {
			open := engine.Open{Tenant: "default", Tag: tag, StreamID: "s", Epoch: epoch}
			_, err := r.Send(t.Context(), open, r.records(1, strings.Repeat("x", size)))
			return err
		}
		if err := send("dead", 1, 700*kib); err != nil {
			t.Fatal(err)
		}
		r.append(r.open(engine.Open{Tag: "dead"}), 1, strings.Repeat("x", 700*kib))
		wantError(t, send("dead", 2, 1), engine.CodeResourceExhausted, "buffer_full")
		if err := send("alive", 3, 1); err != nil {
			t.Error(err)
		}
		dead.will(nil)
		r.finish()
	})
}
