package engine

import (
	"math/bits"
	"sync"
)

// Slab classes are powers of two: a stream that trickles holds 1 KiB, a stream that pours holds as much as one chunk.
const (
	minSlabShift = 10 // 1 KiB
	maxSlabShift = 22 // 4 MiB; a larger slab is made to measure and not pooled
)

// A SlabPool recycles the memory of chunks. Its zero value is ready; it is safe for concurrent use and must not be copied.
type SlabPool struct {
	classes [maxSlabShift - minSlabShift + 1]sync.Pool
}

// A Slab is a piece of pooled memory. Its owner may write to B up to its capacity, which is what it is charged for.
type Slab struct {
	B     []byte
	class int // index into the pool's classes, -1 when it is not pooled
}

// Get returns a slab of length 0 whose capacity is the smallest class that holds n bytes.
func (p *SlabPool) Get(n int) *Slab {
	class := slabClass(n)
	if class < 0 {
		return &Slab{B: make([]byte, 0, n), class: -1}
	}
	if s, ok := p.classes[class].Get().(*Slab); ok {
		return s
	}
	return &Slab{B: make([]byte, 0, 1<<(class+minSlabShift)), class: class}
}

// Put takes a slab back. Nobody may touch its bytes afterwards. A nil slab is ignored.
func (p *SlabPool) Put(s *Slab) {
	if s == nil || s.class < 0 {
		return
	}
	s.B = s.B[:0]
	p.classes[s.class].Put(s)
}

func slabClass(n int) int {
	shift := max(bits.Len(uint(max(n, 1)-1)), minSlabShift)
	if shift > maxSlabShift {
		return -1
	}
	return shift - minSlabShift
}
