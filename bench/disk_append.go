package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// An appendRow is producers who append payloads of one size and wait until each is synced: to the buffer, to the bare loop, and
// to JetStream.
type appendRow struct {
	Payload   int `json:"payload_bytes"`
	Producers int `json:"producers"`

	// Beside the bare loop:
	Rate    comparison `json:"mb_per_second"`
	CPU     comparison `json:"cpu_seconds_per_gb"`
	Commits comparison `json:"commits_per_second"`
	Written comparison `json:"bytes_written_per_payload_byte"`

	JetStreamRate    comparison `json:"mb_per_second_beside_jetstream"`
	JetStreamCPU     comparison `json:"cpu_seconds_per_gb_beside_jetstream"`
	JetStreamWritten comparison `json:"bytes_written_per_payload_byte_beside_jetstream"`
	Skipped          string     `json:"jetstream_skipped,omitempty"` // why it was not measured
}

// The goals: the part of the bare loop's rate that there is from goalDiskFrom on, and how many times JetStream's.
const (
	goalOfBare      = 0.7
	goalOfJetStream = 5
	goalDiskFrom    = 64 << 10
)

// appendSizes and appendProducers are what is measured.
func appendSizes() []int { return []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} }

func appendProducers() []int { return []int{1, 16, 64, 1000} }

// appendTime is how a round runs.
type appendTime struct {
	rounds  int
	seconds float64
}

// appends measures all sizes with all numbers of producers.
func (b bench) appends(ctx context.Context) ([]appendRow, error) {
	t := appendTime{rounds: 3, seconds: 1.5}
	if b.quick {
		t = appendTime{rounds: 2, seconds: 0.5}
	}
	jetStream, problem := b.buildJetStream(ctx)
	var rows []appendRow
	for _, payload := range appendSizes() {
		for _, producers := range appendProducers() {
			row := appendRow{Payload: payload, Producers: producers, Skipped: problem}
			if row.Skipped == "" {
				row.Skipped = noMemory(payload, producers)
			}
			if err := b.appendRow(ctx, &row, jetStream, t); err != nil {
				return nil, fmt.Errorf("%d bytes by %d: %w", payload, producers, err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// noMemory says why JetStream should not be asked: it has in memory what is under way, and half as much besides.
func noMemory(payload, producers int) string {
	const times, rest = 2, 512 << 20
	need := times*int64(payload)*int64(producers) + rest
	kib, err := strconv.ParseInt(firstMatch("/proc/meminfo", `MemAvailable:\s*(\d+)`), 10, 64)
	if err == nil && kib<<10 < need {
		return fmt.Sprintf("needs %.0f MiB of memory, %.0f are free", mib(need), mib(kib<<10))
	}
	return ""
}

// appendRow runs the rounds: in each the bare loop first, then the buffer, then JetStream. A first round is not counted: in it
// files come to be that are used again.
func (b bench) appendRow(ctx context.Context, row *appendRow, jetStream string, t appendTime) (err error) {
	logs := []string{logBare, logBuffer}
	if row.Skipped == "" {
		logs = append(logs, logJetStream)
	}
	var all []*appender
	defer func() {
		for _, a := range all {
			err = errors.Join(err, a.end())
		}
	}()
	for _, log := range logs {
		a, err := b.startAppender(ctx, appendOrder{Log: log, Payload: row.Payload, Producers: row.Producers}, jetStream)
		if err != nil {
			return fmt.Errorf("%s: %w", log, err)
		}
		all = append(all, a)
	}
	for i := range 1 + t.rounds {
		figures := make([]appendFigures, len(all))
		for j, a := range all {
			if figures[j], err = a.round(ctx, t.seconds); err != nil {
				return fmt.Errorf("%s: %w", a.log, err)
			}
		}
		if i > 0 {
			row.add(figures)
		}
	}
	progress("disk: %4d KiB by %4d  MB/s, bare %s;  jetstream %s;  CPU %s", row.Payload>>10, row.Producers, &row.Rate,
		&row.JetStreamRate, &row.CPU)
	return nil
}

// add adds a round: the figures of the bare loop, of the buffer and, where there are three, of JetStream.
func (r *appendRow) add(figures []appendFigures) {
	bare, gateway := figures[0], figures[1]
	r.Rate.add(bare.rate, gateway.rate)
	r.CPU.add(bare.cpu, gateway.cpu)
	r.Commits.add(bare.commits, gateway.commits)
	r.Written.add(bare.written, gateway.written)
	for _, other := range figures[2:] {
		r.JetStreamRate.add(other.rate, gateway.rate)
		r.JetStreamCPU.add(other.cpu, gateway.cpu)
		r.JetStreamWritten.add(other.written, gateway.written)
	}
}

// An appender is producers in a process of their own, with their log and its directory.
type appender struct {
	*process
	log    string
	remove func() error
}

// startAppender starts one and waits until it is ready. The binary is JetStream's.
func (b bench) startAppender(ctx context.Context, order appendOrder, binary string) (_ *appender, err error) {
	a := &appender{log: order.Log}
	if order.Dir, a.remove, err = b.diskDir(); err != nil {
		return nil, err
	}
	if order.Log == logJetStream {
		text, err := json.Marshal(order)
		if err != nil {
			return nil, err
		}
		a.process, err = b.spawn(ctx, binary, string(text))
		if err != nil {
			return nil, err
		}
	} else if a.process, err = b.role(ctx, roleAppend, order); err != nil {
		return nil, err
	}
	var ready bool
	err = a.answer(&ready)
	return a, err
}

func (a *appender) end() error { return errors.Join(a.finish(), a.remove()) }

// appendFigures are of one round.
type appendFigures struct {
	rate    float64 // MB of payload a second
	cpu     float64 // CPU-seconds per GB of payload
	commits float64 // a second
	written float64 // bytes for each of payload
}

// settleTime is how long the buffer takes to give up what its output is done with: a checkpoint's turn, and a bit. Whose turn is
// next should not see it.
const settleTime = 1200 * time.Millisecond

// round runs one round.
func (a *appender) round(ctx context.Context, seconds float64) (f appendFigures, err error) {
	cpu, err := cpuTime(a.pid())
	if err != nil {
		return f, err
	}
	written, err := writtenBytes(a.pid())
	if err != nil {
		return f, err
	}
	var answer appendAnswer
	if err := a.ask(appendRound{Seconds: seconds}, &answer); err != nil {
		return f, err
	}
	cpuAfter, err := cpuTime(a.pid())
	if err != nil {
		return f, err
	}
	writtenAfter, err := writtenBytes(a.pid())
	if err != nil {
		return f, err
	}
	f = answer.figures(cpuAfter-cpu, writtenAfter-written)
	rest := 50 * time.Millisecond
	if a.log == logBuffer {
		rest = settleTime
	}
	return f, pause(ctx, rest)
}

// figures are what the round's answer, the CPU time and the bytes written come to.
func (a appendAnswer) figures(cpu time.Duration, written int64) appendFigures {
	bytes := float64(max(a.Bytes, 1))
	return appendFigures{
		rate: bytes / a.Seconds / 1e6, cpu: cpu.Seconds() / bytes * 1e9,
		commits: float64(a.Commits) / a.Seconds, written: float64(written) / bytes,
	}
}

// writtenBytes is how many bytes a process has written to files, by proc_pid_io(5). What the disk is given is not known: the kernel
// counts whole folios there, of which a write may touch a page.
func writtenBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "wchar:"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("process %d: its written bytes are not known", pid)
}
