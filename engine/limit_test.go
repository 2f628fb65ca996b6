package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

const (
	mib = 1 << 20
	kib = 1 << 10
)

var errDown = engine.Retryable(errors.New("down"))

func alwaysDown(context.Context, *engine.Batch) error { return errDown }

// slow is an output that takes so many bytes a second.
func slow(bytesPerSecond int) answer {
	return func(ctx context.Context, b *engine.Batch) error {
		select {
		case <-time.After(time.Duration(b.Bytes) * time.Second / time.Duration(bytesPerSecond)):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pour appends as fast as the engine lets it, honouring PAUSED as an SDK does, until ctx ends.
func (r *rig) pour(ctx context.Context, s *engine.Session, size int) {
	body := strings.Repeat("x", size)
	for next := uint64(1); ctx.Err() == nil; next++ {
		if err := s.Append(ctx, r.records(next, body)); err != nil {
			return
		}
		for status(s).State == engine.StatePaused && ctx.Err() == nil {
			select {
			case <-s.Changed():
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// Sixteen streams that want all they can get settle at equal parts, and leave as much free: a quiet stream is never paused
// for them, and gets its records through.
func TestGreedyStreamsLeaveTheQuietOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: slow(2 * mib)}
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Engine: 16 * mib, Stream: 8 * mib},
			Outputs: []engine.OutputOptions{keyed("out", out)},
		})
		ctx, stop := context.WithCancel(t.Context())
		var greedy []*engine.Session
		for i := range 16 {
			s := r.open(engine.Open{StreamID: fmt.Sprint("greedy-", i)})
			greedy = append(greedy, s)
			go r.pour(ctx, s, 20*kib)
		}
		quiet := r.open(engine.Open{StreamID: "quiet"})
		held := make([]int64, len(greedy)) // summed over the looks
		const warmUp, looks = 20, 300
		for i := range warmUp + looks {
			time.Sleep(time.Second)
			r.append(quiet, uint64(i+1), "still here")
			if st := status(quiet); st.State != engine.StateActive {
				t.Fatalf("after %d s the quiet stream is paused: %+v", i+1, st)
			}
			for k, s := range greedy {
				if i >= warmUp {
					held[k] += status(s).Held
				}
			}
		}
		for k, sum := range held {
			if mean := sum / looks; mean < 400*kib || mean > 1300*kib {
				t.Errorf("stream %d held %d bytes on average, want about a 17th of 16 MiB", k, mean)
			}
		}
		if st := r.Stats(); st.Held > st.Ceiling {
			t.Errorf("the engine holds %d bytes, over its ceiling %d", st.Held, st.Ceiling)
		}
		stop()
		out.will(nil)
		r.finish()
	})
}

// Outputs that are down fill their shares, and hold up the streams that go there; the others flow.
func TestDeadOutputsLeaveTheOthersFlowing(t *testing.T) {
	for dead := 1; dead <= 2; dead++ {
		t.Run(fmt.Sprint(dead, " of 3 dead"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deadOutputs(t, dead) })
		})
	}
}

func deadOutputs(t *testing.T, dead int) {
	outs := make([]*probe, 3)
	o := engine.Options{Limits: engine.Limits{Engine: 8 * mib, Stream: 4 * mib}}
	for i := range outs {
		outs[i] = &probe{answer: slow(5 * mib)}
		if i < dead {
			outs[i].answer = alwaysDown
		}
		name := fmt.Sprint("out-", i)
		o.Outputs = append(o.Outputs, keyed(name, outs[i]))
		o.Routes = append(o.Routes, engine.Route{Match: name, Outputs: []string{name}})
	}
	r := newRig(t, o)
	ctx, stop := context.WithCancel(t.Context())
	sessions := make([]*engine.Session, 3)
	for i := range sessions {
		sessions[i] = r.open(engine.Open{StreamID: fmt.Sprint(i), Tag: fmt.Sprint("out-", i)})
		go r.pour(ctx, sessions[i], 10*kib)
	}
	time.Sleep(20 * time.Second)
	// 5 MiB/s for 20 s are 10,240 records of 10 KiB.
	if n := len(outs[2].taken()); n < 9000 {
		t.Errorf("with %d of 3 outputs dead the third one got %d records in 20 s", dead, n)
	}
	for i := range dead {
		if st := status(sessions[i]); st.State != engine.StatePaused || st.Reason != engine.ReasonBufferFull {
			t.Errorf("the stream of a dead output is %+v, want paused for its buffer", st)
		}
		outs[i].will(nil)
	}
	stop()
	outs[2].will(nil)
	r.finish()
}

// A limit that is smaller than a batch flows at the output's speed: pausing sends the batch off, so nothing waits for a
// linger.
func TestLimitSmallerThanABatchFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: slow(mib)}
		o := keyed("out", out)
		o.Linger = time.Minute
		o.Scheduler = lingering(o.Linger)
		r := newRig(t, engine.Options{Limits: engine.Limits{Stream: 100 * kib}, Outputs: []engine.OutputOptions{o}})
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		s := r.open(engine.Open{StreamID: "s"})
		r.pour(ctx, s, 10*kib)
		// 10 s at 1 MiB/s are 1,024 records; without the hurry it would be one batch a minute, some ten records.
		if n := len(out.taken()); n < 900 {
			t.Errorf("%d records in 10 s", n)
		}
		out.will(nil)
		r.finish()
	})
}

// A producer that ignores PAUSED for ever is held at its ceiling, and hurts nobody.
func TestCeilingHoldsAProducerThatIgnoresPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Limits: engine.Limits{Stream: mib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		s := r.open(engine.Open{StreamID: "deaf"})
		body := strings.Repeat("x", 64*kib)
		next := uint64(1)
		for ; ; next++ {
			if err := s.Append(ctx, r.records(next, body)); err != nil {
				break
			}
		}
		st := status(s)
		if st.State != engine.StatePaused || st.Reason != engine.ReasonStreamLimit {
			t.Errorf("status %+v", st)
		}
		if st.Held < 2*mib || st.Held > 2*mib+65*kib {
			t.Errorf("holds %d bytes, want the ceiling of 2 MiB and at most one append more", st.Held)
		}
		out.will(nil)
		time.Sleep(time.Minute)
		if st := status(s); st.State != engine.StateActive || st.Acked != next-1 {
			t.Errorf("after the output recovered: %+v, want all %d acked", st, next-1)
		}
		r.finish()
	})
}

// A key that is not let in, with a chunk for every record, keeps nobody from being read behind it.
func TestADeadKeyDoesNotStopTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: func(c *engine.Chunk, _ engine.Record) string { return c.Stream.ID }}
		out.will(func(_ context.Context, b *engine.Batch) error {
			if b.Key == "dead" {
				return engine.Denied(errors.New("no"))
			}
			return nil
		})
		r := newRig(t, engine.Options{Limits: engine.Limits{Engine: 8 * mib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
		dead, alive := r.open(engine.Open{StreamID: "dead"}), r.open(engine.Open{StreamID: "alive"})
		n := uint64(0)
		for ; status(dead).State == engine.StateActive; n++ {
			a := r.records(n+1, "x")
			a.Flush = true
			if err := dead.Append(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		r.append(alive, 1, "y")
		time.Sleep(time.Second)
		if st := status(alive); st.Acked != 1 {
			t.Errorf("behind %d chunks of a dead key: %+v", n, st)
		}
		out.will(nil)
		r.finish()
	})
}

// The engine's ceiling is hard, however a chunk is cut up.
func TestTheEnginesCeilingIsHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Limits: engine.Limits{Engine: mib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		for i := range 4 {
			s := r.open(engine.Open{StreamID: fmt.Sprint(i)})
			for s.Append(ctx, cutUp(r, 100)) == nil {
			}
			if st := r.Stats(); st.Held > st.Ceiling {
				t.Errorf("%d bytes held, over the ceiling of %d", st.Held, st.Ceiling)
			}
		}
		out.will(nil)
		r.finish()
	})
}

// cutUp is an append in which every other record is faulty.
func cutUp(r *rig, n int) *engine.Append {
	a := &engine.Append{Slab: r.Slabs().Get(5 * n)}
	for range n {
		from := len(a.Slab.B) + 2
		a.Slab.B = append(a.Slab.B, 0x12, 0, 0x12, 1, 0xff)
		fault := engine.Fault{Index: a.Count + 1, From: from, To: from + 3, Err: engine.ScanRecord([]byte{0xff})}
		a.Faults = append(a.Faults, fault)
		a.Count += 2
	}
	a.Data = a.Slab.B
	return a
}

// Appends that come at the same moment may refuse each other the last room. They are looked at again soon, not after the
// longest wait.
func TestAppendsDoNotRefuseEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := oneOutput(t, engine.Limits{Engine: 2 * mib, Stream: mib})
		body := strings.Repeat("x", 700*kib)
		for range 50 {
			start := time.Now()
			var appends sync.WaitGroup
			for range 3 {
				s := r.open(engine.Open{})
				a := r.records(1, body)
				appends.Go(func() {
					if err := s.Append(t.Context(), a); err != nil {
						t.Error(err)
					}
					s.Close()
				})
			}
			appends.Wait()
			if took := time.Since(start); took > time.Second {
				t.Fatalf("took %v", took)
			}
			time.Sleep(time.Second)
		}
		r.finish()
	})
}

// Many streams of a dead output that hold little each do not take the whole engine: what they all hold is bounded by the
// output's share, each is told to pause, and the other output flows.
func TestManySmallStreamsOfADeadOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, alive := &probe{answer: alwaysDown}, &probe{}
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Engine: 4 * mib},
			Outputs: []engine.OutputOptions{keyed("dead", dead), keyed("alive", alive)},
			Routes:  []engine.Route{{Match: "dead", Outputs: []string{"dead"}}, {Match: "alive", Outputs: []string{"alive"}}},
		})
		ctx, stop := context.WithCancel(t.Context())
		var all []*engine.Session
		for i := range 200 {
			s := r.open(engine.Open{StreamID: fmt.Sprint(i), Tag: "dead"})
			all = append(all, s)
			go func() {
				for next := uint64(1); ; next++ {
					a := r.records(next, strings.Repeat("x", 100))
					a.Flush = true
					if s.Append(ctx, a) != nil {
						return
					}
				}
			}()
		}
		time.Sleep(10 * time.Second)
		// A share is a third, and is overdrawn by a quarter and an append of each stream at most.
		if st := r.Stats(); st.Held > 2*mib {
			t.Errorf("%d bytes are held for a dead output", st.Held)
		}
		for _, s := range all {
			if st := status(s); st.State != engine.StatePaused || st.Reason != engine.ReasonBufferFull {
				t.Fatalf("a stream of a dead output is %+v", st)
			}
		}
		s := r.open(engine.Open{StreamID: "alive", Tag: "alive"})
		for i := range uint64(1000) {
			r.append(s, i+1, "x")
			time.Sleep(time.Millisecond)
		}
		if st := status(s); st.State != engine.StateActive || st.Acked < 900 {
			t.Errorf("the stream of the other output is %+v", st)
		}
		_, err := r.Send(t.Context(), engine.Open{Tenant: "default", Tag: "dead", StreamID: "0"}, r.records(0, "x"))
		wantError(t, err, engine.CodeResourceExhausted, "buffer_full")
		stop()
		dead.will(nil)
		r.finish()
	})
}
