package cwfake

import (
	"sort"
	"strconv"
	"time"
)

// A putAnswer is the result of PutLogEvents.
type putAnswer struct {
	Token    string    `json:"nextSequenceToken"`
	Rejected *rejected `json:"rejectedLogEventsInfo,omitempty"`
}

// rejected says which events of a put were out of the window: those before the greater of the two ends, which are
// exclusive, and those from the start, which is inclusive.
type rejected struct {
	TooNewStart *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldEnd   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredEnd  *int `json:"expiredLogEventEndIndex,omitempty"`
}

// decodePut reads a put and measures it.
func (s *Server) decodePut(q *request) (func() (any, error), error) {
	p := &q.put
	if err := p.parse(q.text); err != nil {
		return nil, err
	}
	q.call.Target.Group, q.call.Target.Stream = p.group, p.stream
	q.call.Events = len(p.events)
	for _, e := range p.events {
		q.call.Bytes += len(e.message) + EventOverhead
	}
	return func() (any, error) { return s.putEvents(q) }, nil
}

// putEvents stores the events of a put that are in the window, if the batch as a whole keeps the limits.
func (s *Server) putEvents(q *request) (any, error) {
	if err := q.put.check(q.call.Bytes); err != nil {
		return nil, err
	}
	log, retention, err := s.account.findStream(q.call.Target)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	first, end, info := window(q.put.events, now, retention)
	if err := checkSpan(q.put.events[first:end]); err != nil {
		return nil, err
	}
	q.call.Rejected = len(q.put.events) - (end - first)
	number := log.commit(s.ledger, q, first, end, now)
	return putAnswer{Token: "4966" + strconv.FormatInt(1e15+number, 10), Rejected: info}, nil
}

// check checks what a batch must be apart from time: names, count, bytes, each event, and the order of time.
func (p *put) check(size int) error {
	if err := checkGroup(p.group); err != nil {
		return err
	}
	if err := checkStream(p.stream); err != nil {
		return err
	}
	const constraint = "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: "
	switch n := len(p.events); {
	case n == 0:
		return invalidf(constraint + "Member must have length greater than or equal to 1")
	case n > MaxBatchEvents:
		return invalidf(constraint+"Member must have length less than or equal to %d", MaxBatchEvents)
	}
	for i, e := range p.events {
		if err := e.check(i); err != nil {
			return err
		}
		if i > 0 && e.at < p.events[i-1].at {
			return invalidf("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if size > MaxBatchBytes {
		return invalidf("Upload too large: %d bytes exceeds limit of %d", size, MaxBatchBytes)
	}
	return nil
}

// check checks one event, the one with index i.
func (e event) check(i int) error {
	const at = "1 validation error detected: Value at 'logEvents.%d.member.%s' failed to satisfy constraint: "
	switch {
	case !e.named:
		return invalidf(at+"Member must not be null", i+1, "message")
	case !e.timed:
		return invalidf(at+"Member must not be null", i+1, "timestamp")
	case len(e.message) == 0:
		return invalidf(at+"Member must have length greater than or equal to 1", i+1, "message")
	case e.at < 0:
		return invalidf(at+"Member must have value greater than or equal to 0", i+1, "timestamp")
	case len(e.message) > MaxEventBytes:
		return invalidf("Log event too large: %d bytes exceeds limit of %d", len(e.message)+EventOverhead, MaxBatchBytes)
	}
	return nil
}

// checkSpan checks that events, which are in the window, are not too far apart.
func checkSpan(es []event) error {
	if n := len(es); n > 0 && es[n-1].at-es[0].at > MaxBatchSpan.Milliseconds() {
		return invalidf("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}

// window finds which of the events, which are in order, can be stored: es[first:end]. The rest is in the info. Too old
// is what is older than 14 days; expired is what is older than the group's retention, where that is shorter.
func window(es []event, now time.Time, retention time.Duration) (first, end int, info *rejected) {
	before := func(t time.Time) int {
		return sort.Search(len(es), func(i int) bool { return es[i].at >= t.UnixMilli() })
	}
	old, expired := before(now.Add(-MaxPast)), 0
	if retention > 0 && retention < MaxPast {
		expired = before(now.Add(-retention))
	}
	end = before(now.Add(MaxFuture + time.Millisecond))
	first = max(old, expired)
	if first == 0 && end == len(es) {
		return first, end, nil
	}
	info = &rejected{}
	if old > 0 {
		info.TooOldEnd = &old
	}
	if expired > 0 {
		info.ExpiredEnd = &expired
	}
	if end < len(es) {
		info.TooNewStart = &end
	}
	return first, end, info
}
