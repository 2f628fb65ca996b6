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

// matchParts goes back to the last "**" alone, and gives that one part more: a tag is its client's, and may be long.
func matchParts(pattern, tag []string) bool {
	p, t := 0, 0
	star, taken := -1, 0 // the last "**", and the parts of the tag up to which it stands
	for t < len(tag) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, taken = p, t
			p++
		case p < len(pattern) && (pattern[p] == "*" || pattern[p] == tag[t]):
			p++
			t++
		case star >= 0:
			taken++
			p, t = star+1, taken
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
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
