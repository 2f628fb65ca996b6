package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

func TestRecordsAreDeliveredAndAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		s := r.open(engine.Open{StreamID: "s"})
		bodies := numbered("r", 10)
		r.append(s, 1, bodies[:4]...)
		r.append(s, 5, bodies[4:]...)
		time.Sleep(time.Second)
		if st := status(s); st.Acked != 10 || st.Next != 11 || st.Held != 0 {
			t.Errorf("status after delivery: %+v", st)
		}
		r.finish()
		if got := out.bodies(); !slices.Equal(got, bodies) {
			t.Errorf("delivered %v, want %v", got, bodies)
		}
	})
}
