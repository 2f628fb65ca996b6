package cwfake

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A ledger is the account of what happened.
type ledger struct {
	countOnly bool
	read      Sequence

	mu        sync.Mutex // guards what follows; taken after a streamLog's, never before
	stats     Stats
	numbers   int64
	ended     []Call
	logs      map[Target]*streamLog
	busySince time.Time
}

func newLedger(o Options) *ledger {
	l := &ledger{countOnly: o.CountOnly, read: o.Sequence, logs: map[Target]*streamLog{}}
	l.stats.Calls = map[Operation]map[string]int64{}
	return l
}

// opened gives a new connection its number.
func (l *ledger) opened() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := &l.stats
	st.Connections++
	st.OpenConnections++
	st.MaxOpenConnections = max(st.MaxOpenConnections, st.OpenConnections)
	return st.Connections
}

// shut is the end of a connection.
func (l *ledger) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.OpenConnections--
}

// begin gives a call its number. From here on a put is in flight.
func (l *ledger) begin(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers++
	c.Number, c.Start = l.numbers, time.Now()
	if c.Operation != PutLogEvents {
		return
	}
	st := &l.stats
	if st.InFlight++; st.InFlight == 1 {
		l.busySince = c.Start
	}
	st.MaxInFlight = max(st.MaxInFlight, st.InFlight)
}

// end files a call that has ended.
func (l *ledger) end(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.End = time.Now()
	results := l.stats.Calls[c.Operation]
	if results == nil {
		results = map[string]int64{}
		l.stats.Calls[c.Operation] = results
	}
	results[c.Result]++
	if !l.countOnly {
		l.ended = append(l.ended, *c)
	}
	if c.Operation != PutLogEvents {
		return
	}
	st := &l.stats
	st.Flight += c.End.Sub(c.Start)
	if st.InFlight--; st.InFlight == 0 {
		st.Busy += c.End.Sub(l.busySince)
	}
}

// stored counts a put that was taken.
func (l *ledger) stored(c *Call, size int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := &l.stats
	st.Puts++
	st.Events += int64(c.Events - c.Rejected)
	st.Rejected += int64(c.Rejected)
	st.Bytes += int64(size)
	st.Wire += int64(c.Wire)
	if st.SmallestBatch == 0 || size < st.SmallestBatch {
		st.SmallestBatch = size
	}
	st.LargestBatch = max(st.LargestBatch, size)
	return st.Puts
}

// log gives what is kept of a target, which begins with the first call for it.
func (l *ledger) log(t Target) *streamLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.logs[t]
	if g == nil {
		g = &streamLog{}
		l.logs[t] = g
	}
	return g
}

// peek gives the same, and an empty one that is not kept where nobody called for the target.
func (l *ledger) peek(t Target) *streamLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.logs[t]; g != nil {
		return g
	}
	return &streamLog{}
}

// depart counts a put among those in flight of its stream, until it lands.
func (l *ledger) depart(c *Call) flight {
	if c.Operation != PutLogEvents || c.Target.Stream == "" {
		return flight{}
	}
	g := l.log(c.Target)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight++
	g.maxInFlight = max(g.maxInFlight, g.inFlight)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.MaxStreamFlight = max(l.stats.MaxStreamFlight, g.inFlight)
	return flight{g}
}

// A flight is a put in flight; the zero value is none.
type flight struct{ log *streamLog }

func (f flight) land() {
	if f.log == nil {
		return
	}
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	f.log.inFlight--
}

// Calls gives the calls that have ended, in that order; none with CountOnly.
func (s *Server) Calls() []Call {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return slices.Clone(s.ledger.ended)
}

// Targets gives the targets that calls were for, by region, group, and stream.
func (s *Server) Targets() []Target {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.ledger.logs), Target.compare)
}
