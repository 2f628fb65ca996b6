package config

import (
	"errors"
	"fmt"
	"strings"
)

// errExpand does not show what it is about: that may be part of a password.
var errExpand = errors.New("${ begins a ${NAME} or ${NAME:-default}; write $${ for a literal ${")

// expand replaces ${NAME} and ${NAME:-default} by what lookup knows. The default stands in for a variable that is unset
// or empty; a variable without either is an error. $${ is a literal ${. What a variable holds is not expanded again.
func expand(s string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			out.WriteString(s)
			return out.String(), nil
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			s = rest
			continue
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errExpand
		}
		name, fallback, hasFallback := strings.Cut(inner, ":-")
		if !isVariable(name) {
			return "", errExpand
		}
		value, set := lookup(name)
		switch {
		case hasFallback && value == "":
			value = fallback
		case !set:
			return "", fmt.Errorf("the environment variable %s is not set; ${%s:-default} gives it a default", name, name)
		}
		out.WriteString(before + value)
		s = after
	}
}

// isVariable reports whether name is one of POSIX's names for environment variables.
func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
