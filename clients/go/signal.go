package sluice

// poke wakes the one goroutine that waits on a channel of capacity 1, now or when it next looks.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// A bell wakes everyone who waits for it. It is guarded by its stream's mutex: whoever waits takes the channel first and
// looks again, before letting go of the mutex.
type bell struct{ rung chan struct{} }

func (b *bell) wait() <-chan struct{} {
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

func (b *bell) ring() {
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}
