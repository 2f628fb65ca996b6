package disk

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A work is what the buffer has the disk do. Each fails, and goes again, by itself.
type work string

const (
	committing    work = "commit"
	checkpointing work = "checkpoint"
	reading       work = "read"
)

// report notes that a work of the disk's fails, or no longer does.
func (b *Buffer) report(w work, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(w, err)
}

// note is report with the lock held.
func (b *Buffer) note(w work, err error) {
	before, failed := b.failing[w]
	switch {
	case err == nil && failed:
		after := time.Since(before.Since).Round(time.Millisecond)
		b.say(slog.LevelInfo, "the disk buffer works again", "work", w, "after", after.String())
		delete(b.failing, w)
	case err != nil && !failed:
		if errors.Is(err, seglog.ErrFull) { // it is what the room is for
			b.say(slog.LevelWarn, "the disk buffer is full, and what comes waits in memory", "work", w, "err", err)
		} else {
			b.say(slog.LevelError, "the disk buffer fails", "work", w, "err", err)
		}
		b.failing[w] = engine.Failure{Work: string(w), Since: time.Now(), Err: err.Error()}
	case err != nil:
		before.Err = err.Error()
		b.failing[w] = before
	}
}

// An unread notes whether something cannot be read, of all that there is to read.
type unread bool

// attempt notes that something was to be read. Reading works again when nothing is left that could not be, for it is read now, or given
// up. The lock is held.
func (b *Buffer) attempt(u *unread, err error) {
	switch {
	case err != nil:
		if !*u {
			b.unread++
		}
		*u = true
		b.note(reading, err)
	case bool(*u):
		*u = false
		if b.unread--; b.unread == 0 {
			b.note(reading, nil)
		}
	}
}

// Failing implements [engine.Failer].
func (b *Buffer) Failing() []engine.Failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.failing), func(x, y engine.Failure) int { return strings.Compare(x.Work, y.Work) })
}
