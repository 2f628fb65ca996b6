package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
)

// A deafBuffer is a memory buffer whose cursors wake nobody.
type deafBuffer struct{ engine.Buffer }

func newDeafBuffer(outputs []engine.BufferOutput) (engine.Buffer, error) {
	return deafBuffer{memory.New(outputs)}, nil
}

func (b deafBuffer) Cursor(output string) (engine.Cursor, error) {
	c, err := b.Buffer.Cursor(output)
	return deafCursor{c}, err
}

type deafCursor struct{ engine.Cursor }

func (deafCursor) Wake() <-chan struct{} { return nil }

// A stream that is paused for what others hold is told when they let go of it: at once, and within a look or two where the
// wake-ups are lost.
func TestResumedWhenOthersRelease(t *testing.T) {
	for name, c := range map[string]struct {
		start  func(engine.Options) (*engine.Engine, error)
		within time.Duration
	}{
		"at once":      {engine.New, 400 * time.Millisecond},
		"without luck": {engine.NewMute, 16 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, theirs := &probe{answer: alwaysDown}, &probe{answer: alwaysDown}
				o, p := keyed("mine", mine), keyed("theirs", theirs)
				o.Share, p.Share = mib, mib
				p.Retry = engine.Retry{Base: 100 * time.Millisecond, Cap: 100 * time.Millisecond}
				r := startRig(t, engine.Options{
					Limits:  engine.Limits{Engine: mib, Stream: mib, GatherBytes: 64 * kib},
					Outputs: []engine.OutputOptions{o, p},
					Routes:  []engine.Route{{Match: "mine", Outputs: []string{"mine"}}, {Match: "theirs", Outputs: []string{"theirs"}}},
				}, c.start)
				me, they := r.open(engine.Open{StreamID: "me", Tag: "mine"}), r.open(engine.Open{StreamID: "they", Tag: "theirs"})
				body := strings.Repeat("x", 50*kib)
				for i := range uint64(10) {
					r.append(they, i+1, body)
				}
				for i := range uint64(5) { // up to the ceiling that this leaves
					r.append(me, i+1, body)
				}
				time.Sleep(time.Minute)
				if st := status(me); st.State != engine.StatePaused || st.Reason != engine.ReasonEngineLimit {
					t.Fatalf("while they hold the engine's memory: %+v", st)
				}
				theirs.will(nil)
				time.Sleep(c.within)
				if st := status(me); st.State != engine.StateActive || st.Held < 250*kib {
					t.Errorf("after they let go of it: %+v", st)
				}
				mine.will(nil)
				time.Sleep(time.Minute)
				r.finish()
			})
		})
	}
}

// Every wake-up is lost, of every loop, and all goes on: what depends on one waits for the next look.
func TestEveryWakeUpIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := 0
		out := &probe{key: byStream}
		out.will(func(context.Context, *engine.Batch) error {
			out.mu.Lock()
			defer out.mu.Unlock()
			if flaky++; flaky%3 == 0 {
				return errDown
			}
			return nil
		})
		other := &probe{}
		lingers := keyed("other", other)
		lingers.Linger = time.Hour
		lingers.Scheduler = lingering(lingers.Linger)
		r := startRig(t, engine.Options{
			Limits:    engine.Limits{Stream: 8 * kib, Engine: mib},
			Outputs:   []engine.OutputOptions{keyed("out", out), lingers},
			NewBuffer: newDeafBuffer,
		}, engine.NewMute)
		const streams, records = 4, 300
		var sessions []*engine.Session
		for i := range streams {
			s := r.open(engine.Open{StreamID: fmt.Sprint("s-", i)})
			sessions = append(sessions, s)
			go func() {
				// As an SDK does, but for its looks at the signal: it just appends, and is held at the ceiling.
				for n := uint64(1); n <= records; n++ {
					if err := s.Append(t.Context(), r.records(n, fmt.Sprintf("%d-%0200d", i, n))); err != nil {
						t.Error(err)
					}
				}
				s.HalfClose()
			}()
		}
		time.Sleep(time.Hour)
		for i, s := range sessions {
			if st := status(s); st.Acked != records || st.Held != 0 {
				t.Errorf("stream %d: %+v", i, st)
			}
		}
		r.finish()
		for i := range streams {
			var want []string
			for n := range records {
				want = append(want, fmt.Sprintf("%d-%0200d", i, n+1))
			}
			wantBodies(t, "delivered", out.ofStream(fmt.Sprint("s-", i)), want)
			wantBodies(t, "delivered to the one that lingers", other.ofStream(fmt.Sprint("s-", i)), want)
		}
	})
}
