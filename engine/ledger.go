package engine

// A ledger is what a stream was admitted and is not acked, in order. The intake's lock guards it.
type ledger struct{ head, tail *pending }

// A pending is one chunk, or one rejected run, that waits for its turn to be acked.
type pending struct {
	in          *intake
	epoch, last uint64
	records     int64
	bytes       int64
	safe        bool
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

func (l *ledger) empty() bool { return l.head == nil }
