package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// A letterChoice says which dead letters a command is about.
type letterChoice struct {
	Output string   `placeholder:"NAME" help:"Those that this output refused."`
	Reason string   `placeholder:"CODE" help:"Those that it refused for this reason."`
	Since  moment   `placeholder:"WHEN" help:"Those of which the last attempt was then or later: 2h for two hours ago, or a time such as 2026-01-02T15:04:05Z."`
	Until  moment   `placeholder:"WHEN" help:"Those of which it was earlier."`
	IDs    []uint64 `arg:"" optional:"" name:"id" help:"These, as list names them."`
}

func (c letterChoice) filter() engine.LetterFilter {
	return engine.LetterFilter{Output: c.Output, Reason: c.Reason, Since: c.Since.Time, Until: c.Until.Time, IDs: c.IDs}
}

// all reports whether all are chosen.
func (c letterChoice) all() bool {
	return c.Output == "" && c.Reason == "" && c.Since.IsZero() && c.Until.IsZero() && len(c.IDs) == 0
}

// sayNone says that there are none; beside the output where that is for programs.
func (c letterChoice) sayNone(t terminal, beside bool) {
	w, what := t.out, "no dead letters"
	if beside {
		w = t.err
	}
	if !c.all() {
		what = "no such dead letters"
	}
	fmt.Fprintln(w, what)
}

// A moment is a point in time, given as such or as how long ago it is.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	if d, err := time.ParseDuration(string(text)); err == nil && d >= 0 {
		m.Time = time.Now().Add(-d)
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errors.New("want how long ago, such as 90m or 2h30m, or a time, such as 2026-01-02T15:04:05Z")
	}
	m.Time = at
	return nil
}
