package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Fault is one thing that is wrong in a config file, and where. It never holds a secret's value.
type Fault struct {
	File      string
	Line, Col int    // from 1; 0 where the file could not be read at all
	Path      string // of the key, such as outputs[1].http.url; empty for the whole file
	Msg       string // what is wrong, and what would be right
}

// String is the fault as editors and people read it: FILE:LINE:COL: key.path: message.
func (f Fault) String() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	if f.Path == "" {
		return where + ": " + f.Msg
	}
	return where + ": " + f.Path + ": " + f.Msg
}

// Faults are all that is wrong in a config file, in the order of the file.
type Faults []Fault

// String has one line a fault.
func (fs Faults) String() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// A FaultsError is the error of a config with faults.
type FaultsError struct{ Faults Faults }

func (e *FaultsError) Error() string { return e.Faults.String() }

func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// suggest says what somebody who wrote got may have meant: the nearest of the known words or, where none is near, all of
// them.
func suggest(got string, known []string) string {
	best, least := "", max(1, len(got)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(got), k); d < least {
			best, least = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) == 0:
		return "nothing is known here"
	default:
		return "known here: " + strings.Join(known, ", ")
	}
}

// distance is how many letters must be changed, added, left out or swapped with their neighbour to get from a to b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
