package memory

import (
	"cmp"
	"slices"

	"github.com/sluicelog/sluice/engine"
)

// A node is a chunk in the log, with the buffer's reference to it.
type node struct {
	chunk   *engine.Chunk // nil once no output needs it
	charge  int64
	promise *promise
	needed  int // by so many outputs
	unsafe  int // by so many that take part in safe
}

// A promise is what an append was promised: its safe, once all its chunks are.
type promise struct {
	order uint64 // of the append
	open  int    // chunks that are not safe
	safe  func()
}

// met notes that one output needs the node no more. optional: it took no part in safe.
func (n *node) met(optional bool, s *settled) {
	if !optional {
		if n.unsafe--; n.unsafe == 0 {
			if n.promise.open--; n.promise.open == 0 {
				s.promises = append(s.promises, n.promise)
			}
		}
	}
	n.unneed(s)
}

func (n *node) unneed(s *settled) {
	if n.needed--; n.needed == 0 {
		s.chunks = append(s.chunks, n.chunk)
		n.chunk = nil // its append's other nodes may outlive it, and keep this one
	}
}

// settled is what is to be done about nodes once the lock is released.
type settled struct {
	chunks   []*engine.Chunk
	promises []*promise
}

// tell releases the chunks, then keeps the promises in the order of their appends.
func (s *settled) tell() {
	releaseAll(s.chunks)
	slices.SortFunc(s.promises, func(a, b *promise) int { return cmp.Compare(a.order, b.order) })
	for _, p := range s.promises {
		p.safe()
	}
}
