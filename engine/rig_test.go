package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is an engine on the memory buffer, with outputs that do as they are told.
type rig struct {
	*engine.Engine
	t testing.TB
}

// newRig starts an engine. What options leave out: the memory buffer, and one route that takes all to all outputs.
func newRig(t testing.TB, o engine.Options) *rig {
	t.Helper()
	return startRig(t, o, engine.New)
}

func startRig(t testing.TB, o engine.Options, start func(engine.Options) (*engine.Engine, error)) *rig {
	t.Helper()
	if o.NewBuffer == nil {
		o.NewBuffer = func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil }
	}
	if o.Routes == nil {
		all := engine.Route{Match: "**"}
		for _, out := range o.Outputs {
			all.Outputs = append(all.Outputs, out.Name)
		}
		o.Routes = []engine.Route{all}
	}
	e, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Engine: e, t: t}
}

// finish drains and closes the engine, which must have delivered everything and hold nothing.
func (r *rig) finish() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		r.t.Errorf("drain: %v", err)
	}
	left, err := r.Close(ctx)
	if err != nil || len(left) > 0 {
		r.t.Errorf("close: %v, undelivered %v", err, left)
	}
	r.atRest()
}

// atRest checks that every meter reads 0.
func (r *rig) atRest() {
	r.t.Helper()
	st := r.Stats()
	if st.Held != 0 {
		r.t.Errorf("engine holds %d bytes at rest", st.Held)
	}
	for tenant, held := range st.TenantHeld {
		if held != 0 {
			r.t.Errorf("tenant %q holds %d bytes at rest", tenant, held)
		}
	}
	for _, out := range st.Outputs {
		if out.ShareUsed != 0 || out.Backlog.Chunks != 0 || out.Backlog.Bytes != 0 {
			r.t.Errorf("output %q at rest: share %d, backlog %+v", out.Name, out.ShareUsed, out.Backlog)
		}
	}
}

// open opens a stream, or fails the test.
func (r *rig) open(o engine.Open) *engine.Session {
	r.t.Helper()
	o.Tenant = "default"
	if o.Tag == "" {
		o.Tag = "test"
	}
	s, err := r.Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// append admits records with these bodies, or fails the test.
func (r *rig) append(s *engine.Session, first uint64, bodies ...string) {
	r.t.Helper()
	if err := s.Append(context.Background(), r.records(first, bodies...)); err != nil {
		r.t.Fatal(err)
	}
}

// records makes an append as the server does: the records' fields in a slab of the engine's.
func (r *rig) records(first uint64, bodies ...string) *engine.Append {
	var data []byte
	for i, body := range bodies {
		data = protowire.AppendTag(data, 2, protowire.BytesType)
		data = protowire.AppendBytes(data, enginetest.Record(first+uint64(i), body))
	}
	slab := r.Slabs().Get(len(data))
	slab.B = append(slab.B, data...)
	return &engine.Append{First: first, Count: len(bodies), Data: slab.B, Slab: slab}
}

// status is the stream's newest one.
func status(s *engine.Session) engine.Status {
	st, _, _ := s.Poll()
	return st
}

// An answer is what an output does with a batch. Nil takes everything.
type answer func(ctx context.Context, b *engine.Batch) error

// A probe is an output that keeps what it was given and answers as it is told.
type probe struct {
	key func(c *engine.Chunk, r engine.Record) string // nil: a single key

	mu     sync.Mutex // guards what follows
	answer answer
	got    []taken
	writes int
}

type taken struct {
	key, stream, body string
	sequence          uint64
	dead              *engine.DeadLetter
	at                time.Time
}

// Write answers as told, and keeps what that answer says was delivered.
func (p *probe) Write(ctx context.Context, b *engine.Batch) error {
	p.mu.Lock()
	p.writes++
	answer := p.answer
	p.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(ctx, b)
	}
	p.keep(b, err)
	return err
}

func (p *probe) keep(b *engine.Batch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range b.All() {
		if !delivered(i, err) {
			continue
		}
		p.got = append(p.got, taken{
			key: b.Key, stream: r.Chunk.Stream.ID, body: enginetest.Body(r.Record), sequence: r.Sequence, dead: r.Dead, at: time.Now(),
		})
	}
}

func delivered(i int, err error) bool {
	if part, ok := err.(*engine.Partial); ok { //nolint:errorlint // the probe answers it bare
		for _, r := range part.Delivered {
			if i >= r.From && i < r.To {
				return true
			}
		}
		return false
	}
	return err == nil
}

// PerRecord and AppendKey make the probe a Keyer; without a key function all records have one key.
func (p *probe) PerRecord(*engine.Chunk) bool { return p.key != nil }

func (p *probe) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	if p.key == nil {
		return dst
	}
	return append(dst, p.key(c, r)...)
}

// will sets what the probe answers from now on.
func (p *probe) will(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = a
}

// taken is a copy of what was delivered so far.
func (p *probe) taken() []taken {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]taken(nil), p.got...)
}

func (p *probe) bodies() []string {
	var all []string
	for _, t := range p.taken() {
		all = append(all, t.body)
	}
	return all
}

// keyed is an output on a keyed scheduler without linger.
func keyed(name string, out engine.Output) engine.OutputOptions {
	limits := engine.BatchLimits{MaxRecords: 1000, MaxBytes: 1 << 20}
	return engine.OutputOptions{Name: name, Output: out, Scheduler: schedule.NewKeyed(limits, schedule.Fixed(4))}
}

// numbered makes n bodies: prefix-1, prefix-2 ...
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i+1)
	}
	return all
}

// lingering is a keyed scheduler with large batches that wait for each other.
func lingering(linger time.Duration) engine.Scheduler {
	limits := engine.BatchLimits{MaxRecords: 10_000, MaxBytes: 1 << 20, Linger: linger}
	return schedule.NewKeyed(limits, schedule.Fixed(4))
}
