package cloudwatch_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	tableHead = "fault | keepalive | scheduler | records | delivered | dead letters | duplicates | hidden | puts | failed | retries | " +
		"at once | of one | connections | fake-clock s"
	deniedHead = "keepalive | scheduler | puts without | puts with | slowest record without | slowest with"
)

// page is the document around the tables.
const page = `# CloudWatch under faults

Written by ` + "`go test ./outputs/cloudwatch -run TestFaultMatrix -update`" + `. The numbers are those of one run: where chance has a part,
which is in every backoff, another run has others. What they must be is checked in every run.

In each row %d producers append for %v of a fake clock to %d log streams, through an engine on the memory buffer, while for
most of it a strict CloudWatch fails as the row says; then it is well again, and they append for %v more. The row passes if
every record is delivered, or is a dead letter with its reason; if under ` + "`sync` and `keyed`" + ` each producer's records lie in
their order in the log stream; if there are exactly as many duplicates as events whose success was hidden; and if in the end
nothing is held, and no goroutine and no connection is left.

Some records can never be delivered, whatever the weather: empty ones, some older than 14 days, more than 2 hours ahead, or
older than the group's retention of %d days. ` + "`parked`" + ` is what was denied for longer than the park limit of 10 minutes.

- *duplicates*: events that were stored more than once. *hidden*: events of puts that were taken, and whose answer was lost:
  the connection was cut after the request was carried out, or the answer did not come.
- *puts*: calls of PutLogEvents; *failed*: those that were not answered with a success. *retries*: batches that were tried again.
  What is mended within one attempt, a missing group or renewed credentials, makes a failed put and no retry.
- *at once*: puts in flight at one time, at most; *of one*: the same, of one log stream.
- *fake-clock s*: from the first append until the last record is done.

| %s |
%s
%s
## One target of sixteen denied

The other fifteen, without the denied one (the row ` + "`none`" + `) and with it: how often they were put to in the first %v, without
the first %v in which log streams are created, and how long the slowest record took from its append until it was stored, linger
included.

| %s |
%s
%s`

func compareTable(t *testing.T, outcomes map[string]*outcome) {
	file := filepath.Join("..", "..", "docs", "cloudwatch-faults.md")
	got := fmt.Sprintf(page, targets*perTarget, produceFor, targets, produceAgain, retention,
		tableHead, rule(tableHead, 3), rows(outcomes), produceFor, settled, deniedHead, rule(deniedHead, 2), deniedRows(outcomes))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if form(got) != form(string(want)) {
		t.Errorf("%s is stale: run go test ./outputs/cloudwatch -run TestFaultMatrix -update", file)
	}
}

// rule is the line under a table's head: so many columns of words, the others of numbers.
func rule(head string, words int) string {
	n := strings.Count(head, "|") + 1
	return "|" + strings.Repeat("---|", words) + strings.Repeat("---:|", n-words)
}

func rows(outcomes map[string]*outcome) string {
	var b strings.Builder
	for _, c := range cells() {
		o := outcomes[c.String()]
		var letters []string
		for _, reason := range slices.Sorted(maps.Keys(o.letters)) {
			letters = append(letters, fmt.Sprintf("%d %s", o.letters[reason], reason))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %s | %d | %d | %d | %d | %d | %d | %d | %d | %.1f |\n",
			c.name, onOff(c.keepalive), c.scheduler, o.records, o.delivered, strings.Join(letters, ", "), o.duplicates, o.hidden,
			o.puts, o.failed, o.retries, o.atOnce, o.ofOne, o.connections, o.took.Seconds())
	}
	return b.String()
}

func deniedRows(outcomes map[string]*outcome) string {
	var b strings.Builder
	for _, c := range cells() {
		if c.name != denied {
			continue
		}
		with := outcomes[c.String()].others
		c.trouble = trouble{name: healthy}
		without := outcomes[c.String()].others
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %v | %v |\n", onOff(c.keepalive), c.scheduler, without.puts, with.puts,
			without.slowest.Round(time.Millisecond), with.slowest.Round(time.Millisecond))
	}
	return b.String()
}

// form is a document without the numbers of its tables: what must be the same in every run. Of a row it keeps its name.
func form(document string) string {
	var lines []string
	for line := range strings.Lines(document) {
		if row, ok := strings.CutPrefix(line, "| "); ok && row != tableHead+" |\n" && row != deniedHead+" |\n" {
			cut := strings.SplitN(row, " | ", 4)
			line = strings.Join(cut[:min(3, len(cut))], " | ")
			if strings.ContainsAny(cut[2], "0123456789") { // the second table
				line = strings.Join(cut[:2], " | ")
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
