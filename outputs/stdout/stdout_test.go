package stdout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/render"
)

// A pipe takes so many bytes more and then no more.
type pipe struct {
	mu    sync.Mutex // guards what follows
	text  bytes.Buffer
	calls int
	full  bool
	room  int
}

var errPipe = errors.New("broken pipe")

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if !p.full || len(b) <= p.room {
		p.room -= len(b)
		return p.text.Write(b)
	}
	n, _ := p.text.Write(b[:p.room])
	p.room = 0
	return n, errPipe
}

func (p *pipe) limit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.room = n >= 0, n
}

func (p *pipe) bodies(t testing.TB) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var bodies []string
	for line := range strings.Lines(p.text.String()) {
		var r struct{ Body any }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			continue // a line that was torn, which the conformance suite finds missing where it counts
		}
		body, _ := r.Body.(string)
		bodies = append(bodies, body)
	}
	return bodies
}

func TestConformance(t *testing.T) {
	enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
		var p pipe
		o, err := New(Options{Writer: &p})
		if err != nil {
			t.Fatal(err)
		}
		return enginetest.OutputFixture{Output: o, Delivered: p.bodies, Fail: func(n int) { p.limit(n * 150) }}
	})
}

func text(t testing.TB, w io.Writer) *Output {
	t.Helper()
	o, err := New(Options{Options: render.Options{Format: render.FormatText}, Writer: w})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func batch(t testing.TB, bodies ...string) *engine.Batch {
	t.Helper()
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{ID: "s"}, 1, 0, bodies...)
	t.Cleanup(c.Release)
	b := engine.NewBatch(engine.Span{Stream: c.Stream, Records: engine.SelectRange(0, c.Count)})
	b.Pin([]*engine.Chunk{c})
	return b
}

func TestOneCallABatch(t *testing.T) {
	var p pipe
	if err := text(t, &p).Write(t.Context(), batch(t, "one", "two")); err != nil {
		t.Fatal(err)
	}
	if p.calls != 1 || p.text.String() != "one\ntwo\n" {
		t.Errorf("%d calls: %q", p.calls, p.text.String())
	}
}

// However many bytes are taken, the retry goes on at the next one.
func TestCutAtEveryByte(t *testing.T) {
	bodies := []string{"one", "two", "", "four"}
	const all = "one\ntwo\n\nfour\n"
	for room := range len(all) {
		var p pipe
		o := text(t, &p)
		p.limit(room)
		err := o.Write(t.Context(), batch(t, bodies...))
		if engine.AsWriteError(err).Kind != engine.KindRetryable || !errors.Is(err, errPipe) {
			t.Fatalf("room for %d: %v", room, err)
		}
		n := 0
		if part := (*engine.Partial)(nil); errors.As(err, &part) {
			n = part.Delivered[0].To
		}
		if want := strings.Count(all[:room], "\n"); n != want {
			t.Errorf("room for %d: %d records are answered for, want %d", room, n, want)
		}
		p.limit(-1)
		if err := o.Write(t.Context(), batch(t, bodies[n:]...)); err != nil {
			t.Fatal(err)
		}
		if got := p.text.String(); got != all {
			t.Errorf("room for %d: after the retry %q", room, got)
		}
	}
}

func TestAnotherBatchComesFirst(t *testing.T) {
	var p pipe
	o := text(t, &p)
	p.limit(5)
	if err := o.Write(t.Context(), batch(t, "one", "two")); err == nil {
		t.Fatal("all of it was taken")
	}
	p.limit(0)
	for range 2 {
		if err := o.Write(t.Context(), batch(t, "other")); !errors.Is(err, errPipe) {
			t.Fatal(err)
		}
	}
	p.limit(-1)
	for _, body := range []string{"other", "two"} {
		if err := o.Write(t.Context(), batch(t, body)); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.text.String(); got != "one\nt\nother\ntwo\n" {
		t.Errorf("%q", got)
	}
}

type short struct{ bytes.Buffer }

func (s *short) Write(p []byte) (int, error) { return s.Buffer.Write(p[:(len(p)+1)/2]) }

func TestShortWriteWithoutAnError(t *testing.T) {
	var w short
	o := text(t, &w)
	bodies := []string{"one", "two", "three"}
	for range 10 {
		err := o.Write(t.Context(), batch(t, bodies...))
		if err == nil {
			break
		}
		if !errors.Is(err, io.ErrShortWrite) {
			t.Fatal(err)
		}
		if part := (*engine.Partial)(nil); errors.As(err, &part) {
			bodies = bodies[part.Delivered[0].To:]
		}
	}
	if got := w.String(); got != "one\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
}

func TestBadFormat(t *testing.T) {
	if _, err := New(Options{Options: render.Options{Format: "xml"}}); err == nil || !strings.Contains(err.Error(), "format:") {
		t.Errorf("%v", err)
	}
}
