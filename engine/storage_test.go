package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
)

// A storing buffer says that it is durable: what it takes is safe at once.
type storing struct {
	*memory.Buffer

	mu          sync.Mutex // guards what follows
	used, limit int64
	streams     map[string]int64 // tenant/stream
	slow        bool             // what it takes is not safe before it is flushed
	unsafe      []func()
}

// flush makes all safe that is not yet.
func (s *storing) flush() {
	s.mu.Lock()
	tell := s.unsafe
	s.unsafe = nil
	s.mu.Unlock()
	for _, safe := range tell {
		safe()
	}
}

// set says how much is in use.
func (s *storing) set(used int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = used
}

func (*storing) Durable() bool { return true }

func (s *storing) Append(cs []*engine.Chunk, safe func()) (bool, error) {
	s.mu.Lock()
	if s.slow {
		s.unsafe = append(s.unsafe, safe)
	}
	already := !s.slow
	s.mu.Unlock()
	_, err := s.Buffer.Append(cs, func() {})
	return already, err
}

func (s *storing) Storage() (used, limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.limit
}

func (s *storing) Stored(tenant, stream string) (ofStream, ofTenant int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, bytes := range s.streams {
		if strings.HasPrefix(name, tenant+"/") {
			ofTenant += bytes
		}
	}
	return s.streams[tenant+"/"+stream], ofTenant
}

// newStoring starts an engine on a storing buffer. Without routes all goes to all outputs.
func newStoring(t *testing.T, routes []engine.Route, outputs ...engine.OutputOptions) (*rig, *storing) {
	b := &storing{}
	return newRig(t, engine.Options{
		Outputs: outputs,
		Routes:  routes,
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
			b.Buffer = memory.New(outputs)
			return b, nil
		},
	}), b
}

// Where acks say that the disk has it, streams are paused by the share of an output that does not keep up, others are not, and a
// producer that goes on is held at the share's ceiling.
func TestAFullShareOfADurableBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const share = 20 << 10
		down := func(context.Context, *engine.Batch) error { return errDown }
		dead, well := keyed("dead", &probe{answer: down}), keyed("well", &probe{})
		dead.Share, well.Share = share, share
		r, _ := newStoring(t, []engine.Route{{Match: "a", Outputs: []string{"dead"}}, {Match: "b", Outputs: []string{"well"}}}, dead, well)
		a, other := r.open(engine.Open{StreamID: "a", Tag: "a"}), r.open(engine.Open{StreamID: "b", Tag: "b"})
		n := uint64(0)
		for ; status(a).State == engine.StateActive; n++ {
			r.append(a, n+1, string(make([]byte, 1000)))
			r.append(other, n+1, string(make([]byte, 1000)))
			time.Sleep(100 * time.Millisecond)
		}
		st := status(a)
		if used := r.output("dead").ShareUsed; st.State != engine.StatePaused || st.Reason != engine.ReasonBufferFull || st.Acked != n ||
			used < share || used > share+4<<10 {
			t.Errorf("%+v with %d of %d bytes stored", st, used, share)
		}
		if st := status(other); st.State != engine.StateActive {
			t.Errorf("the other output's stream: %+v", st)
		}
		for { // it goes on
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := a.Append(ctx, r.records(n+1, string(make([]byte, 1000))))
			cancel()
			if err != nil {
				break
			}
			n++
			time.Sleep(100 * time.Millisecond)
		}
		if used := r.output("dead").ShareUsed; used < share*5/4 || used > share*5/4+4<<10 {
			t.Errorf("held at %d bytes, with a share of %d", used, share)
		}
		dead.Output.(*probe).will(nil)
		time.Sleep(time.Minute)
		if st := status(a); st.State != engine.StateActive {
			t.Errorf("after the output is well: %+v", st)
		}
		r.finish()
	})
}

// Where all that may be stored is in use, all streams are paused until a fifth of it is free.
func TestAFullStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newStoring(t, nil, keyed("out", &probe{}))
		b.limit = 1000
		s := r.open(engine.Open{StreamID: "a"})
		n := uint64(0)
		for _, step := range []struct {
			used  int64
			state engine.State
		}{{999, engine.StateActive}, {1000, engine.StatePaused}, {801, engine.StatePaused}, {800, engine.StateActive}, {900, engine.StateActive}} {
			b.set(step.used)
			n++
			r.append(s, n, "x")
			time.Sleep(time.Minute)
			if st := status(s); st.State != step.state || st.State == engine.StatePaused && st.Reason != engine.ReasonBufferFull {
				t.Errorf("%d of 1000 bytes in use: %+v", step.used, st)
			}
		}
		r.finish()
	})
}

// A stream, and a tenant, may have a limit of their own in the room; and where many want all of it, those that want little are not
// paused for them.
func TestStorageOfStreamsAndTenants(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		limits        engine.Limits
		used          int64
		greedy, quiet int64
		full          map[string]bool
	}{
		"no limit of their own":   {used: 50 * mib, greedy: 50 * mib, full: map[string]bool{"greedy": false, "quiet": false}},
		"most of the room":        {used: 89 * mib, greedy: 89 * mib, quiet: 1000, full: map[string]bool{"greedy": true, "quiet": false}},
		"all of the room":         {used: 100 * mib, greedy: 88 * mib, quiet: 1000, full: map[string]bool{"quiet": true}},
		"what others of it store": {used: 90 * mib, greedy: 88 * mib, quiet: mib, full: map[string]bool{"greedy": true, "quiet": true}},
		"the stream's limit": {
			limits: engine.Limits{StoredStream: 10 * mib}, used: 10 * mib, greedy: 10 * mib, quiet: 9 * mib,
			full: map[string]bool{"greedy": true, "quiet": false},
		},
		"the tenant's limit": {
			limits: engine.Limits{StoredTenant: 10 * mib}, used: 10 * mib, greedy: 9 * mib, quiet: mib,
			full: map[string]bool{"greedy": true, "quiet": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &storing{limit: 100 * mib, used: c.used, streams: map[string]int64{"default/greedy": c.greedy, "default/quiet": c.quiet}}
				out := keyed("out", &probe{})
				out.Share = 100 * mib
				r := newRig(t, engine.Options{
					Limits: c.limits, Outputs: []engine.OutputOptions{out},
					NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
						b.Buffer = memory.New(outputs)
						return b, nil
					},
				})
				for id, full := range c.full {
					s := r.open(engine.Open{StreamID: id})
					r.append(s, 1, "x")
					if st := status(s); (st.Reason == engine.ReasonBufferFull) != full || (st.State == engine.StatePaused) != full {
						t.Errorf("%s: %+v, want full: %t", id, st, full)
					}
				}
				r.finish()
			})
		})
	}
}

// What flies pins no more than its output may read back, and one batch; the rest waits for a landing, however many slots are free.
func TestReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: func(ctx context.Context, _ *engine.Batch) error {
			time.Sleep(time.Second)
			return ctx.Err()
		}}
		output := keyed("out", out)
		output.Scheduler, output.ReadBack = schedule.NewKeyed(engine.BatchLimits{}, schedule.Fixed(16)), 100*kib
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{output}, Limits: engine.Limits{GatherDelay: time.Millisecond}})
		for i := range 12 {
			r.append(r.open(engine.Open{StreamID: fmt.Sprint(i)}), 1, strings.Repeat("x", 30*kib)) // a slab of 32 KiB
		}
		for _, want := range []int{4, 4, 4} {
			synctest.Wait()
			time.Sleep(500 * time.Millisecond)
			if st := r.output("out"); st.InFlight != want {
				t.Errorf("%d batches fly, want %d", st.InFlight, want)
			}
			time.Sleep(500 * time.Millisecond)
		}
		r.finish()
	})
}

// A stream that was paused for others want room, too, resumes when it has less of it, though all of the room is fuller than where those
// resume that were paused for there was none.
func TestWhatPausedAStreamResumesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		out := keyed("out", &probe{})
		out.Share = 100 * mib
		r, b := newStoring(t, nil, out)
		b.limit, b.used, b.streams = 100*mib, 95*mib, map[string]int64{"default/s": 41 * mib}
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "x")
		for _, step := range []struct {
			used, stored int64
			state        engine.State
		}{
			{95 * mib, 41 * mib, engine.StatePaused},
			{95 * mib, 33 * mib, engine.StatePaused},
			{95 * mib, 31 * mib, engine.StateActive},
			{100 * mib, 1, engine.StatePaused}, // there is no room at all
			{95 * mib, 1, engine.StatePaused},
			{80 * mib, 1, engine.StateActive},
		} {
			b.set(step.used)
			b.mu.Lock()
			b.streams["default/s"] = step.stored
			b.mu.Unlock()
			if step.used == 100*mib {
				r.append(s, 2, "x")
			}
			time.Sleep(time.Minute)
			if st := status(s); st.State != step.state {
				t.Errorf("%d MiB used, %d stored: %+v", step.used/mib, step.stored/mib, st)
			}
		}
		b.set(0)
		r.finish()
	})
}

// A disk that is slow for a moment pauses a stream for what it holds. That is over when it is safe, however full the room is, as long as
// there is some; and where there is none by then, that is what the producer is told.
func TestAPauseForMemoryIsNotOneForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := keyed("out", &probe{})
		r, b := newStoring(t, nil, out)
		b.limit, b.used = 1000, 990
		s := r.open(engine.Open{StreamID: "s"})
		n := uint64(0)
		fill := func() {
			b.mu.Lock()
			b.slow = true
			b.mu.Unlock()
			for status(s).State == engine.StateActive {
				n++
				r.append(s, n, strings.Repeat("x", 300*kib))
				time.Sleep(time.Second)
			}
		}
		wait := func(state engine.State, reason engine.Reason) {
			t.Helper()
			time.Sleep(time.Minute)
			if st := status(s); st.State != state || st.Reason != reason {
				t.Errorf("%+v", st)
			}
		}
		fill()
		wait(engine.StatePaused, engine.ReasonStreamLimit)
		b.flush()
		wait(engine.StateActive, engine.ReasonNone)
		fill()
		b.set(1000)
		wait(engine.StatePaused, engine.ReasonBufferFull)
		b.flush()
		b.set(900)
		wait(engine.StatePaused, engine.ReasonBufferFull)
		b.set(800)
		wait(engine.StateActive, engine.ReasonNone)
		b.set(0)
		r.finish()
	})
}

// A pinning buffer is one whose room is free again by pieces, of which so much is kept for each output.
type pinning struct {
	storing
	kept atomic.Int64
}

func (b *pinning) Cursor(output string) (engine.Cursor, error) {
	c, err := b.Buffer.Cursor(output)
	return pinningCursor{c, &b.kept}, err
}

type pinningCursor struct {
	engine.Cursor
	kept *atomic.Int64
}

func (c pinningCursor) Pinned() int64 { return c.kept.Load() }

// What is kept for an output pauses its streams, and is what is told of its share.
func TestWhatIsKeptForAnOutputIsOfItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const share = 20 << 10
		down := keyed("down", &probe{answer: alwaysDown})
		down.Share = share
		b := &pinning{}
		b.kept.Store(share)
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{down},
			NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
				b.Buffer = memory.New(outputs)
				return b, nil
			},
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "one record")
		time.Sleep(time.Second)
		if st := status(s); st.State != engine.StatePaused || st.Reason != engine.ReasonBufferFull {
			t.Errorf("%+v", st)
		}
		if st := r.output("down"); st.ShareUsed != share || st.ShareLimit != share {
			t.Errorf("told %d of %d", st.ShareUsed, st.ShareLimit)
		}
		b.kept.Store(0)
		down.Output.(*probe).will(nil)
		r.finish()
	})
}
