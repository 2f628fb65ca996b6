package engine

import "sync/atomic"

// A Stream names one producer's ordered records. Its fields do not change: a producer that comes back under another tag
// gets a new Stream. It outlives connections, and every chunk points to one.
type Stream struct {
	Tenant string
	ID     string
	Tag    string

	urgent atomic.Bool
	meter  *Meter // the tenant's; nil outside an engine
}

// Urgent reports whether whatever the stream has waiting should fly without linger: it is paused, draining or
// half-closed. It is set before the delivery loops are told, so a loop that reads a chunk later still sees it.
// Safe for concurrent use.
func (s *Stream) Urgent() bool { return s.urgent.Load() }

// SetUrgent sets what Urgent reports. Safe for concurrent use.
func (s *Stream) SetUrgent(urgent bool) { s.urgent.Store(urgent) }
