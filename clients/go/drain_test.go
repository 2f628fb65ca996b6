package sluice_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// drainTest opens a stream on one of two gateways, which holds records 1 to 10 unacked and then drains, while 11 to 20
// are queued.
func drainTest(t *testing.T, then func(t *testing.T, s *sluice.Stream, from, to *gateway)) {
	synctest.Test(t, func(t *testing.T) {
		gateways := []*gateway{newGateway(t), newGateway(t)}
		for _, g := range gateways {
			g.hold = true
		}
		s := open(t, newClient(t, gateways...), sluice.StreamOptions{BatchRecords: 5})
		log(t, s, 1, 10)
		settle(time.Second)
		from, to := gateways[0], gateways[1]
		if len(from.opens) == 0 {
			from, to = to, from
		}
		wantTaken(t, from, "s", numbers(1, 10), 0)
		from.set(func() { from.draining = true })
		synctest.Wait()
		log(t, s, 11, 20)
		settle(time.Second)
		if st := s.Stats(); st.State != sluice.Draining || st.UnackedRecords != 10 || st.QueuedRecords != 10 {
			t.Errorf("stats while draining: %+v", st)
		}
		wantTaken(t, from, "s", numbers(1, 10), 0)
		wantTaken(t, to, "s", nil, 0) // nothing overtakes
		then(t, s, from, to)
	})
}

func TestDrainHandsOverOnceAllIsAcked(t *testing.T) {
	drainTest(t, func(t *testing.T, s *sluice.Stream, from, to *gateway) {
		to.set(func() { to.hold = false })
		from.set(func() { from.hold = false })
		synctest.Wait() // at once: no backoff
		wantTaken(t, from, "s", numbers(1, 10), 0)
		wantTaken(t, to, "s", numbers(11, 20), 0)
		if st := s.Stats(); st.Acked != 20 || st.Resent != 0 || st.Reconnects != 1 {
			t.Errorf("stats %+v", st)
		}
		to.saw(func() {
			if o := to.opens[0]; o.GetFirstSequence() != 11 || o.GetEpoch() != from.opens[0].GetEpoch() {
				t.Errorf("opened with %v", o)
			}
		})
		closeClean(t, s)
	})
}

// A gateway does not wait for Open for as long as another one drains. That is nobody's failure.
func TestDrainThatTakesLong(t *testing.T) {
	drainTest(t, func(t *testing.T, s *sluice.Stream, from, to *gateway) {
		settle(10 * time.Minute)
		if st := s.Stats(); st.OpenAttempts != 0 || st.State != sluice.Draining {
			t.Errorf("stats %+v", st)
		}
		to.set(func() { to.hold = false })
		from.set(func() { from.hold = false })
		settle(time.Minute)
		wantTaken(t, from, "s", numbers(1, 10), 0)
		wantTaken(t, to, "s", numbers(11, 20), 0)
		if st := s.Stats(); st.Acked != 20 || st.Resent != 0 || st.Reconnects != 1 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s)
	})
}

func TestDrainHandsOverOnceTheOldStreamHasEnded(t *testing.T) {
	drainTest(t, func(t *testing.T, s *sluice.Stream, from, to *gateway) {
		to.set(func() { to.hold = false })
		from.set(func() {
			for c := range from.conns {
				c.state.acked = 4
			}
		})
		synctest.Wait()
		wantTaken(t, to, "s", nil, 0)
		from.cut(status.Error(codes.Unavailable, "shut down"))
		synctest.Wait()
		wantTaken(t, to, "s", numbers(5, 20), 0) // what was unacked, and no more
		if st := s.Stats(); st.Acked != 20 || st.Resent != 6 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s)
	})
}

// Another gateway that refuses meanwhile is tried again, while the old one goes on acking.
func TestDrainWhileNoOtherGatewayTakesTheStream(t *testing.T) {
	drainTest(t, func(t *testing.T, s *sluice.Stream, from, to *gateway) {
		to.set(func() { to.refuse = status.Error(codes.Unavailable, "full"); to.hold = false })
		from.set(func() { from.hold = false; from.refuse = status.Error(codes.Unavailable, "draining") })
		settle(time.Minute)
		if st := s.Stats(); st.Acked != 10 || st.QueuedRecords != 10 || st.OpenAttempts == 0 || st.State != sluice.Connecting {
			t.Errorf("stats %+v", st)
		}
		to.set(func() { to.refuse = nil })
		settle(time.Minute)
		wantTaken(t, to, "s", numbers(11, 20), 0)
		closeClean(t, s)
	})
}

func TestFencedWhileDrainingIsFinal(t *testing.T) {
	drainTest(t, func(t *testing.T, s *sluice.Stream, from, to *gateway) {
		from.cut(status.Error(codes.Aborted, "a newer epoch"))
		<-s.Done()
		report, err := s.Close(t.Context())
		if err == nil || report.Unacked != 10 || report.Unsent != 10 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		wantTaken(t, to, "s", nil, 0)
	})
}

// A gateway may drain its old connections and go on itself: a plain re-open.
func TestDrainOfOneConnectionOfTheSameGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 5})
		log(t, s, 1, 10)
		settle(time.Second)
		g.set(func() { g.draining = true })
		synctest.Wait()
		log(t, s, 11, 20)
		settle(time.Second)
		g.set(func() { g.hold = false })
		synctest.Wait()
		settle(10 * time.Second)
		g.set(func() { g.draining = false })
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 20), 0)
		closeClean(t, s)
	})
}
