package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is what a trial has come to.
type report struct {
	name       string
	seed       uint64
	phase      string
	past       []string
	ran        time.Duration
	untilFault time.Duration // 0: there was none
	faults     []string
	counts     counts
	mishaps    map[string]int64 // of puts, by name
	pauses     int64
	quiet      int
	start, now usage
	most       usage
	said       string // the end of its log
}

// report says how the trial stands. It may be called at any time.
func (t *trial) report() report {
	r := report{name: t.name, seed: t.seed, mishaps: mishaps(t.cloud.Stats())}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.phase, r.past, r.faults = t.phase, slices.Clone(t.past), slices.Clone(t.faults)
	r.quiet, r.start, r.now, r.most = t.quiet, t.start, t.now, t.most
	switch {
	case t.began.IsZero():
	case t.end.IsZero():
		r.ran = time.Since(t.began)
	default:
		r.ran = t.end.Sub(t.began)
	}
	if !t.failed.IsZero() {
		r.untilFault = max(1, t.failed.Sub(t.began))
		r.said = t.gateway.said()
	}
	return r
}

// full adds what is counted elsewhere.
func (t *trial) full() report {
	r := t.report()
	r.counts = t.count()
	for _, p := range t.producers {
		r.pauses += p.pauses.Load()
	}
	return r
}

// hours shows a time in hours, as long runs have them.
func hours(d time.Duration) string { return fmt.Sprintf("%.3f", d.Hours()) }

// printTable writes a table, a line for each trial.
func printTable(w io.Writer, reports []report) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "gateway\thours\tsent\tdelivered\tlost\tleft\tduplicated\texplained\treordered\tdead letters\tpauses\t"+
		"quiet phases\tMiB start/now/most\tfiles\tgoroutines\thours to failure\t")
	for _, r := range reports {
		c := r.counts
		failure := "-"
		if r.untilFault > 0 {
			failure = hours(r.untilFault)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t\n",
			r.name, hours(r.ran), c.sent, c.delivered, c.lost, c.left, c.duplicated, c.explained, c.reordered, tally(c.dead.reasons),
			r.pauses, r.quiet,
			triple(r.start.RSS>>20, r.now.RSS>>20, r.most.RSS>>20), triple(r.start.Files, r.now.Files, r.most.Files),
			triple(r.start.Goroutines, r.now.Goroutines, r.most.Goroutines), failure)
	}
	_ = table.Flush() // printing has no answer to a failure
}

func triple(a, b, c int64) string { return fmt.Sprintf("%d/%d/%d", a, b, c) }

// tally shows counts by name.
func tally(counts map[string]int64) string {
	if len(counts) == 0 {
		return "0"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s:%d", name, counts[name]))
	}
	return strings.Join(words, " ")
}

const lastWords = 3000 // bytes of a failed gateway's log that are shown

// explain writes what went wrong where, and what faults there were.
func explain(w io.Writer, reports []report) (failed int) {
	for _, r := range reports {
		fmt.Fprintf(w, "%s, seed %d: faults of puts %s\n", r.name, r.seed, tally(r.mishaps))
		if r.untilFault == 0 {
			continue
		}
		failed++
		for _, fault := range r.faults {
			fmt.Fprintf(w, "  FAILED: %s\n", fault)
		}
		said := r.said[max(0, len(r.said)-lastWords):]
		fmt.Fprintf(w, "  before: %s\n  its log ends:\n%s\n", strings.Join(r.past, "; "), said)
	}
	return failed
}
