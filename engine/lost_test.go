package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
)

// A losing buffer cannot read a chunk again that begins with a certain sequence.
type losing struct {
	*memory.Buffer
	first uint64
}

func (b losing) Cursor(output string) (engine.Cursor, error) {
	c, err := b.Buffer.Cursor(output)
	return &losingCursor{c, b.first}, err
}

type losingCursor struct {
	engine.Cursor
	first uint64
}

func (c *losingCursor) Load(ctx context.Context, p engine.Pos) (*engine.Chunk, error) {
	chunk, err := c.Cursor.Load(ctx, p)
	if err == nil && chunk.First == c.first {
		chunk.Release()
		return nil, fmt.Errorf("position %d: %w", p, engine.ErrLost)
	}
	return chunk, err
}

// What cannot be read any more is dropped, and counted, by itself: not what is in one batch with it, and not twice where there are
// dead letters.
func TestAChunkIsLost(t *testing.T) {
	for name, dead := range map[string]bool{"without dead letters": false, "with": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &probe{}
				output := keyed("out", out)
				output.Linger = time.Second
				outputs := []engine.OutputOptions{output}
				if dead {
					outputs[0].DeadLetter = "dead"
					outputs = append(outputs, keyed("dead", &probe{}))
				}
				r := newRig(t, engine.Options{
					Outputs: outputs, Routes: []engine.Route{{Match: "**", Outputs: []string{"out"}}},
					NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return losing{memory.New(outputs), 3}, nil },
				})
				s := r.open(engine.Open{StreamID: "a"})
				for n := uint64(1); n <= 9; n += 2 {
					r.append(s, n, fmt.Sprint(n), fmt.Sprint(n+1))
					time.Sleep(100 * time.Millisecond) // a chunk each
				}
				time.Sleep(time.Minute)
				wantBodies(t, "delivered", out.bodies(), []string{"1", "2", "5", "6", "7", "8", "9", "10"})
				r.wantDone("out", map[string]int64{"delivered": 8, "dropped lost": 2})
				if st := status(s); st.Acked != 10 {
					t.Errorf("acked %d", st.Acked)
				}
				r.finish()
			})
		})
	}
}
