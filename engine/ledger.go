package engine

import "iter"

// A ledger is what a stream was admitted and is not acked, in order. The intake's lock guards it.
type ledger struct{ head, tail *pending }

// A pending is one chunk, or one rejected run, that waits for its turn to be acked.
type pending struct {
	in          *intake
	epoch, last uint64
	records     int64
	bytes       int64
	safe        bool
	outputs     OutputSet     // that it is for; where a durable buffer did not take it, it is missing there
	acked       chan struct{} // closed when it is; nil: nobody waits
	next        *pending
}

func (l *ledger) push(p *pending) {
	if l.head == nil {
		l.head, l.tail = p, p
		return
	}
	l.tail.next, l.tail = p, p
}

// pop removes and gives the first one if it is safe.
func (l *ledger) pop() *pending {
	p := l.head
	if p == nil || !p.safe {
		return nil
	}
	if l.head = p.next; l.head == nil {
		l.tail = nil
	}
	return p
}

// promise gives the last one, whose acked will be closed; nil where all is acked.
func (l *ledger) promise() *pending {
	if l.tail != nil && l.tail.acked == nil {
		l.tail.acked = make(chan struct{})
	}
	return l.tail
}

// all yields what is not acked, in order.
func (l *ledger) all() iter.Seq[*pending] {
	return func(yield func(*pending) bool) {
		for p := l.head; p != nil && yield(p); p = p.next {
		}
	}
}

func (l *ledger) empty() bool { return l.head == nil }
