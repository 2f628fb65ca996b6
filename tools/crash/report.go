package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A report is what a trial has come to.
type report struct {
	verdict
	kind     string
	planned  int // kills
	kills    int
	startUps int // kills before the gateway said that it listens
	starts   int
	start    time.Duration // the longest until a gateway listened
	logged   uint64        // records
	pauses   uint64        // of producers
	resent   uint64        // records that producers sent more than once
	repeated int64         // records that gateways took for repeats, about: what they said half-way through their lives
	cut      int           // commits that were under way
	segments int           // that there were
	files    int           // of segments, that there are
	mishaps  []string      // besides what is wrong with the records
	took     time.Duration
}

// wrongs are all that is wrong, in words.
func (r report) wrongs() []string { return slices.Concat(r.mishaps, r.faults) }

// print writes what a trial has come to.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, in %s:\n", r.kind, r.took.Round(time.Second))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t"+format+"\n", append([]any{what}, args...)...)
	}
	row("kills", "%d of %d, %d of them before it listened", r.kills, r.planned, r.startUps)
	row("starts", "%d, of which the slowest took %s", r.starts, r.start.Round(time.Millisecond))
	row("records", "%d logged, %d sent again, %d or more of them taken for repeats; %d pauses", r.logged, r.resent, r.repeated, r.pauses)
	row("lost", "%d", r.lost)
	row("out of order", "%d", r.disordered)
	row("duplicates", "%d of %d lines", r.duplicates, r.written)
	row("  oldest", "%s before its kill", r.oldest.Round(time.Millisecond))
	row("  behind the checkpoint", "%d, the worst by %s", r.early, r.passed.Round(time.Millisecond))
	row("  outside the window", "%d", r.old)
	row("  stored twice", "%d", r.stored)
	row("foreign", "%d", r.foreign)
	row("torn lines", "%d", r.torn)
	row("commits cut", "%d", r.cut)
	row("written", "%.1f MB", float64(r.bytes)/1e6)
	row("segments", "%d, in %d files", r.segments, r.files)
	_ = table.Flush() // printing has no answer to a failure
	for _, wrong := range r.wrongs() {
		fmt.Fprintf(w, "  FAILED: %s\n", wrong)
	}
}
