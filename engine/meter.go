package engine

import "sync/atomic"

// A Meter counts held bytes against a limit. Whoever admits asks Free first and charges with Add, so a limit is overshot by
// no more than what was admitted at the same moment; TryAdd is for a bound that is hard. Safe for concurrent use; charge it by the chunk,
// never by the record.
type Meter struct {
	used  atomic.Int64
	limit int64
}

// NewMeter makes a meter with a limit in bytes.
func NewMeter(limit int64) *Meter { return &Meter{limit: limit} }

// Add charges n bytes, or gives them back where n is negative.
func (m *Meter) Add(n int64) { m.used.Add(n) }

// TryAdd charges n bytes unless that would lift what is held over ceiling; a meter that holds nothing always takes n.
func (m *Meter) TryAdd(n, ceiling int64) bool {
	if used := m.used.Add(n); used <= ceiling || used == n {
		return true
	}
	m.used.Add(-n)
	return false
}

// Used is what is held, in bytes.
func (m *Meter) Used() int64 { return m.used.Load() }

// Limit is in bytes.
func (m *Meter) Limit() int64 { return m.limit }

// Free is the limit less what is held: negative while it is overshot.
func (m *Meter) Free() int64 { return m.limit - m.used.Load() }
