package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/schedule"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A letterSite is a site with a store of dead letters, on a disk of its own.
type letterSite struct {
	*diskSite
	disk  *crashfs.FS
	room  int64
	store *deadletter.Store
}

func newLetterSite(t testing.TB) *letterSite {
	s := &letterSite{diskSite: newDiskSite(t), disk: crashfs.New()}
	s.options = func() engine.Options {
		var err error
		s.store, err = deadletter.Open(deadletter.Options{
			Dir: "/letters", FS: s.disk, Room: s.room, Log: slog.New(slog.NewTextHandler(&s.logged, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		out := keyed("out", s.out)
		out.DeadLetter = "letters"
		store := engine.OutputOptions{Name: "letters", Output: s.store, Scheduler: schedule.NewSync(engine.BatchLimits{MaxRecords: 100})}
		return engine.Options{
			Outputs: []engine.OutputOptions{out, store}, Routes: []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		}
	}
	s.out.will(refusesBad)
	return s
}

// refusesBad refuses batches with a record that is bad, for good.
func refusesBad(_ context.Context, b *engine.Batch) error {
	for _, r := range b.All() {
		if strings.Contains(enginetest.Body(r.Record), "bad") {
			return engine.Permanent("odd", errors.New("it is bad"))
		}
	}
	return nil
}

// letters gives what is in the store, as stream/sequence body.
func (s *letterSite) letters() (all []string) {
	s.t.Helper()
	for l, err := range s.store.Letters(context.Background(), engine.LetterFilter{}) {
		if err != nil {
			s.t.Error(err)
			continue
		}
		if l.Output != "out" || l.Reason != "odd" || l.Message != "it is bad" || l.Attempts < 1 {
			s.t.Errorf("letter %+v", l)
		}
		all = append(all, fmt.Sprintf("%s/%d %s", l.StreamID, l.Sequence, enginetest.Body(l.Record)))
	}
	return all
}

// mixed is n bodies of which every tenth is bad; those that are good, and the letters that become of the bad ones of a stream.
func mixed(stream string, n int) (all, good, bad []string) {
	all = numbered(n)
	for i := range all {
		if i%10 == 6 {
			all[i] += " is bad"
			bad = append(bad, fmt.Sprintf("%s/%d %s", stream, i+1, all[i]))
		} else {
			good = append(good, all[i])
		}
	}
	return all, good, bad
}

func (s *letterSite) wantLetters(want []string) {
	s.t.Helper()
	if got := s.letters(); !slices.Equal(got, want) {
		s.t.Errorf("letters %q, want %q", got, want)
	}
}

// owed is how many records the output has yet to be done with.
func (s *letterSite) owed() int64 { return s.engine.Stats().Outputs[0].Backlog.Records }

// What the output refuses is in the store, with its reason; the rest is delivered in order. Once the destination is mended a replay
// gives it back, in order, and to nobody else; then the store is empty. All of it outlives gateways.
func TestDiskDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLetterSite(t)
		s.run()
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app"})
		all, good, bad := mixed("s", 100)
		a.log(all...)
		a.exit()
		s.stop()
		s.run()
		wantBodies(t, s.out, "s", good)
		s.wantLetters(bad)
		if n, err := s.engine.Replay(t.Context(), s.store, engine.LetterFilter{}, nil); n != 10 || err != nil {
			t.Errorf("replayed %d: %v", n, err)
		}
		time.Sleep(time.Minute)
		s.wantLetters(bad) // they came back
		s.out.will(nil)
		if n, err := s.engine.Replay(t.Context(), s.store, engine.LetterFilter{}, nil); n != 10 || err != nil {
			t.Errorf("replayed %d: %v", n, err)
		}
		time.Sleep(time.Minute)
		s.wantLetters(nil)
		s.stop()
		for _, line := range bad {
			_, body, _ := strings.Cut(line, " ")
			good = append(good, body)
		}
		wantBodies(t, s.out, "s", good)
	})
}

// A store that cannot store holds what is refused: it is neither dropped nor done, and nobody else waits for it. The gateway may
// be stopped meanwhile. When the store works again, by itself or at the next start, the letters are there, once.
func TestDiskDeadLetterStoreFails(t *testing.T) {
	for name, restart := range map[string]bool{"the same gateway": false, "another one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLetterSite(t)
				s.run()
				a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app"})
				b := s.net.app(t, "gateway", sluice.StreamOptions{ID: "other", Tag: "app"})
				all, good, bad := mixed("s", 100)
				s.disk.Inject(func(crashfs.Op) crashfs.Fault { return crashfs.Fault{Err: syscall.EIO} })
				a.log(all...)
				b.log(good...)
				a.exit()
				b.exit()
				time.Sleep(10 * time.Minute)
				wantBodies(t, s.out, "s", good)
				wantBodies(t, s.out, "other", good)
				m := s.metrics()
				for series, want := range map[string]float64{
					`sluice_output_backlog_records{output="out"}`:                                    10,
					`sluice_done_records_total{output="out",reason="",result="delivered"}`:           float64(2 * len(good)),
					`sluice_done_records_total{output="out",reason="odd",result="dead_lettered"}`:    0,
					`sluice_done_records_total{output="letters",reason="odd",result="dropped"}`:      0,
					`sluice_done_records_total{output="letters",reason="http_400",result="dropped"}`: 0,
				} {
					if m[series] != want {
						t.Errorf("%s is %v, want %v", series, m[series], want)
					}
				}
				if restart {
					kept := s.halt(time.Second)
					if kept["out"] != 10 {
						t.Errorf("kept %v", kept)
					}
					s.disk.Inject(nil)
					s.run()
				}
				s.disk.Inject(nil)
				time.Sleep(2 * time.Minute)
				if n := s.owed(); n != 0 {
					t.Errorf("%d records are still owed", n)
				}
				s.wantLetters(bad)
				s.stop()
				s.wantLogged("dead letters cannot be stored", "input/output error")
			})
		})
	}
}

// A store that is full is no reason to lose anything either. It goes on once somebody has dropped letters.
func TestDiskDeadLetterStoreIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLetterSite(t)
		s.room = deadletter.MinRoom
		s.run()
		a := s.net.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app"})
		const n = 80
		all := padded(n, 5_000)
		for i := range all {
			all[i] = "bad " + all[i]
		}
		a.log(all...)
		a.exit()
		time.Sleep(10 * time.Minute)
		stored := s.letters()
		if owed := s.owed(); len(stored) == 0 || int64(len(stored))+owed != n {
			t.Errorf("%d letters are stored and %d owed of %d", len(stored), owed, n)
		}
		if failing := s.store.Stats().Failing; failing == nil {
			t.Error("the store is not said to be full")
		}
		for range 20 {
			var ids []uint64
			for l, err := range s.store.Letters(t.Context(), engine.LetterFilter{}) {
				if err != nil {
					t.Error(err)
				}
				ids = append(ids, l.ID)
			}
			if s.owed() == 0 {
				break
			}
			if err := s.store.Remove(t.Context(), ids); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Minute)
		}
		if owed := s.owed(); owed != 0 {
			t.Errorf("%d are still owed", owed)
		}
		last := s.letters()
		if i := len(last) - 1; i < 0 || last[i] != fmt.Sprintf("s/%d %s", n, all[n-1]) {
			t.Errorf("%d letters are left, up to %.20q", len(last), last[max(i, 0):])
		}
		s.stop()
	})
}

// What is refused has left memory, and the disk does not give it back at once: it becomes a letter all the same, soon.
func TestDiskDeadLetterCannotBeReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLetterSite(t)
		s.diskSite.disk.Memory = 1
		s.run()
		failed := 0
		s.out.will(func(ctx context.Context, b *engine.Batch) error {
			err := refusesBad(ctx, b)
			if err != nil && failed == 0 {
				s.fs.Inject(func(op crashfs.Op) crashfs.Fault {
					if op.Kind != crashfs.Read || failed == 3 {
						return crashfs.Fault{}
					}
					failed++
					return crashfs.Fault{Err: syscall.EIO}
				})
			}
			return err
		})
		p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "s", Tag: "app"})
		p.append(1, "this is bad")
		p.untilAcked(1)
		time.Sleep(10 * time.Minute)
		if owed := s.owed(); owed != 0 || failed != 3 {
			t.Errorf("%d records are owed after %d reads that failed", owed, failed)
		}
		s.wantLetters([]string{"s/1 this is bad"})
		p.leave()
		s.stop()
	})
}

// A replay gives back what an earlier life of a producer sent, under another tag. That is no reason to refuse the producer of today,
// however often the gateway is started anew.
func TestDiskReplayOfAnotherTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLetterSite(t)
		s.run()
		p := newProducer(t.Context(), t, s.net.connect(t)).open(&sluicev1.Open{StreamId: "s", Tag: "old", Epoch: 1})
		p.append(1, "this is bad")
		p.untilAcked(1)
		p.leave()
		today := &sluicev1.Open{StreamId: "s", Tag: "new", Epoch: 2}
		p = newProducer(t.Context(), t, s.net.connect(t)).open(today)
		p.append(1, "one", "two")
		p.untilAcked(2)
		p.leave()
		time.Sleep(time.Minute)
		s.out.will(nil)
		if n, err := s.engine.Replay(t.Context(), s.store, engine.LetterFilter{}, nil); n != 1 || err != nil {
			t.Errorf("replayed %d: %v", n, err)
		}
		s.stop()
		s.run()
		p = newProducer(t.Context(), t, s.net.connect(t))
		p.sendOpen(today)
		m, err := p.Recv()
		if err != nil || m.GetStatus().GetNextSequence() != 3 {
			t.Errorf("the producer is told %v, %v", m, err)
		} else {
			p.leave()
		}
		s.stop()
		wantBodies(t, s.out, "s", []string{"one", "two", "this is bad"})
	})
}
