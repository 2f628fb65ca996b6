package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// A letterChoice says which dead letters a command is about.
type letterChoice struct {
	Output string   `placeholder:"NAME" help:"Those that this output refused."`
	Reason string   `placeholder:"CODE" help:"Those that were refused for this reason, such as too_old or http_400; list has it."`
	Tag    string   `placeholder:"T" help:"Those of streams of this tag, as a whole."`
	Stream string   `aliases:"stream-id" placeholder:"ID" help:"Those of the stream of this ID."`
	Since  moment   `placeholder:"WHEN" help:"Those that were tried last at this time or later: 2h for two hours ago, or 2026-01-02T15:04:05Z."`
	Until  moment   `placeholder:"WHEN" help:"Those that were tried last before this time: 24h for more than a day ago."`
	IDs    []uint64 `arg:"" optional:"" name:"id" help:"These, as list has them."`
}

// choiceHelp says how they go together.
const choiceHelp = `Of several filters all must hold: --output aws --reason too_old are those that aws refused because they are too old. WHEN is
how long ago by the clock here, in hours, minutes and seconds, such as 2h, 90m or 1h30m (a day is 24h), or a time as in RFC 3339,
such as 2026-01-02T15:04:05Z or 2026-01-02T16:04:05+01:00. An ID that is not there is told in the end, and the exit code is 1.`

func (c letterChoice) filter() engine.LetterFilter {
	return engine.LetterFilter{
		Output: c.Output, Reason: c.Reason, Tag: c.Tag, StreamID: c.Stream, Since: c.Since.Time, Until: c.Until.Time, IDs: c.IDs,
	}
}

// all reports whether all are chosen.
func (c letterChoice) all() bool {
	f := c.filter()
	return f.All()
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

// idsTold is how many IDs an error names.
const idsTold = 10

// noLetters tells of IDs that no letter has; nil: there are none.
func noLetters(ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	named := make([]string, min(len(ids), idsTold))
	for i := range named {
		named[i] = strconv.FormatUint(ids[i], 10)
	}
	text := strings.Join(named, ", ")
	if more := len(ids) - len(named); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if len(ids) == 1 {
		return fmt.Errorf("no dead letter has the ID %s", text)
	}
	return fmt.Errorf("no dead letters have the IDs %s", text)
}

// A moment is a point in time, given as such or as how long ago it is.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	if d, err := time.ParseDuration(string(text)); err == nil && d >= 0 {
		m.Time = time.Now().Add(-d)
		return nil
	}
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return fmt.Errorf("a day is 24h: write %dh", 24*n)
		}
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errors.New("want how long ago, such as 90m or 2h30m, or a time, such as 2026-01-02T15:04:05Z")
	}
	m.Time = at
	return nil
}
