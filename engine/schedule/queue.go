package schedule

// A queue is first in, first out, in a ring whose length is a power of two. It grows as needed and shrinks again, so a
// long-lived queue holds no more than four times what is in it. Its zero value is empty.
type queue[T any] struct {
	ring []T
	head int
	n    int
}

// minRing is where shrinking ends: a queue that is often short should not allocate over and over.
const minRing = 4

func (q *queue[T]) len() int { return q.n }

func (q *queue[T]) cap() int { return len(q.ring) }

// at is the i-th from the front. The pointer is valid until the next push or pop.
func (q *queue[T]) at(i int) *T { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue[T]) first() *T { return q.at(0) }

func (q *queue[T]) last() *T { return q.at(q.n - 1) }

func (q *queue[T]) push(v T) {
	if q.n == len(q.ring) {
		q.resize(max(2*len(q.ring), 1))
	}
	q.n++
	*q.last() = v
}

func (q *queue[T]) pushFront(v T) {
	if q.n == len(q.ring) {
		q.resize(max(2*len(q.ring), 1))
	}
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.n++
	*q.first() = v
}

func (q *queue[T]) pop() T {
	v := *q.first()
	clear(q.ring[q.head : q.head+1])
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	q.shrink()
	return v
}

func (q *queue[T]) popLast() {
	var zero T
	*q.last() = zero
	q.n--
	q.shrink()
}

func (q *queue[T]) shrink() {
	if len(q.ring) > minRing && q.n <= len(q.ring)/4 {
		q.resize(len(q.ring) / 2)
	}
}

func (q *queue[T]) resize(size int) {
	ring := make([]T, size)
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}
