package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A display tells people how sending goes: lines as things happen, with a bar under them where w is a terminal and the end
// is known. Safe for concurrent use.
type display struct {
	w     io.Writer
	quiet bool
	bar   *bar // nil: none

	mu sync.Mutex // held while w is written to
}

func newDisplay(w io.Writer, size int64, quiet bool) *display {
	d := &display{w: w, quiet: quiet}
	if !quiet && size > 0 && isTerminal(w) {
		d.bar = newBar(w, size)
	}
	return d
}

// read counts bytes that were read, and the record that they became.
func (d *display) read(bytes int, record bool) {
	if d.bar != nil {
		d.bar.read(bytes, record)
	}
}

// follow shows how many records are acked until stop is called.
func (d *display) follow(acked func() uint64) (stop func()) {
	if d.bar == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(barLook)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				d.mu.Lock()
				d.bar.show(acked())
				d.mu.Unlock()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// say writes a line above the bar.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar == nil {
		fmt.Fprintf(d.w, format+"\n", args...)
		return
	}
	d.bar.clear()
	fmt.Fprintf(d.w, format+"\n", args...)
	d.bar.draw()
}

// note is say of what may be left out.
func (d *display) note(format string, args ...any) {
	if !d.quiet {
		d.say(format, args...)
	}
}

// hooks tell what happens to the stream.
func (d *display) hooks() sluice.Hooks {
	last := "" // the hooks are called one at a time
	h := sluice.Hooks{
		OnReject: func(rs []sluice.Rejection) {
			for _, r := range rs {
				d.say("rejected %d of records %d to %d: %s", r.Count, r.First, r.Last, r.Message)
			}
		},
		OnReconnect: func(r sluice.Reconnect) {
			now := "connected again"
			if !r.Open {
				now = "not connected, trying again: " + plain(r.Err)
			}
			if now != last {
				d.say("%s", now)
			}
			last = now
		},
	}
	if d.quiet {
		return h
	}
	h.OnPause = func(p sluice.Pause) {
		// What is held is in memory, and says nothing of a disk.
		if p.Reason == sluicev1.Reason_REASON_BUFFER_FULL && p.HeldBytes < p.LimitBytes {
			d.say("paused: buffer_full, the gateway has no room for more to be stored")
			return
		}
		d.say("paused: %s, %s held of %s", strings.ToLower(strings.TrimPrefix(p.Reason.String(), "REASON_")),
			bytesText(p.HeldBytes), bytesText(p.LimitBytes))
	}
	h.OnResume = func(r sluice.Resume) {
		d.say("resumed after %s: %s held of %s", r.Paused.Round(time.Millisecond), bytesText(r.HeldBytes),
			bytesText(r.LimitBytes))
	}
	return h
}

// summary ends the display with one line. What did not happen is left out after the pauses.
func (d *display) summary(s sluice.Stats, lost int, skipped int64, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		d.bar.clear()
	}
	acked := s.Acked - min(s.Rejected, s.Acked) // they may be told before the ack that passes them
	fmt.Fprintf(d.w, "sent %d acked %d rejected %d in %s (%.0f rec/s), %d pauses, paused %s", s.Sent, acked, s.Rejected,
		took.Round(time.Millisecond), float64(acked)/max(took.Seconds(), 1e-9), s.Pauses, s.PausedFor.Round(time.Millisecond))
	for _, more := range []struct {
		what string
		n    uint64
	}{{"not acked", uint64(lost)}, {"left out", uint64(skipped)}, {"sent again", s.Resent}, {"reconnects", s.Reconnects}} {
		if more.n > 0 {
			fmt.Fprintf(d.w, ", %s %d", more.what, more.n)
		}
	}
	fmt.Fprintln(d.w)
}
