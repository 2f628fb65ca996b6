package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A display tells people how sending goes: lines as things happen, with a bar under them where w is a terminal and the end
// is known. Safe for concurrent use.
type display struct {
	w     io.Writer
	quiet bool

	mu   sync.Mutex               // guards what follows
	bar  *progressbar.ProgressBar // nil: none
	read int                      // bytes that the bar was not told yet
}

// barStep is after how many bytes the bar is told, so that it costs nothing per line.
const barStep = 64 << 10

func newDisplay(w io.Writer, size int64, quiet bool) *display {
	d := &display{w: w, quiet: quiet}
	if !quiet && size > 0 && isTerminal(w) {
		d.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(w),
			progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
		)
	}
	return d
}

// progress counts bytes that were read and queued.
func (d *display) progress(read int) {
	if d.bar == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read += read; d.read >= barStep {
		_ = d.bar.Add(d.read) // a terminal that is gone has no answer
		d.read = 0
	}
}

// say writes a line above the bar.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	fmt.Fprintf(d.w, format+"\n", args...)
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
				now = fmt.Sprintf("not connected, trying again: %v", r.Err)
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
		_ = d.bar.Clear()
	}
	acked := s.Acked - s.Rejected
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
