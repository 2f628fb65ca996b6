package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A pile is a store of letters in memory.
type pile struct {
	letters []*engine.Letter
	removed []uint64
}

func (p *pile) Letters(_ context.Context, f engine.LetterFilter) iter.Seq2[*engine.Letter, error] {
	return func(yield func(*engine.Letter, error) bool) {
		for _, l := range slices.Clone(p.letters) {
			if f.Matches(l) && !yield(l, nil) {
				return
			}
		}
	}
}

func (p *pile) Remove(_ context.Context, ids []uint64) error {
	p.removed = append(p.removed, ids...)
	p.letters = slices.DeleteFunc(p.letters, func(l *engine.Letter) bool { return slices.Contains(ids, l.ID) })
	return nil
}

// add adds a letter of the stream for an output.
func (p *pile) add(output, stream string, sequence uint64) {
	id := uint64(len(p.letters) + len(p.removed) + 1)
	p.letters = append(p.letters, &engine.Letter{
		ID: id, DeadLetter: engine.DeadLetter{Output: output, Reason: "http_400"}, Tenant: "default", StreamID: stream, Tag: "t",
		Epoch: 7, Sequence: sequence, Arrived: time.Now(), Resource: enginetest.Resource("host.name", "h"),
		Record: engine.Record{Wire: enginetest.Record(sequence, fmt.Sprint(stream, sequence))},
	})
}

// What is replayed comes to the output that refused it, in order, with what it had, and to no other one; and it is out of the store.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, other := &probe{key: byStream}, &probe{}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out), keyed("other", other)}})
		store := &pile{}
		for n := uint64(1); n <= 3000; n++ {
			store.add("out", "a", n)
			if n%2 == 0 {
				store.add("out", "b", 10*n)
			}
		}
		store.add("other", "c", 1)
		var told []int64
		n, err := r.Replay(t.Context(), store, engine.LetterFilter{Output: "out"}, func(n int64) { told = append(told, n) })
		if err != nil || n != 4500 || len(store.letters) != 1 || told[len(told)-1] != 4500 || len(told) < 4 {
			t.Errorf("replayed %d: %v; %d letters are left; told %d", n, err, len(store.letters), told)
		}
		r.finish()
		var got = map[string][]uint64{}
		for _, d := range out.taken() {
			if d.body != fmt.Sprint(d.stream, d.sequence) {
				t.Errorf("%s %d is %q", d.stream, d.sequence, d.body)
			}
			got[d.stream] = append(got[d.stream], d.sequence)
		}
		if len(got["a"]) != 3000 || !slices.IsSorted(got["a"]) || len(got["b"]) != 1500 || !slices.IsSorted(got["b"]) {
			t.Errorf("%d and %d records came, in order: %t, %t", len(got["a"]), len(got["b"]), slices.IsSorted(got["a"]), slices.IsSorted(got["b"]))
		}
		if len(other.taken()) > 0 {
			t.Errorf("the other output was given %d", len(other.taken()))
		}
	})
}

// What cannot be replayed stays: letters for an output that there is not, and what was not safe when the replay was ended.
func TestReplayInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}})
		store := &pile{}
		store.add("gone", "a", 1)
		store.add("out", "a", 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := r.Replay(ctx, store, engine.LetterFilter{}, nil)
		if n != 0 || !errors.Is(err, engine.ErrNoOutput) || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), `"gone"`) || len(store.letters) != 2 {
			t.Errorf("replayed %d: %v; %d letters are left", n, err, len(store.letters))
		}
		out.will(nil)
		r.finish()
	})
}

// An engine that is closed ends a replay, and waits until what was on its way is out of the store: or it would be replayed again.
func TestCloseEndsAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newSlowDisk(t, &probe{})
		store := &pile{}
		store.add("out", "a", 1)
		replayed := make(chan error, 1)
		go func() {
			_, err := r.Replay(t.Context(), store, engine.LetterFilter{}, nil)
			replayed <- err
		}()
		time.Sleep(time.Second)
		go func() {
			time.Sleep(time.Second)
			d.sync()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.Close(ctx); err != nil {
			t.Error(err)
		}
		if len(store.letters) > 0 {
			t.Error("the letter is still in the store, and its record is in the buffer")
		}
		if err := <-replayed; err != nil {
			t.Error(err)
		}
		if n, err := r.Replay(t.Context(), store, engine.LetterFilter{}, nil); n != 0 || err == nil {
			t.Errorf("a replay of a closed engine: %d, %v", n, err)
		}
	})
}

// A replay waits while there is no room for it, like any producer.
func TestReplayWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{answer: alwaysDown}
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{keyed("out", out)}, Limits: engine.Limits{Engine: mib}})
		s := r.open(engine.Open{StreamID: "s"})
		n := uint64(0)
		for ; status(s).State == engine.StateActive; n++ {
			r.append(s, n+1, strings.Repeat("x", 4*kib))
			time.Sleep(time.Second)
		}
		store := &pile{}
		for i := range uint64(1000) {
			store.add("out", fmt.Sprint(strings.Repeat("s", kib), i), 1)
		}
		done := make(chan error)
		go func() {
			_, err := r.Replay(t.Context(), store, engine.LetterFilter{}, nil)
			done <- err
		}()
		time.Sleep(time.Minute)
		if held := r.Stats().Held; held > mib || held < mib-4*kib {
			t.Errorf("%d bytes are held", held)
		}
		out.will(nil)
		if err := <-done; err != nil || len(store.letters) > 0 {
			t.Errorf("%v; %d letters are left", err, len(store.letters))
		}
		r.finish()
	})
}
