// Package memory is the buffer that lives and dies with the process. What is in it is safe once every output that takes
// part is done with it.
//
// It is one log with a way through it for every output: a chunk is held once, and each output that it goes to has a need
// of it, linked into that output's list. A need that is met leaves its list in O(1) wherever it stands, so a dead output,
// or one parked key, costs what it still needs and nothing else.
package memory

import (
	"fmt"
	"slices"
	"sync"

	"github.com/sluicelog/sluice/engine"
)

var (
	_ engine.Buffer = (*Buffer)(nil)
	_ engine.Cursor = (*cursor)(nil)
)

var errClosed = fmt.Errorf("memory buffer: %w", engine.ErrClosed)

// A Buffer is a log in memory. Make it with New. It has no room of its own to run out of: whoever appends asks the meters
// first. Its methods may be called concurrently.
//
// Chunks are released, and safe is called, after the lock is, in this order: a stream that is told looks at meters that
// have already fallen. A chunk's free function may still run within Append, for a chunk that no output takes or where
// Append fails, and then under the locks of its caller.
type Buffer struct {
	cursors []*cursor
	known   engine.OutputSet // the outputs that there are

	mu      sync.Mutex // guards what follows, the cursors' fields that say so, and all nodes, needs and promises
	closed  bool
	appends uint64
}

// New makes an empty buffer for the outputs, whose order is that of OutputSet: at most engine.MaxOutputs, of distinct names.
func New(outputs []engine.BufferOutput) *Buffer {
	b := &Buffer{}
	for i, o := range outputs {
		b.known = b.known.With(i)
		b.cursors = append(b.cursors, newCursor(b, o))
	}
	return b
}

// Append implements [engine.Buffer]. Besides ErrClosed its errors are faults of the caller's: a chunk without records, or
// for an output that there is not.
func (b *Buffer) Append(cs []*engine.Chunk, safe func()) (already bool, err error) {
	if err := b.check(cs); err != nil {
		releaseAll(cs)
		return false, err
	}
	p, needs := b.promise(cs, safe)
	already = p.open == 0
	var wake engine.OutputSet
	var unneeded []*engine.Chunk

	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		releaseAll(cs)
		return false, errClosed
	}
	b.appends++
	p.order = b.appends
	for _, c := range cs {
		for o := range c.Outputs.All() {
			b.cursors[o].push(&needs[0])
			needs = needs[1:]
		}
		wake |= c.Outputs
		if c.Outputs == 0 {
			unneeded = append(unneeded, c)
		}
	}
	b.mu.Unlock()

	// From here on the other chunks may be done and freed at any time.
	releaseAll(unneeded)
	for o := range wake.All() {
		b.cursors[o].signal()
	}
	return already, nil
}

func (b *Buffer) check(cs []*engine.Chunk) error {
	for _, c := range cs {
		if unknown := c.Outputs &^ b.known; unknown != 0 {
			return fmt.Errorf("memory buffer: append: sequence %d goes to outputs %#b of %d", c.First, unknown, len(b.cursors))
		}
		if c.Outputs != 0 && c.Count <= 0 {
			return fmt.Errorf("memory buffer: append: chunk at sequence %d has no records", c.First)
		}
	}
	return nil
}

// promise makes what the log keeps of an append, in three allocations, outside the lock: a need for each chunk and output,
// in their order.
func (b *Buffer) promise(cs []*engine.Chunk, safe func()) (*promise, []need) {
	total := 0
	for _, c := range cs {
		total += c.Outputs.Len()
	}
	p := &promise{safe: safe}
	nodes, needs := make([]node, len(cs)), make([]need, 0, total)
	for i, c := range cs {
		n := &nodes[i]
		*n = node{chunk: c, charge: c.Charge(), promise: p}
		for o := range c.Outputs.All() {
			needs = append(needs, need{node: n, left: c.Count})
			n.needed++
			if !b.cursors[o].optional {
				n.unsafe++
			}
		}
		if n.unsafe > 0 {
			p.open++
		}
	}
	return p, needs
}

// Cursor implements [engine.Buffer].
func (b *Buffer) Cursor(output string) (engine.Cursor, error) {
	i := slices.IndexFunc(b.cursors, func(c *cursor) bool { return c.name == output })
	if i < 0 {
		return nil, fmt.Errorf("memory buffer: no output %q", output)
	}
	return b.cursors[i], nil
}

// Durable implements [engine.Buffer]: no.
func (b *Buffer) Durable() bool { return false }

// Close implements [engine.Buffer]. What is held is lost: it is released, the shares are uncharged, and safe is not called.
// Chunks that readers retain stay theirs. Closing again does nothing.
func (b *Buffer) Close() error {
	b.mu.Lock()
	b.closed = true
	var s settled
	for _, c := range b.cursors {
		c.clear(&s)
	}
	b.mu.Unlock()
	releaseAll(s.chunks)
	return nil
}

func releaseAll(cs []*engine.Chunk) {
	for _, c := range cs {
		c.Release()
	}
}
