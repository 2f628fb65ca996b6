package engine

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Slab classes are powers of two: a stream that trickles holds 1 KiB, a stream that pours holds as much as one chunk.
const (
	minSlabShift = 10 // 1 KiB
	maxSlabShift = 22 // 4 MiB; a larger slab is made to measure and not pooled
)

// maxIdle is how many bytes of slabs that nobody uses stay resident, to be used again at once. It is what a gateway at full
// speed turns over; with little of it, page faults cost more than the scan of all records.
const maxIdle = 64 << 20

// A SlabPool recycles the memory of chunks. That memory is not the garbage collector's where the system lets us: the
// collector lets its heap grow in proportion to what lives, and chunks held for an output that is down would let it grow to
// twice their limit. Its zero value is ready; it is safe for concurrent use and must not be copied.
type SlabPool struct {
	// Budget is how many bytes of slabs, in use or idle, stay resident: what is idle beyond it is given back to the system.
	// Slabs in use may exceed it. It is set before the first use; 0: no bound but that on idle ones, 64 MiB.
	Budget int64

	used    atomic.Int64 // bytes
	idle    atomic.Int64 // bytes that are warm
	classes [maxSlabShift - minSlabShift + 1]slabClass
}

// A Slab is a piece of pooled memory. Its owner may write to B up to its capacity, which is what it is charged for.
type Slab struct {
	B     []byte
	class int // index into the pool's classes, -1 when it is not pooled
}

// Get returns a slab of length 0 whose capacity is the smallest class that holds n bytes. Its bytes may hold anything.
func (p *SlabPool) Get(n int) *Slab {
	shift := max(bits.Len(uint(max(n, 1)-1)), minSlabShift)
	if shift > maxSlabShift {
		return &Slab{B: make([]byte, 0, n), class: -1}
	}
	class, size := &p.classes[shift-minSlabShift], int64(1)<<shift
	p.used.Add(size)
	if s := class.takeWarm(); s != nil {
		p.idle.Add(-size)
		return s
	}
	p.reclaim()
	if s := class.takeCold(); s != nil {
		return s
	}
	return &Slab{B: mapMemory(1 << shift)[:0], class: shift - minSlabShift}
}

// Put takes a slab back. Nobody may touch its bytes afterwards. A nil slab is ignored.
func (p *SlabPool) Put(s *Slab) {
	if s == nil || s.class < 0 {
		return
	}
	s.B = s.B[:0]
	size := int64(cap(s.B))
	p.used.Add(-size)
	if p.idle.Add(size); p.full() {
		p.cool(s)
		return
	}
	c := &p.classes[s.class]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warm = append(c.warm, s)
}

// full reports whether more is resident than may be.
func (p *SlabPool) full() bool {
	idle := p.idle.Load()
	return idle > maxIdle || p.Budget > 0 && idle+p.used.Load() > p.Budget
}

// cool gives an idle slab's pages back to the system.
func (p *SlabPool) cool(s *Slab) {
	p.idle.Add(-int64(cap(s.B)))
	if !coolMemory(s.B[:cap(s.B)]) {
		return // the garbage collector's
	}
	c := &p.classes[s.class]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cold = append(c.cold, s)
}

// reclaim cools idle slabs, the largest first, until the pool is within its budget or none is idle: those of one class are
// of no use to another.
func (p *SlabPool) reclaim() {
	for i := len(p.classes) - 1; i >= 0; i-- {
		for p.full() {
			s := p.classes[i].takeWarm()
			if s == nil {
				break
			}
			p.cool(s)
		}
	}
}

// A slabClass is the slabs of one size that nobody uses.
type slabClass struct {
	mu   sync.Mutex // guards what follows
	warm []*Slab    // resident, the one that was used last at the end
	cold []*Slab    // their pages are the system's until they are used again
}

func (c *slabClass) takeWarm() *Slab {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pop(&c.warm)
}

func (c *slabClass) takeCold() *Slab {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pop(&c.cold)
}

// pop takes the last of a stack, or gives nil.
func pop(stack *[]*Slab) *Slab {
	n := len(*stack)
	if n == 0 {
		return nil
	}
	s := (*stack)[n-1]
	(*stack)[n-1] = nil
	*stack = (*stack)[:n-1]
	return s
}
