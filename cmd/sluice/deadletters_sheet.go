package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// letterSheets print all there is to say of a letter, for people.
type letterSheets struct {
	w      *bufio.Writer
	object *letterObject
	n      int
}

func newLetterSheets(w io.Writer) letterPrinter {
	return &letterSheets{w: bufio.NewWriter(w), object: &letterObject{}}
}

func (p *letterSheets) end() error { return p.w.Flush() }

// sheetIndent is where values begin, in characters.
const sheetIndent = 14

func (p *letterSheets) add(l *engine.Letter) error {
	rendered, err := p.object.of(l)
	if err != nil {
		return err
	}
	var record struct {
		Time, Severity             string
		EventName                  string `json:"event_name"`
		TraceID                    string `json:"trace_id"`
		SpanID                     string `json:"span_id"`
		Body, Attributes, Resource json.RawMessage
	}
	if err := json.Unmarshal(rendered, &record); err != nil {
		return fmt.Errorf("dead letter %d: %w", l.ID, err)
	}
	if p.n++; p.n > 1 {
		fmt.Fprintln(p.w)
	}
	fmt.Fprintf(p.w, "dead letter %d\n", l.ID)
	for _, field := range [][2]string{
		{"output", l.Output},
		{"target", l.Target},
		{"reason", l.Reason},
		{"message", l.Message},
		{"request", l.RequestID},
		{"attempts", fmt.Sprintf("%d, from %s to %s", l.Attempts, moments(l.First), moments(l.Last))},
		{"tenant", l.Tenant},
		{"tag", l.Tag},
		{"stream", l.StreamID},
		{"sequence", fmt.Sprintf("%d of epoch %d", l.Sequence, l.Epoch)},
		{"arrived", moments(l.Arrived)},
		{"time", record.Time},
		{"severity", record.Severity},
		{"event", record.EventName},
		{"trace", record.TraceID},
		{"span", record.SpanID},
		{"body", textOf(record.Body)},
		{"attributes", textOf(record.Attributes)},
		{"resource", textOf(record.Resource)},
	} {
		p.field(field[0], field[1])
	}
	return nil
}

// field prints a line, and more where the text has more. What is empty is left out.
func (p *letterSheets) field(name, text string) {
	if text == "" {
		return
	}
	text = strings.ReplaceAll(strings.TrimRight(printable(text), "\n"), "\n", "\n"+strings.Repeat(" ", sheetIndent))
	fmt.Fprintf(p.w, "  %-*s%s\n", sheetIndent-2, name, text)
}

func moments(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// textOf is a JSON value for people: a string as it is.
func textOf(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var indented bytes.Buffer
	if json.Indent(&indented, value, "", "  ") != nil {
		return string(value)
	}
	return indented.String()
}
