package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// exactly makes an append of ten records whose fields are so many bytes together.
func (r *rig) exactly(first uint64, size int) *engine.Append {
	r.t.Helper()
	bodies := make([]string, 10)
	fill := func(n int) *engine.Append {
		for i := range bodies {
			bodies[i] = strings.Repeat("x", n)
		}
		return r.records(first, bodies...)
	}
	around := fill(size / 10)
	a := fill(size/10 - (len(around.Data)-size)/10)
	if len(a.Data) != size {
		r.t.Fatalf("made %d bytes, want %d", len(a.Data), size)
	}
	r.Slabs().Put(around.Slab)
	return a
}

// The limit by its numbers: 1,000,000 bytes; 700,000 are appended and fail to flush; 500,000 more are let in, which pauses;
// when the first are flushed, or given up, 500,000 are held: it resumes at once.
func TestTheWorkedCase(t *testing.T) {
	wait := engine.RetryAfter(10*time.Second, errors.New("slow down"))
	tests := map[string]struct {
		giveUp time.Duration
		dead   string
		second error // what the first append's flush is answered the second time
		done   string
	}{
		"flushed":                   {0, "", nil, "delivered"},
		"given up":                  {10 * time.Second, "", wait, "dropped gave_up"},
		"given up, to dead letters": {10 * time.Second, "dead", wait, "dead_lettered gave_up"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				out, letters := &probe{}, &probe{}
				out.will(func(ctx context.Context, b *engine.Batch) error {
					switch tries++; tries {
					case 1:
						return wait
					case 2:
						return c.second
					}
					return slow(50_000)(ctx, b) // the second append is still held when the first is done
				})
				o := keyed("out", out)
				o.Retry.GiveUpAfter, o.DeadLetter = c.giveUp, c.dead
				r := newRig(t, engine.Options{
					Limits:  engine.Limits{Stream: 1_000_000},
					Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
					Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
				})
				s := r.open(engine.Open{StreamID: "s"})
				send := func(first uint64, size int) {
					if err := s.Append(t.Context(), r.exactly(first, size)); err != nil {
						t.Fatal(err)
					}
				}
				expect := func(state engine.State, held int64, acked uint64) {
					t.Helper()
					if st := status(s); st.State != state || st.Held != held || st.Acked != acked || st.Limit != 1_000_000 ||
						(state == engine.StatePaused) != (st.Reason == engine.ReasonStreamLimit) {
						t.Errorf("status %+v, want state %d, %d bytes held, %d acked", st, state, held, acked)
					}
				}
				send(1, 700_000)
				expect(engine.StateActive, 700_000, 0)
				time.Sleep(time.Second) // its flush has failed, and waits
				expect(engine.StateActive, 700_000, 0)
				send(11, 500_000)
				expect(engine.StatePaused, 1_200_000, 0)
				<-s.Changed()
				time.Sleep(8900 * time.Millisecond)
				expect(engine.StatePaused, 1_200_000, 0)
				<-s.Changed() // by nothing but the ack, or the test never ends
				expect(engine.StateActive, 500_000, 10)
				first := map[string]int64{c.done: 10}
				r.wantDone("out", first)
				r.finish()
				first["delivered"] += 10
				r.wantDone("out", first)
			})
		})
	}
}
