package cwfake

import (
	"maps"
	"slices"
	"time"
)

// Stats are the server's counts since it was made. Puts are calls of PutLogEvents.
type Stats struct {
	Calls map[Operation]map[string]int64 // ended calls, by operation and result

	Puts          int64 // that stored something or had all of it rejected; one whose answer was lost counts, too
	Events        int64 // stored
	Rejected      int64 // out of the window, in puts that were taken
	Bytes         int64 // stored, as the service counts them: UTF-8 and 26 for each event
	Wire          int64 // bytes of the bodies of these puts, as sent
	SmallestBatch int   // bytes as the service counts them
	LargestBatch  int

	InFlight        int           // puts that are being served
	MaxInFlight     int           // at most, at one time
	MaxStreamFlight int           // the same, of one stream
	Busy            time.Duration // with at least one put in flight
	Flight          time.Duration // of all puts together; Flight / Busy is how many were in flight on average

	Connections        int64 // that were made
	OpenConnections    int   // of those
	MaxOpenConnections int
}

// BytesPerPut is how large a put was on average, as the service counts it, and on the wire.
func (s Stats) BytesPerPut() (counted, wire float64) {
	n := float64(max(1, s.Puts))
	return float64(s.Bytes) / n, float64(s.Wire) / n
}

// Count is how many calls of an operation ended in one of the results, or in any.
func (s Stats) Count(op Operation, results ...string) int64 {
	var n int64
	for result, count := range s.Calls[op] {
		if len(results) == 0 || slices.Contains(results, result) {
			n += count
		}
	}
	return n
}

// Stats gives the counts of now.
func (s *Server) Stats() Stats {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Calls = make(map[Operation]map[string]int64, len(l.stats.Calls))
	for op, results := range l.stats.Calls {
		st.Calls[op] = maps.Clone(results)
	}
	if st.InFlight > 0 {
		st.Busy += time.Since(l.busySince)
	}
	return st
}
