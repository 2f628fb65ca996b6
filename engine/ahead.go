package engine

import "sync/atomic"

const (
	// minAhead is how much a loop reads ahead at least of a buffer that is larger than memory, in bytes.
	minAhead = 32 << 20
	// minLookAhead is how many spans a loop reads ahead of what flies, at least. What waits is metadata.
	minLookAhead = 1 << 12
	// spanMemory is about what a span that waits takes, with all that is kept about it.
	spanMemory = 512
	// aheadRound is how many chunks a loop reads in a round from a buffer that is larger than memory: what lands is waited for
	// meanwhile.
	aheadRound = 256
)

// An ahead is how far a delivery loop reads ahead of what flies.
type ahead struct {
	// spans is how many may wait. Of a buffer in memory that is as many as the engine may hold chunks: a key that cannot fly has one of
	// each chunk at most, so a single one cannot keep the loop from reading what is behind it; many that share chunks can, where
	// records have keys of their own. Of a larger one, whose chunks are not charged once they are put down, they may take an eighth of
	// the engine's limit, beside it.
	spans int

	// The rest is for a buffer that is larger than memory.
	giver    Giver        // the cursor; nil: it is in memory, and what is charged bounds it
	bytes    int64        // how much is read in any case
	buried   atomic.Int64 // records that were refused, and that are not safe as dead letters yet
	starving bool         // nothing that was read may fly, and there are slots
}

// newAhead says how far to read ahead with a cursor, of which there are so many. Its loop reads back so much at a time.
func newAhead(e *Engine, c Cursor, cursors int, readBack int64) *ahead {
	a := &ahead{bytes: max(2*readBack, minAhead)}
	if a.giver, _ = c.(Giver); a.giver != nil {
		a.spans = max(4*minLookAhead, int(e.limits.Engine)/8/spanMemory/cursors)
	} else {
		a.spans = max(minLookAhead, int(e.ceiling/(1<<minSlabShift+chunkOverhead)))
	}
	return a
}

// more reports whether it is worth while to read on where so many spans wait. From a disk as much is read ahead as is likely to fly
// soon, and more only where nothing of that may, as the keys of it back off.
func (a *ahead) more(waiting int) bool {
	switch {
	case waiting >= a.spans:
		return false
	case a.giver == nil:
		return true
	case int(a.buried.Load()) >= a.spans:
		return false
	default:
		return a.starving || a.giver.Given() < a.bytes
	}
}

// pauses reports whether the loop should look at its mail now that it read so many chunks.
func (a *ahead) pauses(read int) bool { return a.giver != nil && read == aheadRound }
