package engine_test

import (
	"testing"

	"github.com/sluicelog/sluice/engine"
)

func TestSlabClasses(t *testing.T) {
	const kib, mib = 1 << 10, 1 << 20
	for _, c := range []struct{ ask, want int }{
		{0, kib},
		{1, kib},
		{kib - 1, kib},
		{kib, kib},
		{kib + 1, 2 * kib},
		{100 * kib, 128 * kib},
		{256 * kib, 256 * kib},
		{4*mib - 1, 4 * mib},
		{4 * mib, 4 * mib},
		{4*mib + 1, 4*mib + 1}, // made to measure
	} {
		var p engine.SlabPool
		s := p.Get(c.ask)
		if len(s.B) != 0 || cap(s.B) != c.want {
			t.Errorf("Get(%d): length %d, capacity %d; want 0, %d", c.ask, len(s.B), cap(s.B), c.want)
		}
	}
}

func TestSlabsComeBackEmpty(t *testing.T) {
	var p engine.SlabPool
	for range 20 { // a pool may drop what it is given
		for _, n := range []int{10, 3000, 5 << 20} {
			s := p.Get(n)
			if len(s.B) != 0 || cap(s.B) < n {
				t.Fatalf("Get(%d): length %d, capacity %d", n, len(s.B), cap(s.B))
			}
			s.B = append(s.B[:n-1], 'x')
			p.Put(s)
		}
	}
	p.Put(nil)
}

func TestSlabsAreReused(t *testing.T) {
	var p engine.SlabPool
	allocs := testing.AllocsPerRun(1000, func() { p.Put(p.Get(64 << 10)) })
	if allocs >= 1 {
		t.Errorf("%v allocations for each Get, want fewer than 1", allocs)
	}
}

// What lies idle beyond a bound is given back to the system, and can be used again.
func TestManyIdleSlabs(t *testing.T) {
	var p engine.SlabPool
	for round := range 2 {
		var held []*engine.Slab
		for i := range 100 { // 25 MiB
			s := p.Get(256 << 10)
			s.B = s.B[:cap(s.B)]
			s.B[0], s.B[len(s.B)-1] = byte(i), byte(round)
			held = append(held, s)
		}
		for i, s := range held {
			if s.B[0] != byte(i) || s.B[len(s.B)-1] != byte(round) {
				t.Fatalf("round %d: slab %d was given out twice", round, i)
			}
			p.Put(s)
		}
	}
}
