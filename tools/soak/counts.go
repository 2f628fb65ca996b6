package main

import (
	"fmt"
	"maps"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// counts are what became of a gateway's records.
type counts struct {
	sent       int64 // numbered ones and stale ones
	stale      int64 // of those
	delivered  int64 // numbered ones, each counted once
	duplicated int64 // numbered ones that came again
	explained  int64 // of those, such as a fault hid the first success of
	reordered  int64 // that came after a later one of their producer and log stream
	foreign    int64 // stored, and not what anybody sent
	lost       int64 // that the gateway had acked when it was last quiet, and that have not come
	left       int64 // that the gateway never acked, and that have not come: their producers have them still
	dead       deadCount
}

// faults says what is wrong, in words.
func (c counts) faults(ordered bool) []string {
	var faults []string
	for _, wrong := range []struct {
		n    int64
		what string
	}{
		{c.lost, "records lost"},
		{c.duplicated - c.explained, "records duplicated that no reset or hang explains"},
		{c.foreign, "records stored that nobody sent"},
		{c.dead.others, "records refused without a cause; the first: " + c.dead.first},
		{max(0, c.dead.stale-c.stale), "dead letters more than records too old"},
	} {
		if wrong.n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", wrong.n, wrong.what))
		}
	}
	if ordered && c.reordered > 0 {
		faults = append(faults, fmt.Sprintf("%d records reordered", c.reordered))
	}
	return faults
}

// missing counts the numbers from 1 to the last that never came.
func missing(s cwfake.Source, last uint64) int64 {
	if s.Events == 0 {
		return int64(last)
	}
	n := below(cwfake.Range{First: 1, Last: s.First - 1}, last)
	for _, gap := range s.Gaps {
		n += below(gap, last)
	}
	return n + below(cwfake.Range{First: s.Last + 1, Last: last}, last)
}

// below counts the numbers of the range up to the last.
func below(r cwfake.Range, last uint64) int64 {
	return max(0, int64(min(r.Last, last))-int64(r.First)+1)
}

// arrived reports whether a number has come.
func arrived(s cwfake.Source, number uint64) bool {
	return number > 0 && missing(s, number) == missing(s, number-1)
}

// source finds a producer's.
func source(o cwfake.Order, name string) cwfake.Source {
	for _, s := range o.Sources {
		if s.Name == name {
			return s
		}
	}
	return cwfake.Source{}
}

// count counts what there is now. It is safe for concurrent use.
func (t *trial) count() counts {
	t.mu.Lock()
	c := counts{lost: t.lost, left: t.left}
	t.mu.Unlock()
	for _, target := range t.targets {
		o := t.cloud.Order(target)
		c.delivered += o.Events - o.Unnumbered - o.Duplicates
		c.reordered += o.Reordered
		c.foreign += o.Unnumbered
		c.duplicated += o.Duplicates
		c.explained += min(o.Duplicates, t.hidden.of(target))
	}
	c.dead = t.dead.counted() // after: a dead letter is of a record that was sent before
	for _, p := range t.producers {
		s := p.mark()
		c.sent += int64(s.total)
		c.stale += int64(s.stale)
	}
	return c
}

// losses counts what of each producer's mark is neither delivered nor, being too old, a dead letter.
func (t *trial) losses(marks []sent) int64 {
	var lost, stale int64
	for i, p := range t.producers {
		for _, stream := range p.streams {
			o := t.cloud.Order(p.target(stream))
			lost += missing(source(o, p.name), marks[i].numbers[stream])
		}
		stale += int64(marks[i].stale)
	}
	return lost + max(0, stale-t.dead.counted().stale)
}

func (p *producer) target(stream string) cwfake.Target {
	return cwfake.Target{Region: region, Group: prefix + p.tag, Stream: stream}
}

// keep counts what the producer still has, and has not come.
func (p *producer) keep(cloud *cwfake.Server, r sluice.Report) (left int64) {
	orders := map[string]cwfake.Source{}
	for _, stream := range p.streams {
		orders[stream] = source(cloud.Order(p.target(stream)), p.name)
	}
	for _, record := range r.Records() {
		_, number, ok := readBody(record.GetBody().GetStringValue())
		stream := record.GetAttributes()[0].GetValue().GetStringValue()
		if !ok || !arrived(orders[stream], number) {
			left++
		}
	}
	return left
}

// mishaps are the results of puts that were no success, with how often.
func mishaps(st cwfake.Stats) map[string]int64 {
	all := maps.Clone(st.Calls[cwfake.PutLogEvents])
	delete(all, cwfake.ResultOK)
	return all
}
