package disk

// Pinned implements [engine.Pinner].
func (c *cursor) Pinned() int64 { return c.pinned.Load() }

// freshSegments is how many of the newest segments nobody is charged with for keeping them: every output needs something of those.
const freshSegments = 2

// pin charges the cursors with the segments that they keep, now that so many were begun. The lock is held.
func (b *Buffer) pin(newest uint64) {
	for number, h := range b.holdings {
		if number+freshSegments > newest {
			continue
		}
		for _, c := range b.cursors {
			if h.pins[c.index] == 0 && h.needs(c.index) {
				h.pins[c.index] = h.size
				c.pinned.Add(h.size)
			}
		}
	}
}

// unpin takes it back where the cursor needs nothing of a segment any more.
func (c *cursor) unpin(h *holding) {
	if !h.needs(c.index) {
		c.pinned.Add(-h.pins[c.index])
		h.pins[c.index] = 0
	}
}
