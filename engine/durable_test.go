package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/memory"
)

// A slow disk is a durable buffer whose chunks are safe when it is told so, or never.
type slowDisk struct {
	*memory.Buffer
	hang chan struct{} // that Close waits for; nil: it does not

	mu    sync.Mutex
	safes []func()
}

func (*slowDisk) Durable() bool { return true }

func (d *slowDisk) Append(cs []*engine.Chunk, safe func()) (bool, error) {
	d.mu.Lock()
	d.safes = append(d.safes, safe)
	d.mu.Unlock()
	_, err := d.Buffer.Append(cs, func() {})
	return false, err
}

// sync makes all that was appended safe.
func (d *slowDisk) sync() {
	d.mu.Lock()
	safes := d.safes
	d.safes = nil
	d.mu.Unlock()
	for _, safe := range safes {
		safe()
	}
}

func (d *slowDisk) Close() error {
	if d.hang != nil {
		<-d.hang
	}
	return d.Buffer.Close()
}

func newSlowDisk(t *testing.T, out *probe) (*rig, *slowDisk) {
	d := &slowDisk{}
	return newRig(t, engine.Options{
		Outputs: []engine.OutputOptions{keyed("out", out)},
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) {
			d.Buffer = memory.New(outputs)
			return d, nil
		},
	}), d
}

// A call without a session is answered when what it brought is stored, or its caller waits no longer.
func TestSendWaitsUntilItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newSlowDisk(t, &probe{})
		open := engine.Open{Tenant: "default", Tag: "t"}
		type answer struct {
			st  engine.Status
			err error
		}
		answers := make(chan answer, 1)
		go func() {
			st, err := r.Send(t.Context(), open, r.records(0, "a", "b"))
			answers <- answer{st, err}
		}()
		time.Sleep(time.Minute)
		if len(answers) > 0 {
			t.Fatal("answered before it was stored")
		}
		d.sync()
		if a := <-answers; a.err != nil || a.st.Acked != 2 || a.st.Held != 0 {
			t.Errorf("%+v, %v", a.st, a.err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Send(ctx, open, r.records(0, "c")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its deadline: %v", err)
		}
		d.sync()
		r.finish()
	})
}

// When it ends it tells what the buffer keeps, by output, and what was not stored, by stream.
func TestCloseOfADurableBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newSlowDisk(t, &probe{answer: alwaysDown})
		stored, unstored := r.open(engine.Open{StreamID: "stored"}), r.open(engine.Open{StreamID: "unstored"})
		r.append(stored, 1, "a", "b", "c")
		time.Sleep(time.Second)
		d.sync()
		r.append(stored, 4, "d")
		r.append(unstored, 1, "e", "f")
		left, err := r.Close(t.Context())
		if err != nil {
			t.Error(err)
		}
		var told []string
		for _, u := range left {
			if u.Kept {
				told = append(told, "kept for "+u.Output)
			} else {
				told = append(told, "not stored of "+u.Stream.ID)
			}
		}
		want := []string{"not stored of stored", "not stored of unstored", "kept for out"}
		if !slices.Equal(told, want) || left[0].Records != 1 || left[1].Records != 2 || left[2].Records != 3 {
			t.Errorf("%q: %+v", told, left)
		}
		if st := status(stored); st.Acked != 3 {
			t.Errorf("acked %d", st.Acked)
		}
	})
}

// A buffer that hangs when it is closed is told, and waited for no longer than the deadline and a moment.
func TestCloseOfABufferThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newSlowDisk(t, &probe{})
		d.hang = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := r.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 12*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(d.hang)
	})
}
