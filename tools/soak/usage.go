package main

import (
	"cmp"
	"fmt"
	"slices"
)

// A usage is what a gateway takes of its machine.
type usage struct {
	RSS        int64 // bytes
	Files      int64 // descriptors
	Goroutines int64
}

// fields are the parts of a usage, each judged on its own.
func (u *usage) fields() []*int64 { return []*int64{&u.RSS, &u.Files, &u.Goroutines} }

// each makes a usage field by field.
func each(of []usage, f func(values []int64) int64) usage {
	var u usage
	values := make([]int64, len(of))
	for i, field := range u.fields() {
		for k := range of {
			values[k] = *of[k].fields()[i]
		}
		*field = f(values)
	}
	return u
}

// median is the middle of each field: of an even number the lower.
func median(of []usage) usage {
	return each(of, func(values []int64) int64 {
		if len(values) == 0 {
			return 0
		}
		slices.SortFunc(values, cmp.Compare)
		return values[(len(values)-1)/2]
	})
}

// greatest is the maximum of each field.
func greatest(of ...usage) usage {
	return each(of, slices.Max)
}

// A history is the usage of quiet phases, one point each, or of several each when there have been very many: its size is
// bounded, and its first quarter stays the first quarter of the time.
type history struct {
	points []usage
	recent []usage // that make up the next point
	stride int     // how many a point is of; 0: one
}

const maxHistory = 512

// add adds a quiet phase.
func (h *history) add(u usage) {
	h.recent = append(h.recent, u)
	if len(h.recent) < max(1, h.stride) {
		return
	}
	h.points = append(h.points, median(h.recent))
	h.recent = h.recent[:0]
	if len(h.points) < maxHistory {
		return
	}
	for i := range maxHistory / 2 {
		h.points[i] = median(h.points[2*i : 2*i+2])
	}
	h.points = h.points[:maxHistory/2]
	h.stride = 2 * max(1, h.stride)
}

// What the last quarter's median may be over the first's: a part of it, and some. Two phases make a quarter, at least.
const (
	minPhases      = 8
	slackPart      = 0.25
	slackRSS       = 16 << 20
	slackFiles     = 8
	slackGoroutine = 16
)

// ends are the medians of the first and of the last quarter. False: there are too few phases to tell.
func (h *history) ends() (first, last usage, ok bool) {
	n := len(h.points)
	if n < minPhases {
		return usage{}, usage{}, false
	}
	return median(slices.Clone(h.points[:n/4])), median(slices.Clone(h.points[n-n/4:])), true
}

// growth says what did not stay flat, in words.
func (h *history) growth() []string {
	first, last, ok := h.ends()
	if !ok {
		return nil
	}
	slack := usage{slackRSS, slackFiles, slackGoroutine}
	var grown []string
	for i, name := range []string{"RSS", "file descriptors", "goroutines"} {
		was, is := *first.fields()[i], *last.fields()[i]
		if float64(is) > float64(was)*(1+slackPart)+float64(*slack.fields()[i]) {
			grown = append(grown, fmt.Sprintf("%s grew: median %d in the first quarter, %d in the last", name, was, is))
		}
	}
	return grown
}
