package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// oneOutput is an engine with one output that takes everything.
func oneOutput(t *testing.T, limits engine.Limits) (*rig, *probe) {
	t.Helper()
	out := &probe{}
	return newRig(t, engine.Options{Limits: limits, Outputs: []engine.OutputOptions{keyed("out", out)}}), out
}

func wantError(t *testing.T, err error, code engine.Code, words ...string) engine.Error {
	t.Helper()
	var ee *engine.Error
	if !errors.As(err, &ee) {
		t.Fatalf("error %v, want an engine.Error", err)
	}
	if ee.Code != code {
		t.Errorf("error %v has code %d, want %d", err, ee.Code, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	return *ee
}

func TestEpochs(t *testing.T) {
	type attach struct {
		epoch, first uint64
		next         uint64 // 0: refused, with the current epoch 10
	}
	tests := map[string]attach{
		"equal resumes":                    {10, 1, 4},
		"equal, ahead of what is known":    {10, 7, 7},
		"equal, behind what is known":      {10, 2, 4},
		"greater numbers anew":             {11, 1, 1},
		"greater, where it still holds":    {11, 5, 5},
		"zero is an epoch of its own":      {0, 1, 1},
		"zero, and the first is left open": {0, 0, 1},
		"smaller is refused":               {9, 1, 0},
	}
	for name, again := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := oneOutput(t, engine.Limits{})
				defer r.finish()
				first := r.open(engine.Open{StreamID: "s", Epoch: 10})
				r.append(first, 1, "a", "b", "c")
				time.Sleep(time.Second)
				second, err := r.Open(engine.Open{Tenant: "default", Tag: "test", StreamID: "s", Epoch: again.epoch, First: again.first})
				if again.next == 0 {
					if ee := wantError(t, err, engine.CodeFailedPrecondition, "open.epoch", "10"); ee.Epoch != 10 || ee.Reason != "EPOCH_TOO_SMALL" {
						t.Errorf("error %+v does not give the current epoch", ee)
					}
					if err := first.Append(t.Context(), r.records(4, "d")); err != nil {
						t.Errorf("the connection that holds the stream: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if st := status(second); st.Next != again.next || st.Acked != again.next-1 {
					t.Errorf("status %+v, want next %d", st, again.next)
				}
				_, _, err = first.Poll()
				wantError(t, err, engine.CodeAborted, "taken over")
				wantError(t, first.Append(t.Context(), r.records(4, "d")), engine.CodeAborted)
			})
		})
	}
}

// A second run with the same stream id is not taken for a repeat, with and without epochs.
func TestARepeatedRunIsNotSwallowed(t *testing.T) {
	for _, epochs := range [][2]uint64{{0, 0}, {5, 6}} {
		t.Run(fmt.Sprint(epochs), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, out := oneOutput(t, engine.Limits{})
				for _, epoch := range epochs {
					s := r.open(engine.Open{StreamID: "s", Epoch: epoch})
					r.append(s, 1, "x", "y")
					time.Sleep(time.Second)
					s.Close()
				}
				r.finish()
				if got := out.bodies(); !slices.Equal(got, []string{"x", "y", "x", "y"}) {
					t.Errorf("delivered %v", got)
				}
			})
		})
	}
}

func TestRepeatsAndGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{StreamID: "s", Epoch: 1})
		r.append(s, 1, "1", "2", "3")
		r.append(s, 2, "2", "3", "4") // one new
		r.append(s, 1, "1", "2")      // none
		err := s.Append(t.Context(), r.records(7, "7"))
		wantError(t, err, engine.CodeFailedPrecondition, "append.first_sequence", "expected 5", "got 7")
		r.append(s, 5, "5")
		r.append(s, 0, "6") // numbered by the engine
		time.Sleep(time.Second)
		if st := status(s); st.Acked != 6 {
			t.Errorf("acked %d, want 6", st.Acked)
		}
		if st := r.Stats(); st.Repeated != 4 {
			t.Errorf("repeated %d, want 4", st.Repeated)
		}
		r.finish()
		if got := out.bodies(); !slices.Equal(got, []string{"1", "2", "3", "4", "5", "6"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// An engine that knows nothing of a stream goes on from what the producer still holds.
func TestAForgottenStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{StreamID: "s", Epoch: 77, First: 1001})
		if st := status(s); st.Next != 1001 || st.Acked != 1000 {
			t.Errorf("status %+v", st)
		}
		if st := r.Stats(); st.Skipped != 1000 {
			t.Errorf("%d sequences counted as skipped", st.Skipped)
		}
		r.append(s, 1001, "a")
		time.Sleep(time.Second)
		if st := status(s); st.Acked != 1001 {
			t.Errorf("acked %d", st.Acked)
		}
		r.finish()
		if got := out.taken(); len(got) != 1 || got[0].sequence != 1001 {
			t.Errorf("delivered %+v", got)
		}
	})
}

func TestFaultyRecordsAreRejectedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{StreamID: "s", Epoch: 1})
		a := r.records(1, "1", "2", "3", "4", "5")
		size := len(a.Data) / 5
		fault := &engine.RecordError{Code: engine.FaultInvalidUTF8, Field: "severity_text", Msg: "not UTF-8"}
		for _, i := range []int{1, 2, 4} {
			a.Faults = append(a.Faults, engine.Fault{Index: i, From: i * size, To: (i + 1) * size, Err: fault})
		}
		if err := s.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		r.append(s, 6, "6")
		time.Sleep(time.Second)
		st, _, _ := s.Poll()
		if st.Acked != 6 || len(st.Rejections) != 2 {
			t.Fatalf("status %+v", st)
		}
		if rej := st.Rejections[0]; rej.First != 2 || rej.Last != 3 || rej.Count != 2 || !strings.Contains(rej.Message, "severity_text") {
			t.Errorf("rejection %+v", rej)
		}
		if st, news, _ := s.Poll(); news != engine.NewsNone || len(st.Rejections) > 0 {
			t.Errorf("rejections were given twice: %+v", st)
		}
		r.finish()
		var sequences []uint64
		for _, taken := range out.taken() {
			sequences = append(sequences, taken.sequence)
		}
		if !slices.Equal(sequences, []uint64{1, 4, 6}) {
			t.Errorf("delivered sequences %v", sequences)
		}
	})
}

func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{keyed("out", out)},
			Routes:  []engine.Route{{Match: "shop.**", Outputs: []string{"out"}}},
		})
		defer r.finish()
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "bank.teller"})
		wantError(t, err, engine.CodeFailedPrecondition, "open.tag", "bank.teller")
		_, err = r.Send(t.Context(), engine.Open{Tenant: "default", Tag: "bank"}, r.records(0, "x"))
		wantError(t, err, engine.CodeFailedPrecondition, "bank")
	})
}

// A half-closed stream ends once all is acked, and does not linger with what it has.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		o := keyed("out", out)
		o.Linger = time.Hour
		o.Scheduler = lingering(o.Linger)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a")
		time.Sleep(time.Minute)
		if _, _, err := s.Poll(); err != nil || len(out.bodies()) > 0 {
			t.Fatalf("before the half-close: %v, delivered %v", err, out.bodies())
		}
		s.HalfClose()
		time.Sleep(time.Second)
		if _, _, err := s.Poll(); !errors.Is(err, io.EOF) {
			t.Errorf("after the half-close: %v, delivered %v", err, out.bodies())
		}
		s.Close()
		r.finish()
	})
}

// A flush sends off what lingers, of its own stream.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		o := keyed("out", out)
		o.Linger = time.Hour
		o.Scheduler = lingering(o.Linger)
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a")
		time.Sleep(time.Second)
		a := r.records(2, "b")
		a.Flush = true
		if err := s.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := out.bodies(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("delivered %v", got)
		}
		r.append(s, 3, "c")
		empty := r.records(4)
		empty.Flush = true
		if err := s.Append(t.Context(), empty); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := out.bodies(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("delivered %v after an empty flush", got)
		}
		r.finish()
	})
}

// The least recently used stream that is owed nothing is forgotten for a new one; a connected one is not.
func TestStreamsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := oneOutput(t, engine.Limits{Streams: 2})
		defer r.finish()
		a := r.open(engine.Open{StreamID: "a", Epoch: 1})
		b := r.open(engine.Open{StreamID: "b", Epoch: 1})
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "t", StreamID: "c"})
		wantError(t, err, engine.CodeResourceExhausted, "2 streams")
		r.append(b, 1, "b")
		time.Sleep(time.Second)
		b.Close()
		r.open(engine.Open{StreamID: "c"})
		if err := a.Append(t.Context(), r.records(1, "a")); err != nil {
			t.Error(err)
		}
		if st := r.Stats(); st.Streams != 2 {
			t.Errorf("%d streams are known", st.Streams)
		}
	})
}

// A stream whose id the engine made up is forgotten with its session.
func TestUnnamedStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		out.will(slow(10))
		s := r.open(engine.Open{})
		if st := status(s); st.StreamID == "" {
			t.Error("no stream id was made up")
		}
		r.append(s, 1, "a")
		s.Close()
		if st := r.Stats(); st.Streams != 1 {
			t.Errorf("%d streams known while an ack is owed", st.Streams)
		}
		time.Sleep(time.Minute)
		if st := r.Stats(); st.Streams != 0 {
			t.Errorf("%d streams known after the ack", st.Streams)
		}
		r.finish()
	})
}

func TestDrainReportsExactlyWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, down := &probe{}, &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("up", up), keyed("down", down)}})
		a, b := r.open(engine.Open{StreamID: "a"}), r.open(engine.Open{StreamID: "b"})
		r.append(a, 1, numbered("a", 7)...)
		r.append(b, 1, numbered("b", 3)...)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		if st := status(a); st.State != engine.StateDraining || st.Reason != engine.ReasonShutdown {
			t.Errorf("status while draining: %+v", st)
		}
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "t"})
		wantError(t, err, engine.CodeUnavailable)
		left, err := r.Close(t.Context())
		if err != nil {
			t.Error(err)
		}
		var told []string
		for _, u := range left {
			told = append(told, fmt.Sprint(u.Stream.ID, " ", u.Output, " ", u.Records))
		}
		if !slices.Equal(told, []string{"a down 7", "b down 3"}) {
			t.Errorf("told %v", told)
		}
		_, _, err = a.Poll()
		wantError(t, err, engine.CodeUnavailable)
	})
}

// While draining, what was waiting for its retry is tried at once, and an idle session is told to go.
func TestDrainHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		o := keyed("out", out)
		o.Retry = engine.Retry{Base: time.Hour, Cap: time.Hour}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o}})
		s, idle := r.open(engine.Open{StreamID: "s"}), r.open(engine.Open{StreamID: "idle"})
		r.append(s, 1, "a")
		time.Sleep(time.Second)
		out.will(nil)
		start := time.Now()
		r.finish()
		if took := time.Since(start); took > time.Second {
			t.Errorf("drained in %v", took)
		}
		_, _, err := idle.Poll()
		wantError(t, err, engine.CodeUnavailable)
	})
}

// Once a draining session was told that all is acked, nothing more is let in: nobody would hear of it.
func TestNothingComesAfterTheLastStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{StreamID: "s"})
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Poll()
		wantError(t, err, engine.CodeUnavailable, "all is acked")
		wantError(t, s.Append(t.Context(), r.records(1, "a")), engine.CodeUnavailable)
		r.finish()
	})
}

// What is delivered while the engine closes is acked in the last status.
func TestCloseTellsTheLastAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: func(context.Context, *engine.Batch) error {
			time.Sleep(time.Second) // whatever its context says
			return nil
		}}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "a")
		time.Sleep(100 * time.Millisecond)
		left, err := r.Close(t.Context())
		if err != nil || len(left) > 0 {
			t.Errorf("close: %v, undelivered %v", err, left)
		}
		st, news, err := s.Poll()
		if st.Acked != 1 || news == engine.NewsNone {
			t.Errorf("last status %+v, news %v", st, news)
		}
		wantError(t, err, engine.CodeUnavailable, "stopped")
	})
}
