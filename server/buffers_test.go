package server

import "testing"

func TestBuffers(t *testing.T) {
	var p buffers
	for _, n := range []int{0, 1, 255, 256, 257, 16 << 10, 16<<10 + 1, 1 << 20, 2 << 20, 2<<20 + 1, 5 << 20} {
		b := p.Get(n)
		if len(*b) != n {
			t.Errorf("Get(%d) has length %d", n, len(*b))
		}
		*b = (*b)[:n/2] // as grpc does with what it did not fill
		p.Put(b)
		if again := p.Get(n); len(*again) != n {
			t.Errorf("Get(%d) after Put has length %d", n, len(*again))
		}
	}
	odd := make([]byte, 300)
	p.Put(&odd)
	if b := p.Get(300); cap(*b) != 512 {
		t.Errorf("a buffer of no tier was pooled: capacity %d", cap(*b))
	}
}
