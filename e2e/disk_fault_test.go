package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// SendLogs answers when the disk has it, and not before; a caller that does not wait so long is told that, and what it sent is
// stored nevertheless.
func TestDiskSendLogsAnswersWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		s.out.will(refusesAll)
		s.run()
		client := sluicev1.NewIngestServiceClient(s.net.connect(t))
		send := func(ctx context.Context, body string) (*sluicev1.SendLogsResponse, error) {
			return client.SendLogs(ctx, &sluicev1.SendLogsRequest{StreamId: "s", Tag: "app", Records: records(body)})
		}
		s.hold.begin()
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := send(soon, "one"); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("answered %v while nothing can be stored", err)
		}
		answered := make(chan error, 1)
		go func() {
			response, err := send(t.Context(), "two")
			if st := response.GetStatus(); err == nil && (st.GetAckedSequence() != 2 || !st.GetDurable()) {
				t.Errorf("answered %v", st)
			}
			answered <- err
		}()
		time.Sleep(time.Hour)
		select {
		case err := <-answered:
			t.Errorf("answered %v while nothing can be stored", err)
		default:
		}
		s.hold.end()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		s.crash(func(fs *crashfs.FS) *crashfs.FS { return fs.Crash(rand.New(rand.NewPCG(1, 1))) })
		s.run()
		s.out.will(nil)
		s.stop()
		wantBodies(t, s.out, "s", []string{"one", "two"})
	})
}

// While the disk is full no ack moves and producers are paused at their limits. As soon as it has room all goes on, though nobody
// sends anything, and each record is delivered once.
func TestDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		s.options = func() engine.Options {
			return engine.Options{Limits: engine.Limits{Stream: streamLimit}, Outputs: []engine.OutputOptions{keyed("out", s.out)}}
		}
		s.run()
		conn := s.net.connect(t)
		p := newProducer(t.Context(), t, conn).open(&sluicev1.Open{StreamId: "s", Tag: "app"})
		all := padded(14, 10_000)
		for i, body := range all[:7] {
			p.append(uint64(i+1), body)
			p.untilAcked(uint64(i + 1))
		}
		s.isFull()
		for i, body := range all[7:] {
			p.append(uint64(i+8), body)
		}
		st := p.untilState(sluicev1.State_STATE_PAUSED)
		if st.GetReason() != sluicev1.Reason_REASON_STREAM_LIMIT || st.GetAckedSequence() != 7 {
			t.Errorf("paused with %v", st)
		}
		time.Sleep(10 * time.Minute)
		_, err := sluicev1.NewIngestServiceClient(conn).SendLogs(t.Context(), &sluicev1.SendLogsRequest{StreamId: "s", Tag: "app", Records: records("no")})
		if status.Code(err) != codes.ResourceExhausted || retryAfter(err) <= 0 {
			t.Errorf("SendLogs: %v", err)
		}
		if st := p.status(); st.GetState() != sluicev1.State_STATE_PAUSED || st.GetAckedSequence() != 7 || st.GetHeldBytes() < streamLimit {
			t.Errorf("while the disk is full the status is %v", st)
		}
		if code, body := s.get("/livez"); code != 200 {
			t.Errorf("livez: %d %s", code, body) // a restart would not help
		} else if !strings.Contains(body, "no space left on device") {
			t.Errorf("livez says nothing of it: %s", body)
		}
		const failing = `sluice_buffer_failing{work="commit"}`
		if v := s.metrics()[failing]; v != 1 {
			t.Errorf("%s is %v", failing, v)
		}
		wantBodies(t, s.out, "s", all[:7])
		s.fails(nil)
		p.untilState(sluicev1.State_STATE_ACTIVE)
		p.untilAcked(14)
		p.leave()
		if v, ok := s.metrics()[failing]; v != 0 || !ok {
			t.Errorf("%s is %v once it works again", failing, v)
		}
		s.stop()
		wantBodies(t, s.out, "s", all)
		s.wantLogged("the disk buffer fails", "work=commit", "no space left on device", "the disk buffer works again", "work=commit")
	})
}

// A gateway that is stopped while the disk is full says what is not stored. Its producer was told nothing else, and sends it to
// the next one.
func TestDiskIsFullAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		s.out.will(refusesAll)
		s.run()
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app"})
		all := numbered(30)
		a.log(all[:10]...)
		a.flush()
		s.isFull()
		a.log(all[10:20]...)
		time.Sleep(time.Minute)
		s.over = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.drain(ctx); err == nil {
			t.Error("drained while nothing could be stored")
		}
		ctx = context.WithoutCancel(ctx)
		left, _ := s.engine.Close(ctx)
		if err := s.server.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := s.admin.Stop(ctx); err != nil {
			t.Error(err)
		}
		s.serving.Wait()
		if len(left) != 2 || left[0].Kept || left[0].Records != 10 || left[0].Stream.ID != "s" || !left[1].Kept || left[1].Records != 10 {
			t.Errorf("left %+v", left)
		}
		s.fails(nil)
		s.run()
		s.out.will(nil)
		a.log(all[20:]...)
		a.exit()
		s.stop()
		wantBodies(t, s.out, "s", all)
	})
}

// A write or a sync fails once, whichever it is. Nothing is lost, nothing comes twice, and what was acked outlives the machine.
func TestDiskFailsOnce(t *testing.T) {
	for _, kind := range []crashfs.Kind{crashfs.Sync, crashfs.Write, crashfs.SyncDir, crashfs.Rename, crashfs.Create} {
		for n := 0; n < 60; n += 5 {
			t.Run(fmt.Sprint(kind, " ", n+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { failOnce(t, kind, n) })
			})
		}
	}
}

// failOnce has the n-th operation of a kind fail, counted from 0, while a producer fills segments; then the machine stops.
func failOnce(t *testing.T, kind crashfs.Kind, n int) {
	s := newDiskSite(t)
	s.out.will(refusesAll)
	s.run()
	p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "s", Tag: "app", Epoch: 1})
	seen := 0
	s.fs.Inject(func(op crashfs.Op) crashfs.Fault {
		if op.Kind != kind || kind != crashfs.SyncDir && !strings.Contains(op.Name, ".seg") {
			return crashfs.Fault{}
		}
		if seen++; seen != n+1 {
			return crashfs.Fault{}
		}
		return crashfs.Fault{Err: syscall.EIO, Through: int(op.Size) / 2}
	})
	all := padded(60, 5_000)
	for i, body := range all[:30] {
		p.append(uint64(i+1), body)
		p.untilAcked(uint64(i + 1))
	}
	for i, body := range all[30:] {
		p.append(uint64(i+31), body)
	}
	p.untilAcked(60)
	s.fs.Inject(nil)
	s.crash(func(fs *crashfs.FS) *crashfs.FS { return fs.Crash(rand.New(rand.NewPCG(uint64(n), 2))) })
	s.run()
	s.out.will(nil)
	s.stop()
	wantBodies(t, s.out, "s", all)
	if seen > n {
		s.wantLogged("input/output error")
	}
}

// Syncs fail for a while. No ack moves then, whatever a machine that stops finds on its disk.
func TestDiskSyncsFail(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newDiskSite(t)
				s.out.will(refusesAll)
				s.run()
				open := &sluicev1.Open{StreamId: "s", Tag: "app", Epoch: 1, FirstSequence: 1}
				p := newProducer(t.Context(), t, s.net.connect(t)).open(open)
				p.append(1, tenLines()...)
				p.untilAcked(10)
				s.fails(syscall.EIO, crashfs.Sync)
				p.append(11, "eleven", "twelve")
				time.Sleep(time.Minute)
				if st := s.metrics()["sluice_acked_records_total"]; st != 10 {
					t.Errorf("%v records are acked while nothing can be synced", st)
				}
				s.crash(func(fs *crashfs.FS) *crashfs.FS { return fs.Crash(rand.New(rand.NewPCG(seed, 3))) })
				s.run()
				p = newProducer(t.Context(), t, s.net.connect(t)).open(open)
				if acked := p.last.GetAckedSequence(); acked < 10 || acked > 12 {
					t.Errorf("acked is %d after the restart", acked)
				}
				p.append(1, append(tenLines(), "eleven", "twelve")...)
				p.untilAcked(12)
				p.leave()
				s.out.will(nil)
				s.stop()
				wantBodies(t, s.out, "s", append(tenLines(), "eleven", "twelve"))
			})
		})
	}
}
