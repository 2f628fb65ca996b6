package disk

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// lossPause is how often losses are told: however much is lost, it is a line for a segment, and for each output that needed it.
const lossPause = time.Second

// A lossPlace is where something was lost, and to whom.
type lossPlace struct {
	segment uint64
	output  string // empty: it is damage, whoever needed it
}

// A loss is what was lost there since it was told last.
type loss struct {
	offset          int64 // of the first
	from, to        seglog.LSN
	places          int // that are damaged
	chunks, records int64
	reason          string // of the first
}

// loss gives that of a place, which is new where nothing was lost there. The lock is held.
func (b *Buffer) loss(at lossPlace, offset int64, reason string) *loss {
	l := b.losses[at]
	if l == nil {
		l = &loss{offset: offset, reason: reason}
		b.losses[at] = l
	}
	return l
}

// loses notes that an output has lost so many chunks. The lock is held.
func (c *cursor) loses(segment uint64, offset, chunks, records int64, reason string) {
	l := c.buffer.loss(lossPlace{segment, c.Name}, offset, reason)
	l.chunks += chunks
	l.records += records
}

// damaged notes what cannot be read.
func (b *Buffer) damaged(d seglog.Damage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.loss(lossPlace{segment: d.Segment}, d.Offset, d.Reason)
	if l.places++; d.From < d.To {
		l.from, l.to = cmp.Or(min(l.from, d.From), d.From), max(l.to, d.To)
		l.chunks += int64(d.To - d.From)
	}
}

// sayLosses tells of what was lost since the last time.
func (b *Buffer) sayLosses() {
	b.mu.Lock()
	defer b.mu.Unlock()
	order := func(x, y lossPlace) int {
		return cmp.Or(cmp.Compare(x.segment, y.segment), cmp.Compare(x.output, y.output))
	}
	for _, at := range slices.SortedFunc(maps.Keys(b.losses), order) {
		l := b.losses[at]
		if at.output == "" {
			args := []any{"segment", at.segment, "offset", l.offset, "places", l.places, "reason", l.reason}
			if l.chunks > 0 {
				args = append(args, "chunks", l.chunks, "from", l.from, "to", l.to-1)
			}
			b.say(slog.LevelError, "damage in the buffer", args...)
		} else {
			b.say(slog.LevelError, "chunks are lost", "output", at.output, "segment", at.segment, "offset", l.offset,
				"chunks", l.chunks, "records", l.records, "reason", l.reason)
		}
	}
	clear(b.losses)
}
