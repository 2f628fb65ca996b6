package disk

import (
	"context"
	"log/slog"
	"time"
)

// A notice is a line for the log. Whoever writes that may be slow: so a goroutine does, and nobody waits for it with a lock held, or
// with commits.
type notice struct {
	level slog.Level
	text  string
	args  []any
}

// say notes a line, with the lock held.
func (b *Buffer) say(level slog.Level, text string, args ...any) {
	b.notices = append(b.notices, notice{level, text, args})
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// speak logs what is said until the buffer is closed. Of losses it tells now and then.
func (b *Buffer) speak() {
	defer close(b.silent)
	losses := time.NewTicker(lossPause)
	defer losses.Stop()
	for {
		select {
		case <-b.news:
		case <-losses.C:
			b.sayLosses()
		case <-b.quit:
			return
		}
		b.tell()
	}
}

// tell logs what was said. One goroutine calls it at a time.
func (b *Buffer) tell() {
	b.mu.Lock()
	all := b.notices
	b.notices = nil
	b.mu.Unlock()
	for _, n := range all {
		b.Log.Log(context.Background(), n.level, n.text, n.args...) //nolint:sloglint // whoever says it has a constant
	}
}
