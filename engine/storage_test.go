package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
)

// A storing buffer says that it is durable: what it takes is safe at once.
type storing struct {
	*memory.Buffer
	used, limit int64
}

func (*storing) Durable() bool { return true }

func (s *storing) Append(cs []*engine.Chunk, _ func()) (bool, error) {
	_, err := s.Buffer.Append(cs, func() {})
	return true, err
}

func (s *storing) Storage() (used, limit int64) { return s.used, s.limit }

// newStoring starts an engine on a storing buffer. Without routes all goes to all outputs.
func newStoring(t *testing.T, routes []engine.Route, outputs ...engine.OutputOptions) (*rig, *storing) {
	b := &storing{}
	return newRig(t, engine.Options{
		Outputs: outputs,
		Routes:  routes,
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
			b.Buffer = memory.New(outputs)
			return b, nil
		},
	}), b
}

// Where acks say that the disk has it, streams are paused by the share of an output that does not keep up, others are not, and a
// producer that goes on is held at the share's ceiling.
func TestAFullShareOfADurableBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const share = 20 << 10
		down := func(context.Context, *engine.Batch) error { return errDown }
		dead, well := keyed("dead", &probe{answer: down}), keyed("well", &probe{})
		dead.Share, well.Share = share, share
		r, _ := newStoring(t, []engine.Route{{Match: "a", Outputs: []string{"dead"}}, {Match: "b", Outputs: []string{"well"}}}, dead, well)
		a, other := r.open(engine.Open{StreamID: "a", Tag: "a"}), r.open(engine.Open{StreamID: "b", Tag: "b"})
		n := uint64(0)
		for ; status(a).State == engine.StateActive; n++ {
			r.append(a, n+1, string(make([]byte, 1000)))
			r.append(other, n+1, string(make([]byte, 1000)))
			time.Sleep(100 * time.Millisecond)
		}
		st := status(a)
		if used := r.output("dead").ShareUsed; st.State != engine.StatePaused || st.Reason != engine.ReasonBufferFull || st.Acked != n ||
			used < share || used > share+4<<10 {
			t.Errorf("%+v with %d of %d bytes stored", st, used, share)
		}
		if st := status(other); st.State != engine.StateActive {
			t.Errorf("the other output's stream: %+v", st)
		}
		for { // it goes on
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := a.Append(ctx, r.records(n+1, string(make([]byte, 1000))))
			cancel()
			if err != nil {
				break
			}
			n++
			time.Sleep(100 * time.Millisecond)
		}
		if used := r.output("dead").ShareUsed; used < share*5/4 || used > share*5/4+4<<10 {
			t.Errorf("held at %d bytes, with a share of %d", used, share)
		}
		dead.Output.(*probe).will(nil)
		time.Sleep(time.Minute)
		if st := status(a); st.State != engine.StateActive {
			t.Errorf("after the output is well: %+v", st)
		}
		r.finish()
	})
}

// Where all that may be stored is in use, all streams are paused until a fifth of it is free.
func TestAFullStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newStoring(t, nil, keyed("out", &probe{}))
		b.limit = 1000
		s := r.open(engine.Open{StreamID: "a"})
		n := uint64(0)
		for _, step := range []struct {
			used  int64
			state engine.State
		}{{999, engine.StateActive}, {1000, engine.StatePaused}, {801, engine.StatePaused}, {800, engine.StateActive}, {900, engine.StateActive}} {
			b.used = step.used
			n++
			r.append(s, n, "x")
			time.Sleep(time.Minute)
			if st := status(s); st.State != step.state || st.State == engine.StatePaused && st.Reason != engine.ReasonBufferFull {
				t.Errorf("%d of 1000 bytes in use: %+v", step.used, st)
			}
		}
		r.finish()
	})
}
