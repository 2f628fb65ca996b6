package sluice_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestSpillIsResumedAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.refuse = status.Error(codes.Unavailable, "away")
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{QueueRecords: 3})
		log(t, s.Stream, 1, 10)
		s = produce(t, s.kill(), g, sluice.StreamOptions{QueueRecords: 3})
		log(t, s.Stream, 11, 20)
		s = produce(t, s.kill(), g, sluice.StreamOptions{QueueRecords: 3})
		log(t, s.Stream, 21, 30)
		if st := s.Stats(); st.Spill.Resumed != 20 || st.QueuedRecords != 30 || st.Added != 10 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.refuse, g.opens = nil, nil })
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 30), 0)
		wantOpens(t, g, "1:1", "2:1", "3:1") // each life under its own epoch
		if st := s.Stats(); st.Acked != 30 || st.Resent != 0 || st.LastAcked != 10 {
			t.Errorf("stats %+v", st)
		}
	})
}

// What the gateway took and did not ack is not sent again, and not stored twice.
func TestSpillResumesWhatTheGatewayHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 1, 4)
		settle(time.Second)
		g.set(func() { g.hold = true })
		log(t, s.Stream, 5, 14)
		settle(time.Second)
		wantTaken(t, g, "s", numbers(1, 14), 0)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s.Stream, 15, 20)
		settle(time.Second)
		s = produce(t, s.kill(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 21, 25)
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 14), 0)
		g.set(func() { g.paused = false })
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 20), 0)
		if st := s.Stats(); st.UnackedRecords != 16 || st.QueuedRecords != 5 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.hold = false })
		settle(time.Minute)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 25), 0)
		wantOpens(t, g, "1:1", "1:5", "2:1")
	})
}

// All that was left is the gateway's already, and it says no more than once that it has acked it.
func TestSpillOfWhatIsAckedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 1, 50)
		settle(time.Second)
		d := s.kill()
		g.set(func() { g.hold = false })
		s = produce(t, d, g, sluice.StreamOptions{BatchRecords: 4, QueueRecords: 7})
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Acked != 50 || st.Sent != 0 || st.Resent != 0 || st.UnackedRecords != 0 {
			t.Errorf("stats %+v", st)
		}
		log(t, s.Stream, 51, 51)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 51), 0)
	})
}

// A gateway that buffers in memory knows nothing after a restart, before or after that of the producer.
func TestSpillAndAGatewayThatForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 1, 4)
		settle(time.Second)
		g.set(func() { g.hold = true })
		log(t, s.Stream, 5, 14)
		settle(time.Second)
		d := s.kill()
		g.forget()
		s = produce(t, d, g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 15, 16)
		settle(time.Second)
		wantTaken(t, g, "s", numbers(5, 14), 0)
		g.forget()
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(5, 14), 0)
		g.set(func() { g.hold = false })
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(5, 16), 0)
	})
}

// The machine stopped, and the end of the spill is gone, of which the gateway has some. What is new is not taken for that.
func TestSpillThatLostItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 1, 20)
		settle(time.Second)
		d := s.kill()
		name := segments(d)[0]
		d.Put(name, d.Content(name)[:len(d.Content(name))-10*(24+17)])
		s = produce(t, d, g, sluice.StreamOptions{BatchRecords: 4})
		if st := s.Stats(); st.Spill.Resumed != 10 {
			t.Errorf("stats %+v", st)
		}
		log(t, s.Stream, 21, 30)
		g.set(func() { g.hold = false })
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 30), 0)
		if st := s.Stats(); st.Acked != 20 || st.Dropped.Total() != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Another producer used the ID meanwhile: what is left goes out under a greater epoch, which a further start keeps to.
func TestSpillWhoseEpochIsTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{})
		g.set(func() { g.hold = true })
		log(t, s.Stream, 1, 5)
		settle(time.Second)
		d := s.kill()
		future := uint64(time.Now().Add(time.Hour).UnixNano())
		g.set(func() { g.streams["s"], g.opens = &state{epoch: future, next: 50}, nil })
		for range 3 {
			s = produce(t, d, g, sluice.StreamOptions{})
			settle(time.Second)
			wantTaken(t, g, "s", numbers(1, 5), 0)
			if st := s.Stats(); st.Epoch != future+1 || st.UnackedRecords != 5 {
				t.Errorf("stats %+v", st)
			}
			d = s.kill()
		}
		g.set(func() { g.hold = false })
		s = produce(t, d, g, sluice.StreamOptions{})
		log(t, s.Stream, 6, 7)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 7), 0)
		if st := s.Stats(); st.Epoch != future+2 {
			t.Errorf("epoch %d, want %d", st.Epoch, future+2)
		}
	})
}

// The clock was set back since the last start.
func TestSpillEpochsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{Epoch: 1000})
		log(t, s.Stream, 1, 2)
		closeClean(t, s.Stream)
		s = produce(t, s.disk, g, sluice.StreamOptions{Epoch: 1})
		log(t, s.Stream, 3, 4)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 4), 0)
		if st := s.Stats(); st.Epoch != 1001 {
			t.Errorf("epoch %d", st.Epoch)
		}
	})
}

// Somebody else has sent under this ID and epoch. What was not sent is not taken for that, but goes out under a greater epoch.
func TestSpillAndAForeignSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.streams["s"] = &state{epoch: 1000, next: 50}
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{Epoch: 1000})
		log(t, s.Stream, 1, 5)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 5), 0)
		if st := s.Stats(); st.Epoch != 1001 || st.Acked != 5 {
			t.Errorf("stats %+v", st)
		}
	})
}

// The records of a life are sent with its tag and its resource.
func TestSpillKeepsTagAndResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.refuse = status.Error(codes.Unavailable, "away")
		version := func(v string) *sluicev1.Resource { return sluice.NewResource(slog.String("service.version", v)) }
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{Tag: "old", Resource: version("1")})
		log(t, s.Stream, 1, 3)
		d := s.kill()
		g.set(func() { g.refuse, g.opens = nil, nil })
		s = produce(t, d, g, sluice.StreamOptions{Tag: "new", Resource: version("2")})
		log(t, s.Stream, 4, 6)
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 6), 0)
		g.saw(func() {
			for i, want := range []string{"old 1", "new 2"} {
				o := g.opens[i]
				if got := o.GetTag() + " " + o.GetResource().GetAttributes()[0].GetValue().GetStringValue(); got != want {
					t.Errorf("open %d with %s, want %s", i, got, want)
				}
			}
		})
	})
}

// What is resumed is handed over to another gateway as the first one drains.
func TestSpillIsResumedIntoADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 1, 12)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s.Stream, 13, 20)
		d := s.kill()
		s = produce(t, d, g, sluice.StreamOptions{BatchRecords: 4})
		log(t, s.Stream, 21, 22)
		settle(time.Second)
		g.set(func() { g.draining, g.paused = true, false })
		settle(time.Second)
		wantTaken(t, g, "s", numbers(1, 12), 0)
		g.set(func() { g.hold = false }) // it acks what it has, while it drains
		settle(time.Second)
		g.forget()
		g.set(func() { g.draining = false })
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(13, 22), 0)
	})
}

// A connection of the process before arrives late and takes the stream over. One of another producer has a greater epoch.
func TestSpillIsResumedAgainstALateConnection(t *testing.T) {
	for _, successor := range []bool{false, true} {
		t.Run(fmt.Sprintf("successor=%v", successor), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t)
				g.hold = true
				s := produce(t, crashfs.New(), g, sluice.StreamOptions{})
				log(t, s.Stream, 1, 5)
				settle(time.Second)
				s = produce(t, s.kill(), g, sluice.StreamOptions{})
				log(t, s.Stream, 6, 7)
				settle(time.Second)
				if successor {
					g.set(func() { g.streams["s"] = &state{epoch: s.Stats().Epoch + 10, next: 1} })
				}
				g.cut(status.Error(codes.Aborted, "a newer connection"))
				settle(time.Minute)
				g.set(func() { g.hold = false })
				settle(time.Second)
				if successor {
					if report, err := s.Close(t.Context()); err != nil || !errors.Is(s.Err(), sluice.ErrFenced) || report.Kept != 7 {
						t.Errorf("ended with %v, %+v, %v", s.Err(), report, err)
					}
					return
				}
				closeClean(t, s.Stream)
				wantTaken(t, g, "s", numbers(1, 7), 0)
			})
		})
	}
}

// The gateway hears of a new epoch only once that is noted: the next start would send again what is acked.
func TestSpillDoesNotGoOnUnnoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.hold = true
		s := produce(t, crashfs.New(), g, sluice.StreamOptions{})
		log(t, s.Stream, 1, 5)
		settle(time.Second)
		s = produce(t, s.kill(), g, sluice.StreamOptions{})
		log(t, s.Stream, 6, 7)
		settle(time.Second)
		s.disk.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write && filepath.Base(op.Name) == "acked" {
				return crashfs.Fault{Err: syscall.EIO}
			}
			return crashfs.Fault{}
		})
		g.set(func() { g.hold = false })
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 5), 0)
		if st := s.Stats(); !errors.Is(st.Spill.Err, syscall.EIO) || st.OpenAttempts == 0 {
			t.Errorf("stats %+v", st)
		}
		d := s.kill()
		d.Inject(nil)
		s = produce(t, d, g, sluice.StreamOptions{})
		closeClean(t, s.Stream)
		wantTaken(t, g, "s", numbers(1, 7), 0)
	})
}
