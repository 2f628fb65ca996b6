package http

import (
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

// A load is what of a batch goes into one request.
type load struct {
	block    *render.Block
	taken    []engine.Range
	rejected []engine.Rejected // larger than any request may be
	all      bool              // taken is the whole batch
}

// load renders as much of the batch as fits into a body.
func (o *Output) load(b *engine.Batch) load {
	l := load{block: o.renderer.Block(), all: true}
	if o.set.Format == FormatJSON {
		l.block.Lead("[")
	}
	for i, r := range b.All() {
		l.block.Add(r)
		if l.fits(o.set.MaxBody) {
			l.take(i)
			continue
		}
		l.block.Undo()
		l.all = false
		if len(l.taken) > 0 {
			break // it may fit into the next one
		}
		l.rejected = append(l.rejected, engine.Rejected{
			Range: engine.Range{From: i, To: i + 1}, Reason: "too_large", Message: "record exceeds max_body",
		})
	}
	return l
}

func (l *load) fits(limit int64) bool { return int64(len(l.block.Bytes)) <= limit }

func (l *load) take(i int) {
	if n := len(l.taken); n > 0 && l.taken[n-1].To == i {
		l.taken[n-1].To++
		return
	}
	l.taken = append(l.taken, engine.Range{From: i, To: i + 1})
}

// finish makes the block a body: an array's commas and closing bracket take the places of the newlines.
func (l *load) finish(format string) {
	if format != FormatJSON {
		return
	}
	for _, end := range l.block.Ends {
		l.block.Bytes[end-1] = ','
	}
	l.block.Bytes[len(l.block.Bytes)-1] = ']'
}

// answer is what Write says after the request came to err.
func (l *load) answer(err error) error {
	switch {
	case err == nil && l.all:
		return nil
	case err == nil:
		return &engine.Partial{Delivered: l.taken, Rejected: l.rejected}
	case len(l.rejected) > 0:
		return &engine.Partial{Rejected: l.rejected, Err: err}
	}
	return err
}
