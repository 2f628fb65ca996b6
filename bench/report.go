package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A report is all that a run found. What was not measured is left out.
type report struct {
	Machine    machine         `json:"machine"`
	Quick      bool            `json:"quick"`
	Throughput []throughputRow `json:"throughput,omitempty"`
	Idle       []idleRow       `json:"idle,omitempty"`
	Pause      *pauseResult    `json:"pause,omitempty"`
	Bound      *boundResult    `json:"bound,omitempty"`
	CloudWatch []putRow        `json:"cloudwatch,omitempty"`
	Disk       *diskResult     `json:"disk,omitempty"`

	only string // the part, where it is one alone
}

// add measures a part.
func (r *report) add(ctx context.Context, b bench, part string) (err error) {
	switch part {
	case partThroughput:
		r.Throughput, err = b.throughput(ctx)
	case partIdle:
		r.Idle, err = b.idle(ctx)
	case partPause:
		r.Pause, err = b.pauses(ctx)
	case partBound:
		if r.Bound, err = b.bound(ctx); err == nil {
			err = r.Bound.err()
		}
	case partCloudWatch:
		r.CloudWatch, err = b.puts(ctx)
	case partDisk:
		r.Disk, err = b.disk(ctx)
	}
	return err
}

// write writes DIR/DATE-CLASS.md and .json. Those of one part alone are DATE-CLASS-PART, beside the whole run's.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	figures, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, r.name())
	if err := os.WriteFile(name+".md", []byte(r.markdown()), 0o640); err != nil {
		return err
	}
	return os.WriteFile(name+".json", append(figures, '\n'), 0o640)
}

// name is what the report's files are called.
func (r *report) name() string {
	name := r.Machine.Date + "-" + r.Machine.class()
	if r.only != "" {
		name += "-" + r.only
	}
	return name
}

// markdown is the report for people.
func (r *report) markdown() string {
	var b strings.Builder
	m := &r.Machine
	fmt.Fprintf(&b, "# %s, %s\n\n", m.Date, m.class())
	fmt.Fprintf(&b, "%s, %d cores, %.0f MiB; Linux %s; %s; commit %s; load before the run %s.\n", m.CPU, m.Cores, m.MemoryMiB,
		m.Kernel, m.Go, m.Commit, m.Load)
	if r.Quick {
		b.WriteString("A quick run: fewer and shorter rounds.\n")
	}
	r.throughputTable(&b)
	r.idleTable(&b)
	r.pauseTable(&b)
	r.boundTable(&b)
	r.cloudWatchTables(&b)
	r.diskTables(&b)
	return b.String()
}

// goalCPU is how many times the floor's CPU time the gateway may take at the default point.
const goalCPU = 1.7

func (r *report) throughputTable(b *strings.Builder) {
	if r.Throughput == nil {
		return
	}
	b.WriteString("\n## Throughput: stream, memory, null; 256 B bodies\n\n" +
		"The floor is a bare grpc-go server that discards the same bytes. CPU is of the whole server process, user and system,\n" +
		"in seconds per million records; the rate is in million records a second.\n\n")
	var rows [][]string
	goal := ""
	for i := range r.Throughput {
		row := &r.Throughput[i]
		rows = append(rows, slices.Concat(
			[]string{strconv.Itoa(row.Append), strconv.Itoa(row.Attributes), strconv.Itoa(row.Streams), row.Scheduler},
			row.CPU.cells("%.3f", 1), row.Rate.cells("%.2f", 1e-6)))
		if row.IsDefault {
			goal = verdict("CPU of the first row", row.CPU.Ratio.Median, goalCPU, "x the floor's")
		}
	}
	tabulate(b, []string{
		"records a message", "attributes", "streams", "scheduler",
		"**CPU, x floor**", "floor", "gateway", "**rate, x floor**", "floor", "gateway",
	}, rows)
	fmt.Fprintf(b, "\n%s\n", goal)
}

func (r *report) idleTable(b *strings.Builder) {
	if r.Idle == nil {
		return
	}
	b.WriteString("\n## Memory of an idle stream\n\n" +
		"What so many open streams add to the resident memory of the process, in KiB a stream.\n\n")
	var rows [][]string
	for i := range r.Idle {
		row := &r.Idle[i]
		connection := "its own"
		if row.Shared {
			connection = "shared"
		}
		cells := []string{strconv.Itoa(row.Streams), connection, "", "", "", row.Skipped}
		if row.Skipped == "" {
			copy(cells[2:], row.KiB.cells("%.1f", 1))
			cells[5] = fmt.Sprintf("%.0f: %s", row.Goal, met(quantile(row.KiB.Gateway, 0.5) <= row.Goal))
		}
		rows = append(rows, cells)
	}
	tabulate(b, []string{"streams", "connection", "**x floor**", "floor", "gateway", "goal"}, rows)
}

func (r *report) pauseTable(b *strings.Builder) {
	if r.Pause == nil {
		return
	}
	fmt.Fprintf(b, "\n## From crossing the limit to the producer's pause hook\n\n"+
		"%d crossings, each with a round trip on a bare gRPC stream beside it, in microseconds.\n\n", r.Pause.Crossings)
	tabulate(b, []string{"", "**x round trip**", "round trip", "to the hook"}, [][]string{
		slices.Concat([]string{"median"}, r.Pause.Median.cells("%.0f", 1)),
		slices.Concat([]string{"p99"}, r.Pause.P99.cells("%.0f", 1)),
	})
}

func (r *report) boundTable(b *strings.Builder) {
	p := r.Bound
	if p == nil {
		return
	}
	fmt.Fprintf(b, "\n## The bound: output down for %.0f s, %d clients pushing as fast as they may\n\n", p.DownSeconds, p.Clients)
	tabulate(b, []string{
		"**peak RSS, x limit**", "engine limit, MiB", "RSS at rest", "peak RSS", "sent", "delivered",
		"lost", "out of order", "refused", "pauses",
	}, [][]string{{
		fmt.Sprintf("%.2fx", p.OfLimit), fmt.Sprintf("%.0f", p.LimitMiB), fmt.Sprintf("%.0f", p.RestMiB), fmt.Sprintf("%.0f", p.PeakMiB),
		strconv.FormatUint(p.Sent, 10), strconv.FormatUint(p.Delivered, 10), strconv.FormatInt(p.Lost, 10),
		strconv.Itoa(p.OutOfOrder), fmt.Sprintf("%.0f", p.Refused), strconv.FormatUint(p.Pauses, 10),
	}})
	fmt.Fprintf(b, "\n%s\n", verdict("Peak RSS", p.PeakMiB, p.GoalMiB, " MiB"))
}

// cells are the ratio, and the medians of both figures, scaled.
func (c *comparison) cells(format string, scale float64) []string {
	return []string{
		c.Ratio.String(),
		fmt.Sprintf(format, scale*quantile(c.Floor, 0.5)),
		fmt.Sprintf(format, scale*quantile(c.Gateway, 0.5)),
	}
}

// verdict says whether a figure is within its goal.
func verdict(what string, is, goal float64, unit string) string {
	return fmt.Sprintf("%s: %.3g%s, goal at most %.3g: %s.", what, is, unit, goal, met(is <= goal))
}

// verdictAtLeast is the same of a figure that should be great.
func verdictAtLeast(what string, is, goal float64, unit string) string {
	return fmt.Sprintf("%s: %.3g%s, goal at least %.3g: %s.", what, is, unit, goal, met(is >= goal))
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// tabulate writes a table.
func tabulate(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, cells := range rows {
		line(cells)
	}
}
