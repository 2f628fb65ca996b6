package cwfake

import (
	"maps"
	"slices"
	"strings"
)

// A Sequence reads from a stored message which source it is of and its number there. False: it has none. It must not
// keep the message, and it may be called concurrently.
type Sequence func(message string) (source string, number uint64, ok bool)

// An Order says how the events of one stream lie, each source's numbers against one another.
type Order struct {
	Events     int64 // with a number or without
	Unnumbered int64 // for which Sequence said false
	Reordered  int64 // new numbers that came after a greater one of their source
	Duplicates int64 // numbers that were there already
	Missing    uint64
	Sources    []Source // by name
}

// A Source is the events of one producer in one stream.
type Source struct {
	Name        string
	First, Last uint64 // the lowest and the highest number
	Events      int64  // duplicates included
	Reordered   int64
	Duplicates  int64
	Missing     uint64  // numbers between First and Last that never came
	Gaps        []Range // in which those are
}

// A Range is the numbers from First to Last, both included.
type Range struct{ First, Last uint64 }

// CheckOrder looks at kept events in the order in which they were put.
func CheckOrder(events []Event, read Sequence) Order {
	var o ordering
	for _, e := range events {
		o.add(e.Message, read)
	}
	return o.order()
}

// An ordering grows an Order event by event.
type ordering struct {
	events, unnumbered int64
	sources            map[string]*seen
}

// seen is the numbers of one source: sorted runs that do not touch. Where all comes in order it is one run.
type seen struct {
	runs                          []Range
	events, reordered, duplicates int64
}

func (o *ordering) add(message string, read Sequence) {
	o.events++
	source, number, ok := read(message)
	if !ok {
		o.unnumbered++
		return
	}
	s := o.sources[source]
	if s == nil {
		if o.sources == nil {
			o.sources = map[string]*seen{}
		}
		s = &seen{}
		o.sources[strings.Clone(source)] = s
	}
	s.add(number)
}

func (s *seen) add(n uint64) {
	s.events++
	last := len(s.runs) - 1
	if last >= 0 && n == s.runs[last].Last+1 { // in order, as nearly all
		s.runs[last].Last = n
		return
	}
	i, found := slices.BinarySearchFunc(s.runs, n, func(r Range, n uint64) int {
		switch {
		case r.Last < n:
			return -1
		case r.First > n:
			return 1
		}
		return 0
	})
	if found {
		s.duplicates++
		return
	}
	if i <= last {
		s.reordered++
	}
	joinsLower := i > 0 && s.runs[i-1].Last+1 == n
	joinsUpper := i <= last && n+1 == s.runs[i].First
	switch {
	case joinsLower && joinsUpper:
		s.runs[i-1].Last = s.runs[i].Last
		s.runs = slices.Delete(s.runs, i, i+1)
	case joinsLower:
		s.runs[i-1].Last = n
	case joinsUpper:
		s.runs[i].First = n
	default:
		s.runs = slices.Insert(s.runs, i, Range{n, n})
	}
}

// order is the sum of what was added.
func (o *ordering) order() Order {
	sum := Order{Events: o.events, Unnumbered: o.unnumbered}
	for _, name := range slices.Sorted(maps.Keys(o.sources)) {
		s := o.sources[name]
		src := Source{
			Name: name, First: s.runs[0].First, Last: s.runs[len(s.runs)-1].Last,
			Events: s.events, Reordered: s.reordered, Duplicates: s.duplicates,
		}
		for i := 1; i < len(s.runs); i++ {
			gap := Range{s.runs[i-1].Last + 1, s.runs[i].First - 1}
			src.Gaps = append(src.Gaps, gap)
			src.Missing += gap.Last - gap.First + 1
		}
		sum.Reordered += src.Reordered
		sum.Duplicates += src.Duplicates
		sum.Missing += src.Missing
		sum.Sources = append(sum.Sources, src)
	}
	return sum
}
