package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A table has aligned columns, and a line of their names.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, columns ...any) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

// row adds a line.
func (t table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, cell(fmt.Sprint(c)))
	}
	fmt.Fprintln(t)
}

// end writes the table, and an empty line.
func (t table) end() {
	fmt.Fprintln(t)
	_ = t.Flush() // like Fprintln's
}

// printReport prints what inspect found.
func printReport(w io.Writer, r *disk.Report) {
	printOutputs(w, r.Outputs)
	printStreams(w, r.Streams)
	printSegments(w, r)
	if r.Checkpoint > 0 {
		fmt.Fprintf(w, "checkpoint %d of %s; ", r.Checkpoint, timeText(r.Written))
	}
	size := int64(0)
	for _, s := range r.Segments {
		size += s.Size
	}
	fmt.Fprintf(w, "%s of %s", plural(len(r.Segments), "segment"), bytesText(size))
	printKept(w, "for use again", r.Idle)
	printKept(w, "in quarantine", r.Quarantine)
	fmt.Fprintln(w)
	printFindings(w, r)
}

func printKept(w io.Writer, what string, files []seglog.Kept) {
	if len(files) == 0 {
		return
	}
	size := int64(0)
	for _, f := range files {
		size += f.Size
	}
	fmt.Fprintf(w, ", %s of %s %s", plural(len(files), "file"), bytesText(size), what)
}

func printOutputs(w io.Writer, outputs []disk.OutputReport) {
	if len(outputs) == 0 {
		return
	}
	t := newTable(w, "OUTPUT", "ID", "CHUNKS", "RECORDS", "BYTES", "GIVEN OUT", "READS NEXT", "OLDEST", "SEGMENTS")
	for i := range outputs {
		o := &outputs[i]
		most := ""
		if o.AtMost() {
			most = "≤ "
		}
		t.row(outputText(o.Name), o.ID, fmt.Sprint(most, o.Chunks), fmt.Sprint(most, o.Records), most+bytesText(o.Bytes), o.Given, o.Read.LSN,
			timeText(o.Oldest), len(o.Segments))
	}
	t.end()
}

// storeText is what stands for the output that the store of dead letters is to its buffer.
const storeText = config.StoreName + " (store)"

// outputText is an output's name, for people.
func outputText(name string) string {
	if name == config.StoreName {
		return storeText
	}
	return name
}

// neededBy gives the names of the outputs that need something of a segment, for people.
func neededBy(r *disk.Report, segment uint64) string {
	names := r.NeededBy(segment)
	for i := range names {
		names[i] = outputText(names[i])
	}
	return strings.Join(names, ", ")
}

// maxStreams is how many streams are listed: those of which most is stored.
const maxStreams = 20

func printStreams(w io.Writer, streams []disk.StreamReport) {
	if len(streams) == 0 {
		return
	}
	t := newTable(w, "TENANT", "STREAM", "TAG", "STORED", "EPOCH", "LAST", "SEEN")
	shown := streams[:min(len(streams), maxStreams)]
	for i := range shown {
		s := &shown[i]
		t.row(s.Tenant, s.ID, s.Tag, bytesText(s.Stored()), s.Epoch, s.Last, timeText(s.Seen))
	}
	if more := streams[len(shown):]; len(more) > 0 {
		stored := int64(0)
		for i := range more {
			stored += more[i].Stored()
		}
		fmt.Fprintf(t, "and %s with %s stored\n", plural(len(more), "more stream"), bytesText(stored))
	}
	t.end()
}

func printSegments(w io.Writer, r *disk.Report) {
	if len(r.Segments) == 0 {
		return
	}
	t := newTable(w, "SEGMENT", "ENTRIES", "FROM", "TO", "FILLED", "SIZE", "SEALED", "DAMAGED", "NEEDED BY")
	for _, s := range r.Segments {
		sealed := "yes"
		if !s.Sealed {
			sealed = "no"
		}
		damaged := "no"
		if slices.ContainsFunc(r.Damage, func(d disk.Damage) bool { return d.Segment == s.Number }) {
			damaged = "yes"
		}
		var from, to any = s.First, s.Next - 1
		if s.Entries == 0 {
			from, to = "", ""
		}
		t.row(s.Number, s.Entries, from, to, bytesText(s.Bytes), bytesText(s.Size), sealed, damaged,
			neededBy(r, s.Number))
	}
	t.end()
}

// printFindings prints what is wrong, and what looks like it.
func printFindings(w io.Writer, r *disk.Report) {
	for _, d := range r.Damage {
		fmt.Fprintf(w, "damage: %s\n", d)
	}
	for i := range r.Outputs {
		if o := &r.Outputs[i]; o.Lost > 0 {
			fmt.Fprintf(w, "damage: %s that output %s had not delivered are lost with their segment\n",
				plural(int(o.Lost), "record"), cell(outputText(o.Name)))
		}
	}
	if r.Checkpoint == 0 && len(r.Segments) > 0 {
		fmt.Fprintln(w, "damage: no checkpoint can be read, all outputs would begin with the oldest entry")
	}
	for _, d := range r.Cut {
		fmt.Fprintf(w, "note: segment %d at offset %d: a commit was under way, and will be cut\n", d.Segment, d.Offset)
	}
	for _, d := range r.Missing {
		fmt.Fprintf(w, "note: entries %d to %d are not there: no output that is behind needed them, or a segment is lost\n",
			d.From, d.To-1)
	}
}

// printVerdict prints what verify found.
func printVerdict(w io.Writer, dir string, r *disk.Report) {
	printFindings(w, r)
	entries, verdict := 0, "good"
	for _, s := range r.Segments {
		entries += int(s.Entries)
	}
	if !r.Good() {
		verdict = "damaged"
	}
	fmt.Fprintf(w, "%s: %s; read %s, %d entries in %s\n", dir, verdict, bytesText(r.Read), entries,
		plural(len(r.Segments), "segment"))
}

// printLetters prints what is in the store of dead letters, and what is wrong with it; nil: there is none.
func printLetters(w io.Writer, r *deadletter.Report) {
	if r == nil {
		return
	}
	for _, d := range r.Damage {
		fmt.Fprintf(w, "damage: dead letters: %s\n", d)
	}
	if r.Unknown {
		fmt.Fprintln(w, "damage: dead letters: what was removed cannot be read, all letters are there again")
	}
	fmt.Fprintf(w, "store of dead letters: %s, %s on the disk\n", plural(int(r.Letters), "letter"), bytesText(r.Bytes))
}

// timeText is a time for people; empty: there is none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}
