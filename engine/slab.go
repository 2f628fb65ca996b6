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

// idleSlabs is how many bytes of slabs that nobody uses stay resident, in each class, to be used again at once. What is
// beyond it is given back to the system.
const idleSlabs = 4 << 20

// A SlabPool recycles the memory of chunks. That memory is not the garbage collector's where the system lets us: the
// collector lets its heap grow in proportion to what lives, and chunks held for an output that is down would let it grow to
// twice their limit. Its zero value is ready; it is safe for concurrent use and must not be copied.
type SlabPool struct {
	classes [maxSlabShift - minSlabShift + 1]slabClass
}

// A Slab is a piece of pooled memory. Its owner may write to B up to its capacity, which is what it is charged for.
type Slab struct {
	B     []byte
	class int // index into the pool's classes, -1 when it is not pooled
}

// A slabClass is the slabs of one size that nobody uses.
type slabClass struct {
	mu   sync.Mutex // guards what follows
	warm []*Slab    // resident, the one that was used last at the end
	cold []*Slab    // their pages are the system's until they are used again
}

// Get returns a slab of length 0 whose capacity is the smallest class that holds n bytes. Its bytes may hold anything.
func (p *SlabPool) Get(n int) *Slab {
	shift := max(bits.Len(uint(max(n, 1)-1)), minSlabShift)
	if shift > maxSlabShift {
		return &Slab{B: make([]byte, 0, n), class: -1}
	}
	class := shift - minSlabShift
	if s := p.classes[class].take(); s != nil {
		return s
	}
	return &Slab{B: mapMemory(1 << shift)[:0], class: class}
}

// Put takes a slab back. Nobody may touch its bytes afterwards. A nil slab is ignored.
func (p *SlabPool) Put(s *Slab) {
	if s == nil || s.class < 0 {
		return
	}
	s.B = s.B[:0]
	p.classes[s.class].put(s)
}

func (c *slabClass) take() *Slab {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := &c.warm
	if len(*from) == 0 {
		from = &c.cold
	}
	n := len(*from)
	if n == 0 {
		return nil
	}
	s := (*from)[n-1]
	(*from)[n-1] = nil
	*from = (*from)[:n-1]
	return s
}

func (c *slabClass) put(s *Slab) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.warm)*cap(s.B) < idleSlabs {
		c.warm = append(c.warm, s)
	} else if coolMemory(s.B[:cap(s.B)]) {
		c.cold = append(c.cold, s)
	}
}
