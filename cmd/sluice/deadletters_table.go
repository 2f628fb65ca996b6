package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sluicelog/sluice/engine"
)

// A letterPrinter prints letters in one form.
type letterPrinter interface {
	add(l *engine.Letter) error
	end() error
}

// A letterTable prints a row a letter. It is laid out by the page: so a long one begins at once, and no column is narrower than on
// the page before.
type letterTable struct {
	w      *bufio.Writer
	width  int // of the terminal; 0: no bound
	rows   [][]string
	widths []int
}

const (
	letterPage = 1000 // rows
	// leastMessage is how much of a message is printed however narrow the terminal is, in characters.
	leastMessage = 20
)

func newLetterTable(w io.Writer) letterPrinter {
	table := &letterTable{w: bufio.NewWriter(w)}
	if f, ok := w.(*os.File); ok {
		table.width, _, _ = term.GetSize(int(f.Fd())) // 0 where it is no terminal
	}
	return table
}

func (t *letterTable) add(l *engine.Letter) error {
	if t.widths == nil {
		t.rows = append(t.rows, []string{"ID", "LAST", "OUTPUT", "REASON", "TARGET", "TAG", "STREAM", "SEQUENCE", "MESSAGE"})
		t.widths = make([]int, len(t.rows[0]))
	}
	t.rows = append(t.rows, []string{
		strconv.FormatUint(l.ID, 10), l.Last.UTC().Format(time.RFC3339), cell(l.Output), cell(l.Reason), cell(l.Target), cell(l.Tag),
		cell(l.StreamID), strconv.FormatUint(l.Sequence, 10), cell(l.Message),
	})
	if len(t.rows) < letterPage {
		return nil
	}
	return t.end()
}

// end prints the page.
func (t *letterTable) end() error {
	for _, row := range t.rows {
		for i, text := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range t.rows {
		last, used := len(row)-1, 0
		for i, text := range row[:last] {
			fmt.Fprintf(t.w, "%-*s  ", t.widths[i], text)
			used += t.widths[i] + 2
		}
		message := row[last]
		if t.width > 0 {
			message = cut(message, max(t.width-used, leastMessage))
		}
		fmt.Fprintln(t.w, message)
	}
	t.rows = t.rows[:0]
	return t.w.Flush()
}

// cell is a text on one line, without what a terminal would obey; a dash where there is none.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Join(strings.Fields(printable(s)), " ")
}

// cut leaves so many characters of a text.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// printable replaces what a terminal would obey, but for spaces and the ends of lines.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		default:
			return unicode.ReplacementChar
		}
	}, s)
}
