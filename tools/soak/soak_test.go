package main

import (
	"context"
	"errors"
	"flag"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch"
)

// More of the short form: an hour of false time takes some 20 s.
var (
	firstSeed = flag.Uint64("soak.seed", 1, "draws the faults of TestSoak")
	minutes   = flag.Int("soak.minutes", 5, "of false time, of each gateway of TestSoak")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// play runs a trial in a bubble, to its end. Nothing may be left over, of goroutines as of connections.
func play(t *testing.T, c combination, h *bubble, length time.Duration, seed uint64) (r report) {
	t.Helper()
	k := environment(t)
	synctest.Test(t, func(t *testing.T) {
		set := settings{length: length, unit: unit(length), rate: 10, tell: t.Logf}
		trial := newTrial(c, c.String(), seed, set, h, k)
		if err := trial.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r = trial.full()
		if st := trial.cloud.Stats(); st.OpenConnections != 0 || st.InFlight != 0 {
			t.Errorf("%d connections, %d puts are left over", st.OpenConnections, st.InFlight)
		}
	})
	return r
}

// The short form of the soak: some minutes of false time. Everything is delivered, or is the dead letter that it should be.
func TestSoak(t *testing.T) {
	for i, c := range []combination{{"sync", true}, {"keyed", false}, {"concurrent", true}} {
		t.Run(c.String(), func(t *testing.T) {
			r := play(t, c, &bubble{}, time.Duration(*minutes)*time.Minute, *firstSeed+uint64(i))
			for _, fault := range r.faults {
				t.Error(fault)
			}
			n := r.counts
			if n.sent == 0 || n.delivered+n.stale != n.sent || n.dead.stale != n.stale || n.left != 0 {
				t.Errorf("counts %+v", n)
			}
			if len(r.mishaps) == 0 || r.quiet <= minPhases {
				t.Errorf("%d quiet phases, and faults of puts: %s", r.quiet, tally(r.mishaps))
			}
			t.Logf("sent %d, duplicated %d, %d quiet phases, faults of puts %s", n.sent, n.duplicated, r.quiet, tally(r.mishaps))
		})
	}
}

// A spoiled output is one with a bug.
type spoiled struct {
	*cloudwatch.Output
	mu    sync.Mutex // guards what follows
	n     int
	write bug
	ended chan struct{} // closed by Close
}

// A bug is how the n-th Write of a spoiled output goes.
type bug func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error

func (s *spoiled) Write(ctx context.Context, b *engine.Batch) error {
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	return s.write(ctx, n, b, s)
}

func (s *spoiled) Close() error {
	close(s.ended)
	return s.Output.Close()
}

// The soak finds what is wrong with a gateway, and gives it up then.
func TestSoakFindsBugs(t *testing.T) {
	for _, test := range []struct {
		name, fault string
		scheduler   string
		write       bug
	}{
		{
			name: "lost", fault: "records lost",
			write: func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error {
				if n == 50 {
					return nil
				}
				return s.Output.Write(ctx, b)
			},
		},
		{
			name: "stale records dropped", fault: "records lost",
			write: func(ctx context.Context, _ int, b *engine.Batch, s *spoiled) error {
				err := s.Output.Write(ctx, b)
				if p, ok := errors.AsType[*engine.Partial](err); ok {
					return p.Err
				}
				return err
			},
		},
		{
			name: "repeated", fault: "duplicated that no reset",
			write: func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error {
				err := s.Output.Write(ctx, b)
				if n%50 == 0 && err == nil {
					err = engine.Retryable(errors.New("taken for a failure"))
				}
				return err
			},
		},
		{
			name: "overtaken", fault: "reordered", scheduler: "concurrent",
			write: func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error {
				if n%10 == 0 {
					return engine.Retryable(errors.New("not now"))
				}
				return s.Output.Write(ctx, b)
			},
		},
		{
			name: "refused", fault: "refused without a cause",
			write: func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error {
				if n == 50 {
					return &engine.Partial{Rejected: []engine.Rejected{{Range: engine.Range{To: 1}, Reason: "whim"}}}
				}
				return s.Output.Write(ctx, b)
			},
		},
		{
			name: "stuck", fault: "no progress",
			write: func(ctx context.Context, n int, b *engine.Batch, s *spoiled) error {
				if n > 50 {
					return engine.Retryable(errors.New("never again"))
				}
				return s.Output.Write(ctx, b)
			},
		},
		{
			name: "leaking", fault: "goroutines grew",
			write: func(ctx context.Context, _ int, b *engine.Batch, s *spoiled) error {
				go func() { <-s.ended }()
				return s.Output.Write(ctx, b)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &bubble{scheduler: test.scheduler, spoil: func(o *cloudwatch.Output) engine.Output {
				return &spoiled{Output: o, write: test.write, ended: make(chan struct{})}
			}}
			r := play(t, combination{"keyed", true}, h, 5*time.Minute, 7)
			if r.untilFault == 0 || !strings.Contains(strings.Join(r.faults, "; "), test.fault) {
				t.Errorf("failed after %s, for %q", r.untilFault, r.faults)
			}
		})
	}
}
