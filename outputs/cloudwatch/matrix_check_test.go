package cloudwatch_test

import (
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// An outcome is what came of a cell.
type outcome struct {
	records, delivered int
	letters            map[string]int // by reason
	duplicates         int
	hidden             int // events of puts that were taken, whose answer was lost
	puts, failed       int // calls, and those that were not answered with a success
	retries            int // Writes that failed, so that their batch was tried again
	atOnce, ofOne      int // puts in flight at most: in all, and of one log stream
	connections        int64
	took               time.Duration // until the last record was done
	others             flushes
}

// mostFailures is about twice of what backing off leaves of the worst storm.
const mostFailures = 2500

// settled is when every log stream has been created, also one after the other.
const settled = 6 * time.Second

// flushes are how the targets fared that nobody denied: in the first production, from settled on.
type flushes struct {
	puts    int
	slowest time.Duration // of all records, from the append to the storing
}

func (s *stage) outcome(took time.Duration) *outcome {
	st := s.server.Stats()
	o := &outcome{letters: map[string]int{}, took: took, connections: st.Connections, retries: s.writes.failed}
	for _, reason := range s.letters.why {
		o.letters[reason]++
	}
	s.checkCalls(o)
	hidden := s.hidden()
	for _, p := range s.producers {
		s.checkProducer(p, o)
	}
	for _, target := range s.server.Targets() {
		s.checkTarget(target, hidden[target], o)
	}
	s.checkLetters()
	s.checkBooks(o)
	if s.spared && o.retries > 0 {
		s.t.Errorf("%d Writes failed, the last with %v", o.retries, s.writes.last)
	}
	if !s.spared && o.retries < 6 {
		s.t.Errorf("only %d Writes failed: the cell shows nothing", o.retries)
	}
	if o.failed > mostFailures {
		s.t.Errorf("%d puts failed: whoever is not well is hammered", o.failed)
	}
	if s.trouble.name == denied && o.letters["parked"] < perTarget*perAppend {
		s.t.Errorf("%d records were parked for too long: the cell shows nothing", o.letters["parked"])
	}
	return o
}

// isHidden reports whether a put was taken and its answer lost.
func isHidden(c cwfake.Call) bool {
	return strings.HasSuffix(c.Result, "-after") || c.Result == cwfake.TruncatedBody().String()
}

// hidden is how many events each target got in puts whose success was hidden.
func (s *stage) hidden() map[cwfake.Target]int {
	n := map[cwfake.Target]int{}
	for _, c := range s.server.Calls() {
		if cwfake.Puts(c) && isHidden(c) {
			n[c.Target] += c.Events - c.Rejected
		}
	}
	return n
}

// checkCalls looks at how many puts there were at one time.
func (s *stage) checkCalls(o *outcome) {
	byTarget := map[cwfake.Target][]cwfake.Call{}
	var puts []cwfake.Call
	for _, c := range s.server.Calls() {
		if !cwfake.Puts(c) {
			continue
		}
		puts = append(puts, c)
		byTarget[c.Target] = append(byTarget[c.Target], c)
		if c.Result != cwfake.ResultOK {
			o.failed++
		}
		if c.Target.Stream != deniedStream && c.Start.After(s.start.Add(settled)) && c.Start.Before(s.start.Add(produceFor)) {
			o.others.puts++
		}
	}
	o.puts, o.atOnce = len(puts), atOnce(puts)
	delete(byTarget, cwfake.Target{Region: region}) // of these no more was read: they were signed with what had expired
	for _, calls := range byTarget {
		o.ofOne = max(o.ofOne, atOnce(calls))
	}
	switch {
	case s.scheduler == bySync && o.atOnce != 1:
		s.t.Errorf("%d puts were in flight at once, want one", o.atOnce)
	case s.scheduler == byKey && o.ofOne != 1:
		s.t.Errorf("%d puts of one log stream were in flight at once, want one", o.ofOne)
	case s.scheduler != bySync && o.atOnce < 2:
		s.t.Error("there were never two puts at once")
	}
	if !s.keepalive && o.connections < int64(o.puts) {
		s.t.Errorf("%d puts on %d connections, none of which is used again", o.puts, o.connections)
	}
	if s.keepalive && s.spared && o.connections > int64(o.puts/4) {
		s.t.Errorf("%d puts on %d connections, all of which can be used again", o.puts, o.connections)
	}
}

// atOnce is how many of the calls there were at most at one time. One that begins when another ends is not at once with it.
func atOnce(calls []cwfake.Call) int {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, c := range calls {
		if c.End.After(c.Start) {
			edges = append(edges, edge{c.Start, 1}, edge{c.End, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if d := a.at.Compare(b.at); d != 0 {
			return d
		}
		return a.by - b.by
	})
	now, most := 0, 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	return most
}

// checkProducer looks for every record of the producer's.
func (s *stage) checkProducer(p *producer, o *outcome) {
	copies := map[uint64]int{}
	for _, e := range s.server.Events(s.target(p.stream)) {
		source, number, ok := sequenceOf(e.Message)
		if !ok {
			s.t.Errorf("%s: %q is no record of anybody's", p.stream, e.Message)
		}
		if source != p.id {
			continue
		}
		copies[number]++
		if n := (name{source, number}); p.stream != deniedStream && n.fate() == "" && e.Timestamp >= s.start.Add(settled-p.behind).UnixMilli() {
			o.others.slowest = max(o.others.slowest, time.Duration(e.Ingested-e.Timestamp)*time.Millisecond-p.behind)
		}
	}
	for number := range p.sent {
		n := name{p.id, number + 1}
		o.records++
		if copies[n.number] > 0 {
			o.delivered++
			o.duplicates += copies[n.number] - 1
		}
		s.checkRecord(p, n, copies[n.number])
		delete(copies, n.number)
	}
	if len(copies) > 0 {
		s.t.Errorf("%s: %v were stored, and never sent", p.id, copies)
	}
}

// firstProduction is the sequence of its last record.
const firstProduction = uint64(produceFor / appendEvery * perAppend)

// checkRecord looks at what became of a record.
func (s *stage) checkRecord(p *producer, n name, copies int) {
	fate, why := n.fate(), s.letters.why[n]
	parked := s.trouble.name == denied && p.stream == deniedStream && why == "parked" && n.number <= firstProduction
	switch {
	case copies == 0 && why == "":
		s.t.Errorf("%v is lost", n)
	case copies > 0 && why != "":
		s.t.Errorf("%v was stored, and is a dead letter: %s", n, why)
	case parked || fate == "expired" && s.regroups && copies > 0:
	case why != fate:
		s.t.Errorf("%v is a dead letter for %q, want %q", n, why, fate)
	}
}

// checkTarget looks at order and duplicates of a log stream.
func (s *stage) checkTarget(target cwfake.Target, hidden int, o *outcome) {
	order := s.server.Order(target)
	if s.scheduler != byConcurrent && order.Reordered != 0 {
		s.t.Errorf("%s: %d records came after a later one", target.Stream, order.Reordered)
	}
	if order.Duplicates != int64(hidden) {
		s.t.Errorf("%s: %d duplicates, where the success of %d events was hidden", target.Stream, order.Duplicates, hidden)
	}
	o.hidden += hidden
}

// checkLetters looks at the order of dead letters of one reason, in which a producer's come from a key.
func (s *stage) checkLetters() {
	for _, wrong := range s.letters.wrong {
		s.t.Error(wrong)
	}
	last := map[string]uint64{}
	for _, n := range s.letters.order {
		if s.scheduler == byConcurrent {
			return
		}
		line := n.source + " " + s.letters.why[n]
		if n.number <= last[line] {
			s.t.Errorf("dead letter %v came after %d", n, last[line])
		}
		last[line] = n.number
	}
}

// checkBooks compares with what the engine says itself.
func (s *stage) checkBooks(o *outcome) {
	done := s.engine.Stats().Outputs[0].Done
	if got := done[engine.DoneLabel{Result: "delivered"}].Records; got != int64(o.delivered) {
		s.t.Errorf("the engine says that %d records were delivered, and %d were", got, o.delivered)
	}
	for label, tally := range done {
		switch {
		case label.Result == "dropped":
			s.t.Errorf("%d records were dropped: %s", tally.Records, label.Reason)
		case label.Result == "dead_lettered" && tally.Records != int64(o.letters[label.Reason]):
			s.t.Errorf("the engine says that %d records are dead letters for %q, and %d are", tally.Records, label.Reason, o.letters[label.Reason])
		}
	}
}
