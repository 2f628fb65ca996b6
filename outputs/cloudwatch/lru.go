package cloudwatch

import (
	"container/list"
	"sync"
)

// An lru keeps up to max values, those that were asked for last. It is safe for concurrent use.
type lru[K comparable, V any] struct {
	max int

	mu    sync.Mutex // guards what follows
	order list.List  // of pair[K, V], the last asked for first
	known map[K]*list.Element
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

// get gives the value of the key, which create makes where it is not there. create must not block.
func (l *lru[K, V]) get(key K, create func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.known[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(pair[K, V]).value
	}
	if l.known == nil {
		l.known = map[K]*list.Element{}
	}
	value := create()
	l.known[key] = l.order.PushFront(pair[K, V]{key, value})
	if l.order.Len() > l.max {
		oldest := l.order.Remove(l.order.Back()).(pair[K, V])
		delete(l.known, oldest.key)
	}
	return value
}
