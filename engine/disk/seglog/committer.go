package seglog

import "time"

// run commits until the log is closed.
func (l *Log) run() {
	defer close(l.done)
	defer l.timer.Stop()
	for {
		select {
		case <-l.bell:
		case <-l.timer.C:
			l.syncOld()
		case <-l.quit:
			l.drain(false)
			return
		}
		l.drain(true)
	}
}

// How long the committer waits before it tries again what the disk refused.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// drain commits all that waits, and where the last attempt failed sees whether it can again. With patience it tries until it can,
// or the log is closed.
func (l *Log) drain(patient bool) {
	for backoff := minBackoff; l.take() || l.failing; {
		err := l.commit()
		l.tell(err)
		if err == nil {
			backoff = minBackoff
			continue
		}
		if !patient || !l.pause(backoff) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// take takes what is queued, and reports whether anything is to be committed.
func (l *Log) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, l.queue...)
	clear(l.queue) // or it would hold on to what was committed
	l.queue = l.queue[:0]
	return len(l.pending) > 0
}

// pause waits, and reports whether the log is still open.
func (l *Log) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.freed:
		return true
	case <-l.quit:
		return false
	}
}

// tell tells of a failure, and of its end.
func (l *Log) tell(err error) {
	if err == nil && !l.failing {
		return
	}
	l.failing = err != nil
	l.Failing(err)
}
