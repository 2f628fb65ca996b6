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

// maxNotices is how many lines wait to be written. What there is no room for is counted in the last one.
const maxNotices = 100

// say notes a line, with the lock held.
func (b *Buffer) say(level slog.Level, text string, args ...any) {
	if len(b.notices) < maxNotices {
		b.notices = append(b.notices, notice{level, text, args})
	} else {
		b.unsaid++
	}
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
	if b.unsaid > 0 {
		all = append(all, notice{slog.LevelWarn, "lines of the disk buffer were left out", []any{"lines", b.unsaid}})
	}
	b.notices, b.unsaid = nil, 0
	b.mu.Unlock()
	for _, n := range all {
		b.Log.Log(context.Background(), n.level, n.text, n.args...) //nolint:sloglint // whoever says it has a constant
	}
}
