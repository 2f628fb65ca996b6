package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"
)

// A tail reads one of the gateway's files while it grows. It is not safe for concurrent use.
type tail struct {
	file   *os.File
	judge  *judge
	bodies bodies
	buffer []byte

	read int64
	rest []byte // of a line that has no end yet
	torn torn
}

// A torn line is one that had no end when its life did. The file output leaves it as it is, and begins a line of its own.
type torn struct {
	length int // 0: there is none
	life   int
	at     time.Time
}

const readSize = 256 << 10

func openTail(path string, j *judge, b bodies) (*tail, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &tail{file: f, judge: j, bodies: b, buffer: make([]byte, readSize)}, nil
}

// look reads what there is, and has it judged.
func (t *tail) look() error {
	for {
		n, err := t.file.Read(t.buffer)
		at := time.Now() // it was there before
		t.read += int64(n)
		t.take(t.buffer[:n], at)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (t *tail) take(b []byte, at time.Time) {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		t.rest = append(t.rest, line...)
		if !ok {
			return
		}
		t.line(t.rest, at)
		t.rest, b = t.rest[:0], rest
	}
}

// A line is what is looked at of what the file output writes for a record.
type line struct {
	Stream   string
	Sequence uint64
	Body     string
}

func (t *tail) line(text []byte, at time.Time) {
	j, life := t.judge, t.judge.now()
	was := t.torn
	t.torn = torn{}
	var l line
	err := json.Unmarshal(text, &l)
	if was.length == len(text) {
		j.torn++
		if err != nil {
			return
		}
		life, at = was.life, was.at // its end alone was missing
	}
	number, ok := t.bodies.number(l.Stream, l.Body)
	switch {
	case err != nil || was.length > 0 && was.length != len(text):
		j.foreign++
		j.fault("foreign", "a line that is none, before offset %d of %s: %.100q", t.read, t.file.Name(), text)
	case !ok || number != l.Sequence:
		j.foreign++
		j.fault("foreign", "%s, sequence %d, before offset %d of %s: %.100q", l.Stream, l.Sequence, t.read, t.file.Name(), l.Body)
	default:
		j.see(l.Stream, number, life, at)
	}
}

// end is told when a life is over, before the judge is: what has no end then was torn.
func (t *tail) end() {
	if len(t.rest) > 0 && t.torn.length != len(t.rest) {
		t.torn = torn{length: len(t.rest), life: t.judge.now(), at: time.Now()}
	}
}
