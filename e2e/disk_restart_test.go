package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// What is acked survives, however the gateway ends, and is delivered once though its producer sends it again: the gateway knows
// where the stream was. A stream that it does not know begins where its producer wants it to.
func TestDiskResumesStreams(t *testing.T) {
	stops := func(s *diskSite) {
		if kept := s.halt(time.Second); kept["out"] != 10 {
			s.t.Errorf("kept %v", kept)
		}
	}
	isKilled := func(s *diskSite) { s.crash((*crashfs.FS).Kill) }
	const process, machine = sluicev1.Durability_DURABILITY_PROCESS, sluicev1.Durability_DURABILITY_MACHINE
	for name, c := range map[string]struct {
		sync     seglog.SyncPolicy
		outlives sluicev1.Durability // what an ack does
		ends     func(s *diskSite)
	}{
		"stopped":                 {seglog.SyncAlways, machine, stops},
		"stopped, synced never":   {seglog.SyncNever, process, stops},
		"killed":                  {seglog.SyncAlways, machine, isKilled},
		"killed, synced at times": {seglog.SyncInterval, process, isKilled},
		"killed, synced never":    {seglog.SyncNever, process, isKilled},
		"the machine has stopped": {seglog.SyncAlways, machine, func(s *diskSite) {
			s.crash(func(fs *crashfs.FS) *crashfs.FS { return fs.Crash(rand.New(rand.NewPCG(1, 1))) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newDiskSite(t)
				s.disk.Sync = c.sync
				s.out.will(refusesAll)
				s.run()
				open := func() *producer {
					p := newProducer(t.Context(), t, s.net.connect(t))
					return p.open(&sluicev1.Open{StreamId: "s", Tag: "app", Epoch: 7, FirstSequence: 1})
				}
				p := open()
				if !p.last.GetDurable() || p.last.GetDurability() != c.outlives || p.last.GetNextSequence() != 1 {
					t.Errorf("the first status is %v", p.last)
				}
				p.append(1, tenLines()...)
				p.untilAcked(10)
				c.ends(s)
				s.run()
				p = open()
				if st := p.last; st.GetNextSequence() != 11 || st.GetAckedSequence() != 10 || st.GetHeldBytes() != 0 || !st.GetDurable() {
					t.Errorf("the first status after the restart is %v", st)
				}
				p.append(6, append(tenLines()[5:], "eleven", "twelve")...)
				p.untilAcked(12)
				p.append(1, tenLines()...)
				p.append(13, "thirteen")
				p.untilAcked(13)
				m := s.metrics()
				if n := m["sluice_repeated_records_total"]; n != 15 {
					t.Errorf("%v records were taken for repeats", n)
				}
				if n := m["sluice_records_total"]; n != 3 {
					t.Errorf("%v records were taken", n)
				}
				other := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "new", Tag: "app", Epoch: 7, FirstSequence: 5})
				if other.last.GetNextSequence() != 5 || other.last.GetAckedSequence() != 4 {
					t.Errorf("a stream that is new begins with %v", other.last)
				}
				if n := s.metrics()["sluice_skipped_records_total"]; n != 4 {
					t.Errorf("%v records were skipped", n)
				}
				other.leave()
				p.leave()
				s.out.will(nil)
				s.stop()
				wantBodies(t, s.out, "s", append(tenLines(), "eleven", "twelve", "thirteen"))
			})
		})
	}
}

// Producers log on while the gateway is stopped and started, again and again, and its output is down for some of that.
// Nothing is lost, and nothing comes twice.
func TestDiskProducersOutliveGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		s.run()
		const streams, each = 3, 1_000
		all := numbered(each)
		var logging sync.WaitGroup
		var apps []*app
		for i := range streams {
			a := s.net.app(t, "gateway", sluice.StreamOptions{ID: fmt.Sprint("s", i), Tag: "app"})
			apps = append(apps, a)
			logging.Go(func() {
				for _, body := range all {
					if err := a.Log(t.Context(), body); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		for i := range 4 {
			time.Sleep(2 * time.Second)
			if i%2 == 1 {
				s.out.will(refusesAll)
			}
			time.Sleep(2 * time.Second)
			s.halt(500 * time.Millisecond)
			s.run()
			s.out.will(nil)
		}
		logging.Wait()
		for i, a := range apps {
			a.exit()
			if st := a.Stats(); st.Reconnects < 4 || st.Dropped.Total() != 0 || st.Rejected != 0 {
				t.Errorf("stream %d: %+v", i, st)
			}
		}
		s.stop()
		for i := range streams {
			wantBodies(t, s.out, fmt.Sprint("s", i), all)
		}
	})
}

// Between two starts outputs trade places in the config, one is away for a while, and the room becomes smaller than what is in it.
// Each output gets what was for it, once, and producers go on when there is room.
func TestDiskConfigChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDiskSite(t)
		outs := map[string]*destination{"a": {}, "b": {}, "c": {}}
		configure := func(names ...string) {
			s.options = func() (o engine.Options) {
				for _, name := range names {
					o.Outputs = append(o.Outputs, keyed(name, outs[name]))
					o.Routes = append(o.Routes, engine.Route{Match: "both." + name, Outputs: []string{name}})
				}
				o.Routes = append(o.Routes, engine.Route{Match: "both.**", Outputs: names[:1]})
				return o
			}
		}
		for _, d := range outs {
			d.will(refusesAll)
		}
		all := padded(300, 5_000)
		send := func(tag string, from, to int) {
			t.Helper()
			p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: tag, Tag: tag, Epoch: 1})
			for i, body := range all[from:to] {
				p.append(uint64(from+i+1), body)
				p.untilAcked(uint64(from + i + 1))
			}
			p.leave()
		}
		configure("a", "b")
		s.run()
		send("both.a", 0, 100)
		send("both.b", 0, 100)
		s.halt(time.Second)

		configure("b", "c", "a") // ... and one that is new in between
		s.run()
		send("both.b", 100, 150)
		s.halt(time.Second)

		configure("c", "b") // a is away
		s.disk.Room /= 8
		s.run()
		if st := s.engine.Stats().Outputs; st[0].Backlog.Records != 0 || st[1].Backlog.Records != 150 {
			t.Errorf("backlogs: %+v", st)
		}
		p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "both.b", Tag: "both.b", Epoch: 1})
		p.append(151, all[150])
		if st := p.untilState(sluicev1.State_STATE_PAUSED); st.GetReason() != sluicev1.Reason_REASON_BUFFER_FULL {
			t.Errorf("paused with %v", st)
		}
		s.halt(time.Second)

		configure("a", "b")
		for _, d := range outs {
			d.will(nil)
		}
		s.run()
		send("both.b", 150, 300)
		send("both.a", 100, 300)
		s.stop()
		if n := s.engine.Stats().Outputs; len(n) != 2 {
			t.Errorf("outputs %+v", n)
		}
		wantBodies(t, outs["a"], "both.a", all)
		wantBodies(t, outs["b"], "both.b", all)
	})
}

// The machine stops at any moment, and comes back. All that was acked arrives, and what was delivered since the last checkpoint
// comes again: each stream's records are there, in order, but for that.
func TestDiskMachineStops(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 5))
				s := newDiskSite(t)
				s.run()
				a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app"})
				all := numbered(1_000)
				var logging sync.WaitGroup
				logging.Go(func() {
					for _, body := range all {
						if err := a.Log(t.Context(), body); err != nil {
							t.Error(err)
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
				for range 4 {
					time.Sleep(time.Second + time.Duration(rng.Int64N(int64(time.Second))))
					s.crash(func(fs *crashfs.FS) *crashfs.FS { return fs.Crash(rng) })
					s.run()
				}
				logging.Wait()
				a.exit()
				if st := a.Stats(); st.Dropped.Total() != 0 || st.Rejected != 0 {
					t.Errorf("%+v", st)
				}
				s.stop()
				wantAllInOrder(t, s.out.arrivals("s"), all)
			})
		})
	}
}

// wantAllInOrder checks that these arrived, each for the first time in order: what comes again goes on from there in order, too.
func wantAllInOrder(t testing.TB, got []arrival, want []string) {
	t.Helper()
	next, last := 0, uint64(0)
	for i, a := range got {
		switch {
		case next < len(want) && a.body == want[next] && a.sequence == last+1:
			next++
		case a.sequence > last+1:
			t.Errorf("record %d is %q with sequence %d, after %d", i, a.body, a.sequence, last)
			return
		}
		last = a.sequence
	}
	if next != len(want) {
		t.Errorf("%d of %d records arrived", next, len(want))
	}
}
