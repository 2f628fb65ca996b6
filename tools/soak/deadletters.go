package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// deadLetters are what a gateway wrote to its standard output: dead letters, one JSON object a line. It is an io.Writer that
// counts, and safe for concurrent use.
type deadLetters struct {
	mu      sync.Mutex // guards what follows
	rest    []byte     // of a line that has no end yet
	reasons map[string]int64
	stale   int64  // of those that had to come
	others  int64  // of those that had not
	first   string // of the others, in words
}

// Write implements io.Writer.
func (d *deadLetters) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest = append(d.rest, b...)
	for {
		line, rest, ok := bytes.Cut(d.rest, []byte("\n"))
		if !ok {
			break
		}
		d.count(line)
		d.rest = rest
	}
	d.rest = bytes.Clone(d.rest) // what was read is garbage
	return len(b), nil
}

// count is called under the mutex.
func (d *deadLetters) count(line []byte) {
	var letter struct {
		Body string
		Dead struct{ Reason, Message string } `json:"dead_letter"`
	}
	if err := json.Unmarshal(line, &letter); err != nil {
		letter.Dead.Reason, letter.Dead.Message = "unreadable", err.Error()
	}
	if d.reasons == nil {
		d.reasons = map[string]int64{}
	}
	d.reasons[letter.Dead.Reason]++
	if letter.Dead.Reason == "too_old" && isStale(letter.Body) {
		d.stale++
		return
	}
	if d.others++; d.others == 1 {
		d.first = fmt.Sprintf("%s: %.200s (%.40q)", letter.Dead.Reason, letter.Dead.Message, letter.Body)
	}
}

// A deadCount is what was written so far.
type deadCount struct {
	reasons       map[string]int64
	stale, others int64
	first         string
}

func (d *deadLetters) counted() deadCount {
	d.mu.Lock()
	defer d.mu.Unlock()
	return deadCount{maps.Clone(d.reasons), d.stale, d.others, d.first}
}
