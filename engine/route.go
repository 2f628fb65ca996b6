package engine

import (
	"fmt"
	"strings"
)

// Matches reports whether a dotted tag matches the pattern: "*" stands for one part, "**" for any number of parts, none
// included; all else is literal.
func Matches(pattern, tag string) bool {
	return matchParts(strings.Split(pattern, "."), strings.Split(tag, "."))
}

func matchParts(pattern, tag []string) bool {
	for i, p := range pattern {
		if p == "**" {
			for skip := 0; i+skip <= len(tag); skip++ {
				if matchParts(pattern[i+1:], tag[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(tag) || p != "*" && p != tag[i] {
			return false
		}
	}
	return len(pattern) == len(tag)
}

// CheckPattern says what is wrong with a route's pattern, if anything.
func CheckPattern(pattern string) error {
	for part := range strings.SplitSeq(pattern, ".") {
		switch {
		case part == "":
			return fmt.Errorf("pattern %q has an empty part", pattern)
		case strings.Contains(part, "*") && part != "*" && part != "**":
			return fmt.Errorf("pattern %q: %q is not a wildcard: it must be a whole part, %q or %q", pattern, part, "*", "**")
		}
	}
	if strings.Count(pattern, "**") > 2 {
		return fmt.Errorf("pattern %q has more than two %q", pattern, "**")
	}
	return nil
}

type route struct {
	match   string
	outputs OutputSet
}

// routes finds the outputs of a tag.
type routes []route

func (rs routes) outputs(tag string) OutputSet {
	var set OutputSet
	for _, r := range rs {
		if Matches(r.match, tag) {
			set |= r.outputs
		}
	}
	return set
}
