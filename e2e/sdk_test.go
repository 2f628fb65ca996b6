package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// A producer that outruns its destination by far is paused and resumed, over and over, and nothing is lost, doubled or out
// of order. What the gateway holds of it never goes over the ceiling by more than an append.
func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, hosts := &destination{}, &network{}
		const limit, appendBytes = 256 << 10, 32 << 10
		g := start(t, hosts.listen("gateway"), engine.Options{
			Limits:  engine.Limits{Stream: limit},
			Outputs: []engine.OutputOptions{keyed("out", out)},
		}, server.Options{})
		var most int64
		out.will(func(ctx context.Context, _ *engine.Batch) error {
			most = max(most, g.engine.Stats().TenantHeld["default"])
			pause(ctx, 200*time.Millisecond)
			return ctx.Err()
		})
		var pauses, resumes atomic.Int64
		client := hosts.client(t, "gateway")
		stream, err := client.Stream(t.Context(), sluice.StreamOptions{
			ID: "s", Tag: "app", BatchBytes: appendBytes, QueueBytes: 64 << 10,
			Hooks: sluice.Hooks{
				OnPause: func(p sluice.Pause) {
					pauses.Add(1)
					if p.Reason != sluicev1.Reason_REASON_STREAM_LIMIT || p.HeldBytes < limit || p.LimitBytes != limit {
						t.Errorf("pause %+v", p)
					}
				},
				OnResume: func(r sluice.Resume) {
					resumes.Add(1)
					if r.HeldBytes >= limit || r.Paused <= 0 { // more may have come since it fell to the resume mark
						t.Errorf("resume %+v", r)
					}
				},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := padded(5_000, 1_000)
		for _, body := range all {
			if err := stream.Log(t.Context(), body); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		st := stream.Stats()
		if st.Pauses < 5 || st.Resent != 0 || st.Reconnects != 0 || st.Dropped.Total() != 0 || st.PausedFor <= 0 {
			t.Errorf("stats %+v", st)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if pauses.Load() == 0 || pauses.Load() != resumes.Load() || uint64(pauses.Load()) > st.Pauses {
			t.Errorf("told of %d pauses and %d resumes, of %d", pauses.Load(), resumes.Load(), st.Pauses)
		}
		if most <= limit || most > 2*limit+appendBytes {
			t.Errorf("the gateway held up to %d bytes", most)
		}
		if n := g.engine.Stats().Pauses[engine.ReasonStreamLimit]; uint64(n) < st.Pauses {
			t.Errorf("%d pauses counted", n)
		}
		out.will(nil)
		g.stop()
		wantBodies(t, out, "s", all)
	})
}

func padded(n, size int) []string {
	all := numbered(n)
	for i := range all {
		all[i] += strings.Repeat(".", size-len(all[i]))
	}
	return all
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
		client, err := sluice.New("two:///gateways", sluice.WithPlaintext(),
			sluice.WithDialOptions(grpc.WithContextDialer(hosts.dial), grpc.WithResolvers(addresses)))
		if err != nil {
			t.Fatal(err)
		}
		const streams, each = 6, 2_000
		all := numbered(each)
		var logging sync.WaitGroup
		var made []*sluice.Stream
		for i := range streams {
			s, err := client.Stream(t.Context(), sluice.StreamOptions{ID: fmt.Sprint("s", i), Tag: "app"})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, s)
			logging.Go(func() {
				for _, body := range all {
					if err := s.Log(t.Context(), body); err != nil {
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
		for i, s := range made {
			if report, err := s.Close(t.Context()); err != nil || report.Lost() > 0 {
				t.Errorf("stream %d: %v, %d lost", i, err, report.Lost())
			}
			st := s.Stats()
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
		client := hosts.client(t, "gateway")
		stream, err := client.Stream(t.Context(), sluice.StreamOptions{ID: "s", Tag: "app", Linger: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		all := numbered(30)
		logAll := func(bodies []string) {
			t.Helper()
			for _, body := range bodies {
				if err := stream.Log(t.Context(), body); err != nil {
					t.Error(err)
				}
			}
		}
		logAll(all[:10])
		time.Sleep(10 * time.Minute)
		if n := len(out.bodies("s")); n != 0 {
			t.Errorf("%d records came before their linger was over", n)
		}
		began := time.Now()
		if err := stream.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("flush took %v", took)
		}
		wantBodies(t, out, "s", all[:10])

		// Flush gives up with its context, and loses nothing by it.
		out.will(func(context.Context, *engine.Batch) error { return errors.New("not now") })
		logAll(all[10:20])
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := stream.Flush(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v", err)
		}
		out.will(nil)
		if err := stream.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		wantBodies(t, out, "s", all[:20])

		out.will(func(context.Context, *engine.Batch) error { return errors.New("not now") })
		logAll(all[20:])
		soon, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		report, err := stream.Close(soon)
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
		last, err := client.Stream(t.Context(), sluice.StreamOptions{ID: "last", Tag: "app", Linger: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := last.Log(t.Context(), "bye"); err != nil {
			t.Error(err)
		}
		began = time.Now()
		if report, err := last.Close(t.Context()); err != nil || report.Lost() > 0 || time.Since(began) > time.Second {
			t.Errorf("close: %v, %d lost, after %v", err, report.Lost(), time.Since(began))
		}
		wantBodies(t, out, "last", []string{"bye"})
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		g.stop()
		wantBodies(t, out, "s", all) // the gateway had what Close could not wait for
	})
}
