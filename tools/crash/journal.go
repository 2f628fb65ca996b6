package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// A journal reads what a gateway logs, and passes it on. It is an io.Writer, and safe for concurrent use.
type journal struct {
	to        io.Writer
	listening chan struct{} // closed when the gateway says so

	mu     sync.Mutex // guards what follows
	rest   []byte     // of a line that has no end yet
	heard  bool
	admin  string   // address
	faults []string // the first errors, and what is no line of the log: a panic
	cut    int      // commits that were under way
}

func newJournal(to io.Writer) *journal { return &journal{to: to, listening: make(chan struct{})} }

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rest = append(j.rest, b...)
	for {
		text, rest, ok := bytes.Cut(j.rest, []byte("\n"))
		if !ok {
			break
		}
		j.line(text)
		j.rest = rest
	}
	j.rest = bytes.Clone(j.rest) // what was read is garbage
	return j.to.Write(b)
}

// line is called with the lock held.
func (j *journal) line(text []byte) {
	var said struct {
		Level        slog.Level
		Msg, Address string
	}
	err := json.Unmarshal(text, &said)
	switch {
	case err != nil || said.Level >= slog.LevelError:
		if len(j.faults) < maxFaults {
			j.faults = append(j.faults, fmt.Sprintf("the gateway said: %.500s", text))
		}
	case said.Msg == "admin":
		j.admin = said.Address
	case said.Msg == "listening" && !j.heard:
		j.heard = true
		close(j.listening)
	case said.Msg == "a commit that was under way is cut":
		j.cut++
	}
}

// adminAddress is where the admin port is; empty: not said yet.
func (j *journal) adminAddress() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.admin
}

// hears reports whether the gateway has said that it listens.
func (j *journal) hears() bool {
	select {
	case <-j.listening:
		return true
	default:
		return false
	}
}

// told is what the gateway said of faults, and how many commits it has cut.
func (j *journal) told() (faults []string, cut int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.faults...), j.cut
}
