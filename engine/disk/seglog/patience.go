package seglog

import "time"

// readPatience is for how long it is tried to read what the disk does not give: a sector that is bad stays so, and what lies behind it
// would wait for ever.
const readPatience = 10 * time.Minute

// A failure is that of reading a segment. It is one for all of the segment: a bad region costs patience once, and not for each entry.
type failure struct {
	since, last time.Time
	at          int64
}

// missed notes that the disk does not give what lies at an offset.
func (s *segment) missed(at int64) {
	now := time.Now()
	f := failure{since: now, last: now, at: at}
	if before := s.failing.Load(); before != nil && now.Sub(before.last) < readPatience {
		f.since = before.since
	}
	s.failing.Store(&f)
}

// gave notes that the disk gives what lies at an offset: if that is what it did not give last it works again.
func (s *segment) gave(at int64) {
	if f := s.failing.Load(); f != nil && f.at == at {
		s.failing.CompareAndSwap(f, nil)
	}
}

// overdue reports whether what the disk does not give counts as damage by now.
func (s *segment) overdue() bool {
	f := s.failing.Load()
	return f != nil && f.last.Sub(f.since) >= readPatience
}
