package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// Many streams that stay connected do not keep those that have left from being forgotten.
func TestConnectedStreamsDoNotLockNewOnesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := oneOutput(t, engine.Limits{Streams: 200})
		for i := range 150 {
			r.open(engine.Open{StreamID: fmt.Sprint("stays-", i)})
		}
		for i := range 50 {
			r.open(engine.Open{StreamID: fmt.Sprint("leaves-", i)}).Close()
		}
		for i := range 50 {
			r.open(engine.Open{StreamID: fmt.Sprint("new-", i)})
		}
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "test"})
		wantError(t, err, engine.CodeResourceExhausted, "200")
		if st := r.Stats(); st.Streams != 200 || st.Sessions != 200 {
			t.Errorf("%d streams, %d sessions", st.Streams, st.Sessions)
		}
		r.finish()
	})
}

// Streams that have left but are owed an ack do not lock new ones out either, once they are not.
func TestStreamsOwedAnAckAreForgottenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{Streams: 100})
		out.will(alwaysDown)
		for i := range 100 {
			s := r.open(engine.Open{StreamID: fmt.Sprint(i)})
			r.append(s, 1, "x")
			s.Close()
		}
		_, err := r.Open(engine.Open{Tenant: "default", Tag: "test"})
		wantError(t, err, engine.CodeResourceExhausted, "100")
		out.will(nil)
		time.Sleep(time.Minute)
		for range 100 {
			r.open(engine.Open{})
		}
		r.finish()
	})
}

// A stream that the engine named can be come back to by a producer that says an epoch: what it resends is recognised.
func TestWhoSaysAnEpochComesBackToAMadeUpName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		s := r.open(engine.Open{Epoch: 7})
		id := status(s).StreamID
		r.append(s, 1, "a", "b")
		s.Close()
		time.Sleep(time.Second) // acked, which nobody was told
		s = r.open(engine.Open{StreamID: id, Epoch: 7, First: 1})
		r.append(s, 1, "a", "b", "c")
		r.finish()
		wantBodies(t, "delivered", out.bodies(), []string{"a", "b", "c"})
	})
}

// What is kept of the resources of producers that have left is bounded.
func TestResourcesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := oneOutput(t, engine.Limits{Engine: 8 * mib})
		resource := []byte(strings.Repeat("\x10\x00", 30*kib))
		for i := range 1000 {
			r.open(engine.Open{StreamID: fmt.Sprint(i), Resource: resource}).Close()
		}
		if st := r.Stats(); st.StreamState > 2*mib {
			t.Errorf("%d bytes are kept of %d streams that have left", st.StreamState, st.Streams)
		}
		for i := range 1000 { // known by name, and with a resource now
			r.open(engine.Open{StreamID: fmt.Sprint("later-", i)}).Close()
		}
		for i := range 1000 {
			r.open(engine.Open{StreamID: fmt.Sprint("later-", i), Resource: resource}).Close()
		}
		if st := r.Stats(); st.StreamState > 3*mib {
			t.Errorf("%d bytes are kept of %d streams that have left and come back", st.StreamState, st.Streams)
		}
		r.finish()
	})
}

// What is kept of a producer's resource is charged: with the stream, and with every chunk.
func TestResourcesAreCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := oneOutput(t, engine.Limits{})
		out.will(alwaysDown)
		resource := []byte("\x12\x00" + strings.Repeat("\x10\x00", 5000))
		s := r.open(engine.Open{StreamID: "s", Resource: resource})
		r.append(s, 1, "x")
		time.Sleep(time.Second)
		if st := r.Stats(); st.Held < int64(len(resource)) || st.StreamState < int64(len(resource)) {
			t.Errorf("a resource of %d bytes: %d held, state of %d", len(resource), st.Held, st.StreamState)
		}
		out.will(nil)
		s.Close()
		r.finish()
	})
}
