package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
)

// A large buffer is one whose cursor says what it gave out, as those do that are larger than memory.
type large struct {
	*memory.Buffer
	given atomic.Int64
}

func (b *large) Cursor(output string) (engine.Cursor, error) {
	c, err := b.Buffer.Cursor(output)
	return &largeCursor{c, b}, err
}

type largeCursor struct {
	engine.Cursor
	buffer *large
}

func (c *largeCursor) Next() (engine.Part, *engine.Chunk, bool) {
	p, chunk, ok := c.Cursor.Next()
	if ok {
		c.buffer.given.Add(chunk.Charge())
	}
	return p, chunk, ok
}

func (c *largeCursor) Given() int64 { return c.buffer.given.Load() }

// newLarge starts an engine on a large buffer, with an output that has so many slots.
func newLarge(t *testing.T, out *probe, slots int) (*rig, *large) {
	b := &large{}
	output := keyed("out", out)
	output.Scheduler = schedule.NewKeyed(engine.BatchLimits{MaxBytes: mib}, schedule.Fixed(slots))
	return newRig(t, engine.Options{
		Limits: engine.Limits{Stream: 256 * mib}, Outputs: []engine.OutputOptions{output},
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
			b.Buffer = memory.New(outputs)
			return b, nil
		},
	}), b
}

// heap appends so many chunks of about 300 KiB.
func (r *rig) heap(stream string, chunks int) {
	s := r.open(engine.Open{StreamID: stream})
	for i := range chunks {
		r.append(s, uint64(i+1), strings.Repeat("x", 300*kib))
	}
}

// What does not fit in memory is read ahead as far as is likely to fly soon, and no further while all slots are taken.
func TestReadAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: func(ctx context.Context, _ *engine.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		r, b := newLarge(t, out, 1)
		r.heap("a", 300)
		time.Sleep(time.Second)
		if given := b.given.Load(); given < 32*mib || given > 33*mib {
			t.Errorf("%d MiB are read ahead, want 32", given/mib)
		}
		out.will(nil)
		r.finish()
	})
}

// Where nothing of what was read may fly, and there are slots, it is read on: what is behind a key that backs off does not wait for it.
func TestReadAheadGoesOnBehindAKeyThatBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: func(_ context.Context, b *engine.Batch) error {
			if b.Key == "dead" {
				return errDown
			}
			return nil
		}}
		r, _ := newLarge(t, out, 4)
		r.heap("dead", 300)
		for i := range 3 {
			r.heap(fmt.Sprint("well-", i), 1)
		}
		time.Sleep(time.Second)
		if n := len(out.taken()); n != 3 {
			t.Errorf("%d records are delivered behind the key that backs off, want 3", n)
		}
		out.will(nil)
		r.finish()
	})
}

// What an output refuses waits for its dead letters to be safe. While they are not, no more is read than can be remembered.
func TestReadAheadOfWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(context.Context, *engine.Batch) error { return engine.Permanent("no", errDown) }
		b := &large{}
		output, dead := keyed("out", &probe{answer: refuse}), &probe{answer: alwaysDown}
		output.DeadLetter = "dead"
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Stream: 256 * mib, GatherBytes: 2 * kib},
			Outputs: []engine.OutputOptions{output, keyed("dead", dead)}, Routes: []engine.Route{{Match: "**", Outputs: []string{"out"}}},
			NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
				b.Buffer = memory.New(outputs)
				return b, nil
			},
		})
		s := r.open(engine.Open{StreamID: "s"})
		const records = 150_000
		for n := uint64(1); n <= records; n += 100 {
			r.append(s, n, numbered("x", 100)...)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		most := 256 * mib / 8 / 512 / 2 // an eighth of the engine's limit, for two outputs
		if waiting := r.output("dead").Waiting; waiting > most+1000 || waiting < 10 {
			t.Errorf("%d spans wait for their dead letters to be safe, at most %d may be read", waiting, most)
		}
		if given, all := b.given.Load(), r.output("out").Backlog.Bytes; given > all*9/10 {
			t.Errorf("%d of %d bytes were read", given, all)
		}
		dead.will(nil)
		r.finish()
		if n := len(dead.taken()); n != records {
			t.Errorf("%d dead letters, want %d", n, records)
		}
	})
}

// What is refused once more on its way, by the output for dead letters, is remembered by the output that refused it first, and no longer
// than it takes to be safe: both read on.
func TestReadAheadOfWhatIsRefusedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(context.Context, *engine.Batch) error { return engine.Permanent("no", errDown) }
		out, second, last := &probe{answer: refuse}, &probe{answer: refuse}, &probe{}
		first, middle := keyed("first", out), keyed("second", second)
		first.DeadLetter, middle.DeadLetter = "second", "last"
		b := &large{}
		r := newRig(t, engine.Options{
			Limits: engine.Limits{Stream: 256 * mib}, Outputs: []engine.OutputOptions{first, middle, keyed("last", last)},
			Routes: []engine.Route{{Match: "a", Outputs: []string{"first"}}, {Match: "b", Outputs: []string{"second"}}},
			NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
				b.Buffer = memory.New(outputs)
				return b, nil
			},
		})
		a := r.open(engine.Open{StreamID: "a", Tag: "a"})
		const records = 30_000 // more than may be remembered: a third of 256 MiB / 8 / 512
		for n := uint64(1); n <= records; n += 1000 {
			r.append(a, n, numbered("x", 1000)...)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if n := len(last.taken()); n != records {
			t.Errorf("%d dead letters of those refused twice, want %d", n, records)
		}
		out.will(nil)
		second.will(nil)
		r.append(a, records+1, "one more")
		r.append(r.open(engine.Open{StreamID: "b", Tag: "b"}), 1, "and one")
		time.Sleep(time.Minute)
		if len(out.taken()) != 1 || len(second.taken()) != 1 {
			t.Errorf("then %d and %d are delivered, want one each", len(out.taken()), len(second.taken()))
		}
		r.finish()
	})
}
