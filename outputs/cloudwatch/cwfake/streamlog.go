package cwfake

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// An Event is one that was stored.
type Event struct {
	Put       int64 // the number of the put that brought it, of all puts that were taken, from 1
	Timestamp int64 // milliseconds of Unix time
	Ingested  int64 // the same, of the server's clock
	Message   string
}

// A streamLog is what was put to one target, in that order, over all lives of the stream.
type streamLog struct {
	mu                    sync.Mutex // guards what follows
	events                []Event    // empty where only counts are kept
	stored                int64
	first, last, ingested int64 // milliseconds; of all lives
	order                 ordering
	inFlight, maxInFlight int
}

// commit stores the events of a put from first to end, exclusive, and gives the put's number.
func (g *streamLog) commit(l *ledger, q *request, first, end int, now time.Time) int64 {
	es, size, text := q.put.events[first:end], 0, 0
	for _, e := range es {
		text += len(e.message)
	}
	size = text + EventOverhead*len(es)
	g.mu.Lock()
	defer g.mu.Unlock()
	number := l.stored(&q.call, size)
	g.stored += int64(len(es))
	g.ingested = now.UnixMilli()
	if len(es) > 0 {
		at := es[len(es)-1].at
		if g.first == 0 || es[0].at < g.first {
			g.first = es[0].at
		}
		g.last = max(g.last, at)
	}
	if l.read != nil {
		for _, e := range es {
			//nolint:gosec // no copy: a message is never empty, and a Sequence keeps nothing of it
			g.order.add(unsafe.String(&e.message[0], len(e.message)), l.read)
		}
	}
	if !l.countOnly {
		g.keep(es, text, number)
	}
	return number
}

// keep copies the events, their messages into one string.
func (g *streamLog) keep(es []event, size int, put int64) {
	var b strings.Builder
	b.Grow(size)
	for _, e := range es {
		b.Write(e.message)
	}
	all, at := b.String(), 0
	for _, e := range es {
		n := len(e.message)
		g.events = append(g.events, Event{put, e.at, g.ingested, all[at : at+n]})
		at += n
	}
}

func (g *streamLog) length() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stored
}

// since copies the events from the n-th on.
func (g *streamLog) since(n int64) []Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n >= int64(len(g.events)) {
		return nil
	}
	return slices.Clone(g.events[n:])
}

// times are those of the first and last event and of the last put, nil where nothing was stored since the n-th event.
func (g *streamLog) times(n int64) (first, last, ingested *int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stored <= n {
		return nil, nil, nil
	}
	f, l, i := g.first, g.last, g.ingested
	return &f, &l, &i
}

// Events gives what was stored for a target, in the order in which it was put, over all lives of the stream; none with
// CountOnly.
func (s *Server) Events(t Target) []Event { return s.ledger.peek(t).since(0) }

// Stored is how many events were stored for a target.
func (s *Server) Stored(t Target) int64 { return s.ledger.peek(t).length() }

// MaxStreamFlight is how many puts of a target were in flight at most, at one time.
func (s *Server) MaxStreamFlight(t Target) int {
	g := s.ledger.peek(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.maxInFlight
}

// Order gives how a target's events lie, as [Options].Sequence reads them; without one it is empty.
func (s *Server) Order(t Target) Order {
	g := s.ledger.peek(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.order.order()
}
