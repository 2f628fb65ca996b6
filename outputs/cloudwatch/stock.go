package cloudwatch

// A stock keeps some values that are used again. A sync.Pool is emptied by the garbage collector, which the making of large
// buffers anew then has running all the time: with one request in flight that was half of all CPU. It is safe for concurrent
// use.
type stock[T any] struct{ kept chan *T }

// maxStock is how many are kept: as many as fly, and stand by, by default.
const maxStock = 32

func newStock[T any]() stock[T] { return stock[T]{make(chan *T, maxStock)} }

// get gives one that was put back, or a new one.
func (s stock[T]) get() *T {
	select {
	case v := <-s.kept:
		return v
	default:
		return new(T)
	}
}

// put keeps v, unless enough are.
func (s stock[T]) put(v *T) {
	select {
	case s.kept <- v:
	default:
	}
}
