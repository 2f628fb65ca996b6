package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cloudWatchTables tell what putting costs, and then how it was put.
func (r *report) cloudWatchTables(b *strings.Builder) {
	if r.CloudWatch == nil {
		return
	}
	b.WriteString("\n## CloudWatch Logs: streams, memory, PutLogEvents; 256 B bodies\n\n" +
		"As many producers as log streams, to a strict fake of the service. The baseline is a loop that puts full batches, made\n" +
		"beforehand, through the plain SDK, as many at a time as there are streams. CPU is of the whole process, user and system,\n" +
		"in seconds per million records; the rate is in million records a second, up to the last ack. `plain_sdk` is a gateway\n" +
		"that has the SDK encode.\n\n")
	var costs, calls [][]string
	for i := range r.CloudWatch {
		row := &r.CloudWatch[i]
		what := []string{
			fmt.Sprintf("%d to %d", row.Streams, row.Streams), fmt.Sprintf("%.0f ms", row.LatencyMS), row.scheme(), row.Scheduler, row.Encoding,
		}
		costs = append(costs, slices.Concat(what, row.CPU.cells("%.3f", 1), row.Rate.cells("%.3f", 1e-6)))
		calls = append(calls, slices.Concat(what, row.callCells()))
	}
	head := []string{"streams", "latency", "over", "scheduler", "encoding"}
	tabulate(b, slices.Concat(head, []string{
		"**CPU, x SDK loop**", "loop", "gateway", "**rate, x SDK loop**", "loop", "gateway",
	}), costs)
	b.WriteString("\nThe calls of a round of the gateway. Busy is the part of the time from its first call to its last in which one was in\n" +
		"flight. Connections are those that were made meanwhile. Lost, out of order and twice are of all rounds.\n\n")
	tabulate(b, slices.Concat(head, []string{
		"calls", "bytes a call", "of 1 MiB", "bytes on the wire", "in flight", "busy", "connections", "the SDK loop's",
		"lost", "out of order", "twice",
	}), calls)
	b.WriteString("\n")
	for i := range r.CloudWatch {
		r.CloudWatch[i].verdicts(b)
	}
	b.WriteString(fieldNote)
}

// fieldNote is the bar to beat.
const fieldNote = "\nFor comparison, measured elsewhere and not in this run: Fluent Bit 5.1, tuned, the same records, TLS on, forward to one log\n" +
	"stream of a mock at 0 and 20 ms, took 1.53-1.78 CPU-s per million records, at 0.63-0.73 M records a second, out of order.\n"

// callCells are how a round's records were put.
func (r *putRow) callCells() []string {
	median := func(values []float64) float64 { return quantile(values, 0.5) }
	size := median(r.CallBytes)
	return []string{
		fmt.Sprintf("%.0f", median(r.Calls)), fmt.Sprintf("%.0f", size), percent(size / maxBatchBytes),
		fmt.Sprintf("%.0f", median(r.WireBytes)), fmt.Sprintf("%.1f", median(r.InFlight)), percent(median(r.Busy)),
		fmt.Sprintf("%.0f", median(r.Connections)), fmt.Sprintf("%.0f", median(r.BaseConnections)),
		strconv.FormatInt(r.Lost, 10), strconv.FormatInt(r.Reordered, 10), strconv.FormatInt(r.Duplicates, 10),
	}
}

// verdicts say whether the row's goals are met, where it has any.
func (r *putRow) verdicts(b *strings.Builder) {
	if r.Encoding != encodeJSON || r.LatencyMS != goalAt.Seconds()*1e3 {
		return
	}
	what := fmt.Sprintf("%d to %d, %.0f ms, %s: ", r.Streams, r.Streams, r.LatencyMS, r.scheme())
	line := func(text string) { fmt.Fprintf(b, "- %s%s\n", what, text) }
	if r.Scheduler == "sync" {
		line(verdictAtLeast("busy", 100*quantile(r.Busy, 0.5), 100*goalBusy, " %"))
		return
	}
	line(verdict("CPU", quantile(r.CPU.Gateway, 0.5), goalPutCPU, " s per million records"))
	line(verdictAtLeast("rate", quantile(r.Rate.Gateway, 0.5)/1e6, goalPutRate/1e6, " M records a second, in order"))
	if r.OfPlain != nil {
		line(fmt.Sprintf("CPU, x that of the gateway with plain_sdk: %s.", r.OfPlain.Ratio))
	}
}

func percent(part float64) string { return fmt.Sprintf("%.1f %%", 100*part) }
