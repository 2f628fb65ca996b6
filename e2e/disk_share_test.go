package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// twoOutputs makes a site of two outputs: tags of "out" go to that, tags of "other" to that one, and "both" to both.
func twoOutputs(t testing.TB, share int64, dropOldest bool) (s *diskSite, other *destination) {
	s, other = newDiskSite(t), &destination{}
	s.options = func() engine.Options {
		one, two := keyed("out", s.out), keyed("other", other)
		one.Share, one.DropOldest = share, dropOldest
		return engine.Options{
			Outputs: []engine.OutputOptions{one, two},
			Routes: []engine.Route{
				{Match: "out", Outputs: []string{"out"}}, {Match: "other", Outputs: []string{"other"}},
				{Match: "both", Outputs: []string{"out", "other"}},
			},
		}
	}
	return s, other
}

// fill opens a stream whose tag is its name, and sends bodies until it is paused because the buffer is full. It gives how many:
// the last one may wait to be let in.
func fill(t testing.TB, s *diskSite, tag string, bodies []string) (p *producer, sent uint64) {
	t.Helper()
	p = newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: tag, Tag: tag, Epoch: 1})
	for p.last.GetState() == sluicev1.State_STATE_ACTIVE && int(sent) < len(bodies) {
		p.append(sent+1, bodies[sent])
		sent++
		for p.last.GetState() == sluicev1.State_STATE_ACTIVE && p.last.GetAckedSequence() < sent {
			p.status()
		}
	}
	if p.last.GetReason() != sluicev1.Reason_REASON_BUFFER_FULL {
		t.Errorf("stream %q stands at %v", tag, p.last)
	}
	return p, sent
}

// An output that is down fills its share of the disk. The producers of its routes are paused for that, those of others are not;
// and they resume when it works again, though nobody sends anything, also where the gateway was started anew meanwhile.
func TestDiskShareOfADeadOutput(t *testing.T) {
	for name, restart := range map[string]bool{"the same gateway": false, "another one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const share = 400_000
				s, other := twoOutputs(t, share, false)
				s.out.will(refusesAll)
				s.run()
				all := padded(60, 10_000)
				tags, producers, sent := []string{"out", "both"}, make([]*producer, 2), make([]uint64, 2)
				for i, tag := range tags {
					producers[i], sent[i] = fill(t, s, tag, all)
				}
				if used := s.engine.Stats().Outputs[0].ShareUsed; used < share*4/5 || used > share*5/4+32<<10 {
					t.Errorf("%d bytes of a share of %d are used by %v records", used, share, sent)
				}
				free := s.net.app(t, "gateway", sluice.StreamOptions{ID: "free", Tag: "other"})
				free.log(all...)
				free.flush()
				if st := free.Stats(); st.Pauses != 0 {
					t.Errorf("a stream of the other output was paused %d times", st.Pauses)
				}
				free.exit()
				unary := sluicev1.NewIngestServiceClient(s.net.connect(t))
				for tag, want := range map[string]codes.Code{"out": codes.ResourceExhausted, "other": codes.OK} {
					_, err := unary.SendLogs(t.Context(), &sluicev1.SendLogsRequest{Tag: tag, Records: records("x")})
					if status.Code(err) != want || want != codes.OK && (retryAfter(err) <= 0 || !strings.Contains(err.Error(), "buffer_full")) {
						t.Errorf("SendLogs of tag %q: %v", tag, err)
					}
				}
				if restart {
					s.halt(time.Second)
					s.run()
					for i, tag := range tags {
						p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: tag, Tag: tag, Epoch: 1})
						if next := p.last.GetNextSequence(); next < sent[i] || next > sent[i]+1 {
							t.Errorf("%d are stored of %d", next-1, sent[i])
						}
						p.append(sent[i], all[sent[i]-1])
						producers[i] = p
					}
				}
				time.Sleep(5 * time.Minute)
				s.out.will(nil)
				for i, p := range producers {
					p.untilAcked(sent[i])
					for p.last.GetState() != sluicev1.State_STATE_ACTIVE {
						p.status()
					}
					p.append(sent[i]+1, "last")
					p.untilAcked(sent[i] + 1)
					p.leave()
				}
				s.stop()
				for i, tag := range tags {
					wantBodies(t, s.out, tag, append(all[:sent[i]:sent[i]], "last"))
				}
				wantBodies(t, other, "both", append(all[:sent[1]:sent[1]], "last"))
				wantBodies(t, other, "free", all)
			})
		})
	}
}

// All of the room is used by an output that is down. Its producers are held, and what is under way has room all the same. When it
// works again the segments come free, and all go on.
func TestDiskRoomIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		s.disk.Room = 16 * s.disk.SegmentSize
		s.out.will(refusesAll)
		s.run()
		const streams = 3
		var apps []*app
		all := padded(400, 1_000)
		logged := make(chan struct{}, streams)
		for i := range streams {
			a := s.net.app(t, "gateway", sluice.StreamOptions{ID: fmt.Sprint("s", i), Tag: "app", QueueBytes: 32 << 10, BatchBytes: 8 << 10})
			apps = append(apps, a)
			go func() {
				a.log(all...)
				logged <- struct{}{}
			}()
		}
		time.Sleep(5 * time.Minute)
		paused := 0
		for _, a := range apps {
			st := a.Stats()
			if st.State == sluice.Paused && st.Reason == sluicev1.Reason_REASON_BUFFER_FULL {
				paused++
			}
		}
		m := s.metrics()
		if stored, room := m["sluice_buffer_stored_bytes"], m["sluice_buffer_room_bytes"]; paused != streams || stored > float64(s.disk.Room) {
			t.Errorf("%d streams are paused, with %v of %v bytes stored", paused, stored, room)
		}
		s.out.will(nil)
		for range streams {
			<-logged
		}
		for _, a := range apps {
			a.exit()
		}
		s.stop()
		for i := range streams {
			wantBodies(t, s.out, fmt.Sprint("s", i), all)
		}
	})
}

// An output that drops its oldest drops and counts it, and holds up nobody: neither producers nor the other output. What it has
// dropped stays dropped when the gateway is started anew.
func TestDiskDropOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const share = 200_000
		s, other := twoOutputs(t, share, true)
		s.out.will(refusesAll)
		s.run()
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "both", BatchBytes: 4 << 10})
		all := padded(1_000, 1_000)
		for _, body := range all {
			a.log(body)
			time.Sleep(10 * time.Millisecond)
		}
		a.flush()
		if st := a.Stats(); st.Pauses != 0 {
			t.Errorf("its producer was paused %d times", st.Pauses)
		}
		time.Sleep(time.Minute)
		wantBodies(t, other, "s", all)
		dropped := s.metrics()[`sluice_done_records_total{output="out",reason="drop_oldest",result="dropped"}`]
		if st := s.engine.Stats().Outputs[0]; dropped < 700 || int64(dropped)+st.Backlog.Records != 1_000 || st.ShareUsed > share+32<<10 {
			t.Errorf("%v records were dropped, %d are left, in %d bytes of %d", dropped, st.Backlog.Records, st.ShareUsed, share)
		}
		if kept := s.halt(time.Second); kept["out"] != 1_000-int64(dropped) {
			t.Errorf("kept %v, with %v dropped", kept, dropped)
		}
		s.run()
		s.out.will(nil)
		a.exit()
		s.stop()
		wantBodies(t, s.out, "s", all[int(dropped):])
	})
}

// A backlog is delivered in order when the output works again, what comes meanwhile behind it. It is read back within
// the memory that is for that, and what is held stays within the engine's limits, all the time.
func TestDiskDrainsABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams, backlog, more, readBack, memory = 5, 10_000, 1_000, 256 << 10, 128 << 10
		s := newDiskSite(t)
		s.disk.Room, s.disk.SegmentSize, s.disk.Memory = 64<<20, 1<<20, memory
		s.options = func() engine.Options {
			out := keyed("out", s.out)
			out.ReadBack = readBack
			return engine.Options{Limits: engine.Limits{Engine: 4 << 20, Stream: 1 << 20}, Outputs: []engine.OutputOptions{out}}
		}
		s.out.will(refusesAll)
		s.run()
		all := numbered(backlog + more)
		var apps []*app
		for i := range streams {
			a := s.net.app(t, "gateway", sluice.StreamOptions{ID: fmt.Sprint("s", i), Tag: "app"})
			apps = append(apps, a)
			a.log(all[:backlog]...)
			a.flush()
		}
		time.Sleep(5 * time.Minute)
		if n := s.engine.Stats().Outputs[0].Backlog.Records; n != streams*backlog {
			t.Errorf("the backlog has %d records", n)
		}
		var most int64
		s.out.will(func(context.Context, *engine.Batch) error {
			most = max(most, s.engine.Stats().Held)
			return nil
		})
		for i := range more {
			for _, a := range apps {
				a.log(all[backlog+i])
			}
			time.Sleep(time.Millisecond)
		}
		for _, a := range apps {
			a.exit()
		}
		s.stop()
		for i := range streams {
			wantBodies(t, s.out, fmt.Sprint("s", i), all)
		}
		if most > memory+1<<20 {
			t.Errorf("up to %d bytes were held", most)
		}
	})
}
