package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// Two connections with one stream id: the newer has it, whichever epoch it says, and what the older had admitted stays.
func TestTwoConnectionsWithOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Limits: engine.Limits{Stream: 10 * kib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
		older := r.open(engine.Open{StreamID: "s", Epoch: 1})
		large := strings.Repeat("x", 20*kib)
		r.append(older, 1, large)
		blocked := make(chan error)
		go func() { blocked <- older.Append(t.Context(), r.records(2, "from the older")) }()
		time.Sleep(time.Second)
		newer := r.open(engine.Open{StreamID: "s", Epoch: 1, First: 1})
		wantError(t, <-blocked, engine.CodeAborted, "taken over")
		if st := status(newer); st.Next != 2 || st.State != engine.StatePaused {
			t.Errorf("the newer connection is told %+v, want next 2 and paused", st)
		}
		older.Close() // late, and no matter
		if n := r.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions", n)
		}
		out.will(nil)
		r.append(newer, 1, large, "from the newer")
		r.finish()
		wantBodies(t, "delivered", out.bodies(), []string{large, "from the newer"})
		if n := r.Stats().Repeated; n != 1 {
			t.Errorf("%d records were repeated", n)
		}
	})
}

// Two producers that both believe in one stream and epoch take it from each other over and over. No record that one of them
// saw admitted is lost, and none comes twice.
func TestTwoConnectionsFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: slow(mib)}
		r := newRig(t, engine.Options{Limits: engine.Limits{Stream: 64 * kib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
		const records = 400
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for r.produce(t.Context(), records) {
					time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		out.will(nil)
		r.finish()
		wantBodies(t, "delivered", out.bodies(), numbered("r", records))
	})
}

// produce opens the stream and sends what is next until it is fenced, as two processes with the same input would. It
// reports whether there is more to send.
func (r *rig) produce(ctx context.Context, records int) bool {
	s := r.open(engine.Open{StreamID: "s", Epoch: 1, First: 1})
	defer s.Close()
	for next := status(s).Next; next <= uint64(records); next++ {
		if err := s.Append(ctx, r.records(next, fmt.Sprint("r-", next))); err != nil {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// A producer whose connection breaks at any moment, under load, resends from next_sequence: nothing is lost, nothing comes
// twice, all in order.
func TestReconnectUnderLoad(t *testing.T) {
	for _, name := range []string{"from next", "all unacked"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { reconnect(t, name == "all unacked") })
		})
	}
}

func reconnect(t *testing.T, resendAll bool) {
	out := &probe{answer: slow(2 * mib)}
	r := newRig(t, engine.Options{Limits: engine.Limits{Stream: 128 * kib}, Outputs: []engine.OutputOptions{keyed("out", out)}})
	const records, streams = 3000, 3
	body := func(stream, i int) string { return fmt.Sprint(stream, " ", i, strings.Repeat("x", 500)) }
	var wg sync.WaitGroup
	for stream := range streams {
		wg.Go(func() {
			acked, rounds := uint64(0), 0
			for acked < records {
				rounds++
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Millisecond)
				s := r.open(engine.Open{StreamID: fmt.Sprint(stream), Epoch: 7, First: acked + 1})
				next := status(s).Next
				if resendAll {
					next = acked + 1
				}
				for ctx.Err() == nil && next <= records {
					n := min(1+rand.IntN(50), int(records-next)+1)
					bodies := make([]string, n)
					for i := range bodies {
						bodies[i] = body(stream, int(next)+i)
					}
					if err := s.Append(ctx, r.records(next, bodies...)); err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("stream %d: %v", stream, err)
						}
						break
					}
					next += uint64(n)
				}
				<-ctx.Done()
				st := status(s)
				if st.Held > 2*128*kib+50*600 {
					t.Errorf("stream %d holds %d", stream, st.Held)
				}
				if st.Acked < acked {
					t.Errorf("stream %d: the ack went back from %d to %d", stream, acked, st.Acked)
				}
				acked = st.Acked
				s.Close()
				cancel()
			}
			if rounds < 3 {
				t.Errorf("stream %d broke only %d times", stream, rounds)
			}
		})
	}
	wg.Wait()
	r.finish()
	for stream := range streams {
		want := make([]string, records)
		for i := range want {
			want[i] = body(stream, i+1)
		}
		wantBodies(t, fmt.Sprint("stream ", stream), out.ofStream(fmt.Sprint(stream)), want)
	}
	if n := r.Stats().Repeated; resendAll != (n > 0) {
		t.Errorf("%d records were repeated", n)
	}
}
