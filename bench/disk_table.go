package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// diskTables tell what appending costs, what a gateway makes of it, and how a log is opened.
func (r *report) diskTables(b *strings.Builder) {
	if r.Disk == nil {
		return
	}
	fmt.Fprintf(b, "\n## Disk: appends that are synced; %s on %s\n\n", r.Disk.FileSystem, r.Disk.Device)
	b.WriteString("Producers append a payload each, wait until it is safe, and append the next. Bare is a loop that writes the same\n" +
		"payloads, all that wait at once, and syncs them. JetStream is embedded, with SyncAlways. Rates are in MB (10^6) of payload\n" +
		"a second, CPU is of the whole process with its producers, in seconds per GB (10^9). Written is what went to files\n" +
		"for each byte of payload.\n\n")
	r.Disk.appendTable(b)
	b.WriteString("\n")
	r.Disk.appendVerdicts(b)
	r.Disk.throughTable(b)
	r.Disk.recoveryTable(b)
}

func (d *diskResult) appendTable(b *strings.Builder) {
	var rows [][]string
	for i := range d.Append {
		row := &d.Append[i]
		jetStream := []string{row.Skipped, "", "", "", ""}
		if row.Skipped == "" {
			jetStream = slices.Concat(row.JetStreamRate.cells("%.0f", 1)[:2], row.JetStreamCPU.cells("%.2f", 1)[:2],
				row.JetStreamWritten.cells("%.2f", 1)[1:2])
		}
		rows = append(rows, slices.Concat(
			[]string{fmt.Sprintf("%d KiB", row.Payload>>10), strconv.Itoa(row.Producers)},
			row.Rate.cells("%.0f", 1), row.Commits.cells("%.0f", 1)[1:], row.CPU.cells("%.2f", 1),
			row.Written.cells("%.2f", 1)[2:], jetStream))
	}
	tabulate(b, []string{
		"payload", "producers", "**rate, x bare**", "bare", "buffer", "commits a second, bare", "buffer",
		"**CPU, x bare**", "bare", "buffer", "written",
		"**rate, x JetStream**", "JetStream", "**CPU, x JetStream**", "JetStream", "written, JetStream",
	}, rows)
}

// appendVerdicts name the rows that miss a goal.
func (d *diskResult) appendVerdicts(b *strings.Builder) {
	var ofBare, ofJetStream verdicts
	for i := range d.Append {
		row := &d.Append[i]
		name := fmt.Sprintf("%d KiB by %d", row.Payload>>10, row.Producers)
		if row.Payload >= goalDiskFrom {
			ofBare.add(row.Rate.Ratio.Median, goalOfBare, name)
		}
		if row.Skipped == "" {
			bare := quantile(row.Rate.Floor, 0.5) / quantile(row.JetStreamRate.Floor, 0.5)
			ofJetStream.add(row.JetStreamRate.Ratio.Median, goalOfJetStream, fmt.Sprintf("%s, bare %.1f", name, bare))
		}
	}
	fmt.Fprintf(b, "- Rate, x bare, from %d KiB on: goal at least %g: %s.\n", goalDiskFrom>>10, goalOfBare, &ofBare)
	fmt.Fprintf(b, "- Rate, x JetStream: goal at least %d: %s.\n", goalOfJetStream, &ofJetStream)
}

// verdicts are those of several figures that should be great.
type verdicts struct {
	all    int
	missed []string
}

func (v *verdicts) add(is, goal float64, name string) {
	v.all++
	if is < goal {
		v.missed = append(v.missed, fmt.Sprintf("%.2f (%s)", is, name))
	}
}

// String says how many are met, and which are not.
func (v *verdicts) String() string {
	switch {
	case v.all == 0:
		return "not measured"
	case len(v.missed) == 0:
		return "met by all"
	}
	return fmt.Sprintf("met by %d of %d, missed with %s", v.all-len(v.missed), v.all, strings.Join(v.missed, ", "))
}

func (d *diskResult) throughTable(b *strings.Builder) {
	b.WriteString("\n### Stream, disk, null beside stream, memory, null; 256 B bodies\n\n" +
		"CPU is of the whole gateway, in seconds per million records; the rate is in million records a second, up to the last ack.\n\n")
	var rows [][]string
	for i := range d.ThroughIt {
		row := &d.ThroughIt[i]
		what := []string{strconv.Itoa(row.Append), strconv.Itoa(row.Streams)}
		if row.Skipped != "" {
			rows = append(rows, slices.Concat(what, []string{row.Skipped, "", "", "", "", ""}))
			continue
		}
		rows = append(rows, slices.Concat(what, row.CPU.cells("%.3f", 1), row.Rate.cells("%.2f", 1e-6)))
	}
	tabulate(b, []string{
		"records a message", "streams", "**CPU, x memory**", "memory", "disk", "**rate, x memory**", "memory", "disk",
	}, rows)
}

func (d *diskResult) recoveryTable(b *strings.Builder) {
	b.WriteString("\n### Opening a log whose process was killed\n\n" +
		"Nothing of it is in the system's memory. Its last segment is about full, and has no seal: it is read. Memory is what is\n" +
		"resident at most up to then, in MiB. Then a cursor reads 1 GiB, or what there is, as an output does, beside the files\n" +
		"themselves in pieces of 1 MiB; MB (10^6) a second.\n\n")
	var rows [][]string
	for i := range d.Recovery {
		row := &d.Recovery[i]
		what := []string{fmt.Sprintf("%d GiB", row.GiB), fmt.Sprintf("%d KiB", row.Chunk>>10)}
		if row.Skipped != "" {
			rows = append(rows, slices.Concat(what, []string{row.Skipped}, slices.Repeat([]string{""}, 8)))
			continue
		}
		rows = append(rows, slices.Concat(what, []string{
			median("%.0f", row.Chunks), median("%.0f", row.FillRate), median("%.3f", row.Seconds),
			median("%.0f", row.RestMiB), median("%.0f", row.OpenMiB), median("%.0f", row.ReadMiB),
		}, row.Read.cells("%.0f", 1)))
	}
	tabulate(b, []string{
		"log", "chunk", "chunks", "filled at MB/s", "**opened in s**", "RSS before", "**opened**", "**read**",
		"**read, x files**", "files", "cursor",
	}, rows)
}

// median is that of a figure's rounds.
func median(format string, rounds []float64) string {
	return fmt.Sprintf(format, quantile(rounds, 0.5))
}
