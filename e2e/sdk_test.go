package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server"
)

// A producer that outruns its destination is paused and resumed, over and over, and told exactly how it stands. It logs an
// append at a time and waits until that is charged, and the destination takes an append at a time: so at a pause the limit
// is held or less than an append more, and at a resume 80 % of it or less than an append less. What is logged during a pause
// stays with the producer as long as that lasts, and is no part of what is held.
func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, mark, took = 512 << 10, 512 << 10 * 8 / 10, 200 * time.Millisecond
		const each = 72 // records of an append: so many that the gateway does not gather it with others
		out, hosts := &destination{}, &network{}
		single := keyed("out", out)
		single.Scheduler = schedule.NewKeyed(engine.BatchLimits{MaxRecords: each}, schedule.Fixed(1))
		g := start(t, hosts.listen("gateway"), engine.Options{
			Limits: engine.Limits{Stream: limit}, Outputs: []engine.OutputOptions{single},
		}, server.Options{})
		out.will(takes(took))
		held := func() uint64 { return uint64(g.engine.Stats().TenantHeld["default"]) }

		var pauses []sluice.Pause
		var resumes []sluice.Resume
		resumed := make(chan struct{}, 100)
		a := hosts.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app", BatchRecords: each, Hooks: sluice.Hooks{
			OnPause:  func(p sluice.Pause) { pauses = append(pauses, p) },
			OnResume: func(r sluice.Resume) { resumes = append(resumes, r); resumed <- struct{}{} },
		}})
		synctest.Wait() // it is connected: what has gathered by then is sent as it is
		all := padded(60*each, 1_000)
		var one uint64 // append's bytes
		for part := range slices.Chunk(all, each) {
			before, paused := held(), len(pauses) > len(resumes)
			a.log(part...)
			synctest.Wait() // it is charged, or kept, and who is told of that was told
			switch now := held(); {
			case paused:
				if n := a.Stats().QueuedRecords; n != each || now != before {
					t.Errorf("in a pause %d records are kept of %d, and %d bytes held, before that %d", n, each, now, before)
				}
				<-resumed
				synctest.Wait()
			case one == 0:
				one = now
			case now != before+one:
				t.Errorf("%d bytes are held after an append of %d to %d", now, one, before)
			}
		}
		a.flush()
		a.exit()

		var pausedFor time.Duration
		for i, p := range pauses[:min(len(pauses), len(resumes))] {
			r := resumes[i]
			pausedFor += r.Paused
			if p.Reason != sluicev1.Reason_REASON_STREAM_LIMIT || p.LimitBytes != limit ||
				p.HeldBytes < limit || p.HeldBytes >= limit+one {
				t.Errorf("pause %+v", p)
			}
			if r.LimitBytes != limit || r.HeldBytes > mark || r.HeldBytes+one <= mark ||
				r.Paused != took*time.Duration((p.HeldBytes-r.HeldBytes)/one) {
				t.Errorf("resume %+v", r)
			}
		}
		n, st := len(pauses), a.Stats()
		if n < 10 || n != len(resumes) || st.Pauses != uint64(n) || st.PausedFor != pausedFor ||
			g.engine.Stats().Pauses[engine.ReasonStreamLimit] != int64(n) {
			t.Errorf("told of %d pauses and %d resumes, for %v; stats %+v", n, len(resumes), pausedFor, st)
		}
		if st.Resent != 0 || st.Reconnects != 0 || st.Dropped.Total() != 0 {
			t.Errorf("stats %+v", st)
		}
		g.stop()
		wantBodies(t, out, "s", all)
	})
}

// A producer that does not wait for anything has appends under way when it is paused, and sends at once when it is resumed.
// Nothing is lost, doubled or out of order, and what the gateway holds of it never goes over the ceiling by more than an
// append. A status says what is held at its moment: in a pause more than 80 % of the limit, otherwise less than the limit.
func TestProducerThatPours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, mark, appendBytes = 256 << 10, 256 << 10 * 8 / 10, 32 << 10
		s := newSite(t, engine.Limits{Stream: limit}, server.Options{})
		var most int64
		s.out.will(func(ctx context.Context, b *engine.Batch) error {
			most = max(most, s.engine.Stats().TenantHeld["default"])
			return takes(200*time.Millisecond)(ctx, b)
		})
		pauses, resumes := 0, 0
		a := s.net.app(t, "gateway", sluice.StreamOptions{
			ID: "s", Tag: "app", BatchBytes: appendBytes, QueueBytes: 64 << 10,
			Hooks: sluice.Hooks{
				OnPause: func(p sluice.Pause) {
					pauses++
					if p.Reason != sluicev1.Reason_REASON_STREAM_LIMIT || p.HeldBytes <= mark || p.LimitBytes != limit {
						t.Errorf("pause %+v", p)
					}
				},
				OnResume: func(r sluice.Resume) {
					resumes++
					if r.HeldBytes >= limit || r.LimitBytes != limit {
						t.Errorf("resume %+v", r)
					}
				},
			},
		})
		all := padded(5_000, 1_000)
		a.log(all...)
		a.flush()
		a.exit()
		st := a.Stats()
		if st.Pauses < 5 || st.Resent != 0 || st.Reconnects != 0 || st.Dropped.Total() != 0 || st.PausedFor <= 0 {
			t.Errorf("stats %+v", st)
		}
		if pauses == 0 || pauses != resumes || uint64(pauses) > st.Pauses {
			t.Errorf("told of %d pauses and %d resumes, of %d", pauses, resumes, st.Pauses)
		}
		if most <= limit || most > 2*limit+appendBytes {
			t.Errorf("the gateway held up to %d bytes", most)
		}
		if n := s.engine.Stats().Pauses[engine.ReasonStreamLimit]; uint64(n) < st.Pauses {
			t.Errorf("%d pauses counted", n)
		}
		s.out.will(nil)
		s.stop()
		wantBodies(t, s.out, "s", all)
	})
}

// Two gateways are restarted in turn while producers log. Each hands its streams over: no record comes twice, none
// overtakes another, though the old gateway is slow with what it has and the new one is not.
func TestDrainHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, hosts := &destination{}, &network{}
		names := []string{"a", "b"}
		gateways := map[string]*gateway{}
		slow := map[string]*atomic.Bool{"a": {}, "b": {}}
		run := func(name string) {
			slow[name].Store(false)
			gateways[name] = start(t, hosts.listen(name), engine.Options{
				Outputs: []engine.OutputOptions{keyed("out", sometimesSlow{out, slow[name]})},
			}, server.Options{})
		}
		run("a")
		run("b")
		addresses := manual.NewBuilderWithScheme("two")
		addresses.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: names[0]}, {Addr: names[1]}}})
		client := newClient(t, "two:///gateways", grpc.WithContextDialer(hosts.dial), grpc.WithResolvers(addresses))
		const streams, each = 6, 2_000
		all := numbered(each)
		var logging sync.WaitGroup
		var apps []*app
		for i := range streams {
			a := newApp(t, client, sluice.StreamOptions{ID: fmt.Sprint("s", i), Tag: "app"})
			apps = append(apps, a)
			logging.Go(func() {
				for _, body := range all {
					if err := a.Log(t.Context(), body); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		for i := range 4 {
			time.Sleep(4 * time.Second)
			name := names[i%2]
			slow[name].Store(true)
			time.Sleep(500 * time.Millisecond)
			gateways[name].stop()
			run(name)
		}
		logging.Wait()
		reconnects := uint64(0)
		for i, a := range apps {
			if report, err := a.Close(t.Context()); err != nil || report.Lost() > 0 {
				t.Errorf("stream %d: %v, %d lost", i, err, report.Lost())
			}
			st := a.Stats()
			reconnects += st.Reconnects
			if st.Resent != 0 {
				t.Errorf("stream %d sent %d records twice", i, st.Resent)
			}
		}
		if reconnects < streams {
			t.Errorf("%d reconnects of %d streams", reconnects, streams)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, g := range gateways {
			g.stop()
		}
		for i := range streams {
			wantBodies(t, out, fmt.Sprint("s", i), all)
		}
	})
}

// sometimesSlow takes two seconds for a batch while it is slow.
type sometimesSlow struct {
	*destination
	slow *atomic.Bool
}

func (d sometimesSlow) Write(ctx context.Context, b *engine.Batch) error {
	if d.slow.Load() {
		pause(ctx, 2*time.Second)
	}
	return d.destination.Write(ctx, b)
}

// Flush does not wait for a linger, Close neither; Close says what is left, and which records.
func TestFlushAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, hosts := &destination{}, &network{}
		lazy := keyed("out", out)
		lazy.Linger = time.Hour
		lazy.Scheduler = schedule.NewKeyed(engine.BatchLimits{MaxRecords: 10_000, Linger: time.Hour}, schedule.Fixed(4))
		g := start(t, hosts.listen("gateway"), engine.Options{Outputs: []engine.OutputOptions{lazy}}, server.Options{})
		a := hosts.app(t, "gateway", sluice.StreamOptions{ID: "s", Tag: "app", Linger: time.Minute})
		all := numbered(30)
		a.log(all[:10]...)
		time.Sleep(10 * time.Minute)
		if n := len(out.bodies("s")); n != 0 {
			t.Errorf("%d records came before their linger was over", n)
		}
		began := time.Now()
		a.flush()
		if took := time.Since(began); took > time.Second {
			t.Errorf("flush took %v", took)
		}
		wantBodies(t, out, "s", all[:10])

		// Flush gives up with its context, and loses nothing by it.
		refuses := func(context.Context, *engine.Batch) error { return errors.New("not now") }
		out.will(refuses)
		a.log(all[10:20]...)
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.Flush(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v", err)
		}
		out.will(nil)
		a.flush()
		wantBodies(t, out, "s", all[:20])

		out.will(refuses)
		a.log(all[20:]...)
		soon, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		report, err := a.Close(soon)
		if !errors.Is(err, context.DeadlineExceeded) || report.Unacked != 10 || report.Unsent != 0 || report.First != 21 || report.Last != 30 {
			t.Errorf("close: %v, %+v", err, report)
		}
		var left []string
		for _, r := range report.Records() {
			left = append(left, r.GetBody().GetStringValue())
		}
		if !slices.Equal(left, all[20:]) {
			t.Errorf("left %q", left)
		}
		out.will(nil)

		// An orderly end needs no linger either.
		last := newApp(t, a.client, sluice.StreamOptions{ID: "last", Tag: "app", Linger: time.Minute})
		last.log("bye")
		began = time.Now()
		if report, err := last.Close(t.Context()); err != nil || report.Lost() > 0 || time.Since(began) > time.Second {
			t.Errorf("close: %v, %d lost, after %v", err, report.Lost(), time.Since(began))
		}
		wantBodies(t, out, "last", []string{"bye"})
		a.exit()
		g.stop()
		wantBodies(t, out, "s", all) // the gateway had what Close could not wait for
	})
}
