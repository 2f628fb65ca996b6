// Package stdout is an output that writes records to a stream such as the process's standard output, one a line.
package stdout

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

var (
	_ engine.Output  = (*Output)(nil)
	_ engine.Batcher = (*Output)(nil)
)

// Options say how records are written.
type Options struct {
	render.Options `yaml:",inline"`
	Writer         io.Writer `yaml:"-"` // os.Stdout; it is not closed
}

// An Output writes each batch with one call, one batch at a time.
type Output struct {
	w        io.Writer
	renderer *render.Renderer

	turn chan struct{} // capacity 1: full while someone writes; guards what follows
	torn []byte        // what was written of a record whose rest was not
}

// New makes an output. All that is wrong with the options is said at once, each by its key.
func New(o Options) (*Output, error) {
	renderer, err := render.New(o.Options)
	if err != nil {
		return nil, err
	}
	if o.Writer == nil {
		o.Writer = os.Stdout
	}
	return &Output{w: o.Writer, renderer: renderer, turn: make(chan struct{}, 1)}, nil
}

// Batching implements [engine.Batcher]: who watches a screen does not want to wait.
func (o *Output) Batching() engine.BatchLimits { return engine.BatchLimits{MaxBytes: 1 << 20} }

// Write writes the batch. A failed write is retryable; what was taken of it is not written again, to the byte: where a
// record was cut, and its retry is what comes next, only its rest is written.
func (o *Output) Write(ctx context.Context, b *engine.Batch) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return engine.Retryable(ctx.Err())
	}
	defer func() { <-o.turn }()
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	block := o.renderer.Render(b)
	defer block.Free()
	if err := o.resume(block.Bytes); err != nil {
		return engine.Retryable(err)
	}
	skip := len(o.torn)
	n, err := write(o.w, block.Bytes[skip:])
	n += skip
	whole := block.Whole(n)
	o.torn = append(o.torn[:0], block.Bytes[block.Start(whole):n]...)
	switch {
	case err == nil:
		return nil
	case whole == 0:
		return engine.Retryable(err)
	}
	return &engine.Partial{Delivered: []engine.Range{{From: 0, To: whole}}, Err: engine.Retryable(err)}
}

// resume ends a torn line, unless it can be gone on with: then it is what text begins with.
func (o *Output) resume(text []byte) error {
	if len(o.torn) == 0 || bytes.HasPrefix(text, o.torn) {
		return nil
	}
	_, err := write(o.w, []byte{'\n'})
	if err == nil {
		o.torn = o.torn[:0]
	}
	return err
}

func write(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
