package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// outcome is what the output holds, counted in records.
type outcome struct {
	delivered  int // at least once
	duplicated int // more often
	wrong      int // out of order, or not what was sent under this sequence
}

// verify reads the output beside what was sent. A record's sequence is the number of its line.
func verify(sent, output string) (outcome, error) {
	source, err := os.Open(sent)
	if err != nil {
		return outcome{}, err
	}
	defer source.Close()
	out, err := os.Open(output)
	if err != nil {
		return outcome{}, err
	}
	defer out.Close()

	lines, records := bufio.NewScanner(source), bufio.NewScanner(out)
	records.Buffer(nil, 2<<20)
	lines.Buffer(nil, 2<<20)
	var got outcome
	for last := uint64(0); records.Scan(); {
		var r struct {
			Body     string `json:"body"`
			Sequence uint64 `json:"sequence"`
		}
		if err := json.Unmarshal(records.Bytes(), &r); err != nil {
			return got, fmt.Errorf("record %d: %w", last+1, err)
		}
		if r.Sequence <= last {
			got.duplicated++
			continue
		}
		for last++; last < r.Sequence && lines.Scan(); last++ { // lost
		}
		if !lines.Scan() || lines.Text() != r.Body {
			got.wrong++
		}
		got.delivered++
		last = r.Sequence
	}
	if err := records.Err(); err != nil {
		return got, err
	}
	return got, lines.Err()
}
