package engine

import "time"

// maxWait caps every wait of every loop. Ordinarily a wake-up comes first; when one is lost, all goes on.
const maxWait = 5 * time.Second

// A bell wakes one goroutine. It holds one ring, so none is lost between looking and waiting.
type bell struct {
	c    chan struct{}
	mute bool // for the test in which every wake-up is lost
}

func newBell(mute bool) bell { return bell{c: make(chan struct{}, 1), mute: mute} }

func (b bell) ring() {
	if b.mute {
		return
	}
	select {
	case b.c <- struct{}{}:
	default:
	}
}
