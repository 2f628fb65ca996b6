package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// books is what a delivery counts. Others read them, so they have a lock; the loop takes it a few times a batch.
type books struct {
	mu       sync.Mutex // guards what follows
	stats    OutputStats
	owing    map[*Stream]int64    // records read and not done
	airborne map[*Batch]time.Time // the deadlines of what flies
}

func newBooks(name string) *books {
	return &books{
		stats:    OutputStats{Name: name, Done: map[DoneLabel]Tally{}, Attempts: map[string]int64{}},
		owing:    map[*Stream]int64{},
		airborne: map[*Batch]time.Time{},
	}
}

// owe says that records were read, which the output now owes.
func (k *books) owe(s *Stream, records int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owing[s] += records
}

// finish says how spans ended.
func (k *books) finish(spans []Span, label DoneLabel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.stats.Done[label]
	for i := range spans {
		n := int64(spans[i].Records.Len())
		t.Records += n
		t.Bytes += int64(spans[i].Bytes)
		if k.owing[spans[i].Stream] -= n; k.owing[spans[i].Stream] == 0 {
			delete(k.owing, spans[i].Stream)
		}
	}
	k.stats.Done[label] = t
}

func (k *books) takeOff(now, deadline time.Time, b *Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.airborne[b] = deadline
	k.stats.LastAttempt = now
}

func (k *books) touchDown(now time.Time, l *landing, v verdict) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.airborne, l.batch)
	k.stats.Attempts[v.result]++
	if v.taken {
		k.stats.LastSuccess, k.stats.LastError = now, ""
		return
	}
	k.stats.LastError = l.err.Error()
}

// state says what the loop has at the end of a round.
func (k *books) state(now time.Time, inFlight, limit, waiting, parked int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.LastRound = now
	k.stats.InFlight, k.stats.Limit, k.stats.Waiting, k.stats.ParkedKeys = inFlight, limit, waiting, parked
}

// snapshot copies the stats, and counts the writes that are past their deadline.
func (k *books) snapshot(now time.Time) OutputStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.stats
	st.Done, st.Attempts = maps.Clone(k.stats.Done), maps.Clone(k.stats.Attempts)
	for _, deadline := range k.airborne {
		if deadline.Before(now) {
			st.Overdue++
			if st.OverdueSince.IsZero() || deadline.Before(st.OverdueSince) {
				st.OverdueSince = deadline
			}
		}
	}
	return st
}

// owed lists what is not done, by stream.
func (k *books) owed() []Undelivered {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]Undelivered, 0, len(k.owing))
	for s, n := range k.owing {
		all = append(all, Undelivered{Stream: s, Output: k.stats.Name, Records: n})
	}
	sortByStream(all)
	return all
}

func sortByStream(all []Undelivered) {
	slices.SortFunc(all, func(a, b Undelivered) int {
		return cmp.Or(
			strings.Compare(a.Stream.Tenant, b.Stream.Tenant),
			strings.Compare(a.Stream.ID, b.Stream.ID),
			strings.Compare(a.Stream.Tag, b.Stream.Tag),
		)
	})
}
