package server

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Buffers of 256 bytes to 2 MiB are pooled, in powers of two.
const (
	minBufferShift = 8
	maxBufferShift = 21
)

// buffers is a mem.BufferPool like grpc's own, but that it does not clear what it hands out again: every byte of a frame is
// overwritten as it is read, and the clearing was a twentieth of all that receiving costs. It also has a tier for every
// power of two, where grpc has none between 32 KiB and 1 MiB. Safe for concurrent use.
type buffers struct {
	tiers [maxBufferShift - minBufferShift + 1]sync.Pool // of *[]byte whose capacity is the tier's
}

var _ mem.BufferPool = (*buffers)(nil)

// Get implements mem.BufferPool.
func (p *buffers) Get(length int) *[]byte {
	shift := max(bits.Len(uint(max(length, 1)-1)), minBufferShift)
	if shift > maxBufferShift {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.tiers[shift-minBufferShift].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<shift)
	return &b
}

// Put implements mem.BufferPool.
func (p *buffers) Put(b *[]byte) {
	shift := bits.Len(uint(cap(*b))) - 1
	if cap(*b) != 1<<shift || shift < minBufferShift || shift > maxBufferShift {
		return // not of a tier
	}
	p.tiers[shift-minBufferShift].Put(b)
}
