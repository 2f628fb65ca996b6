package disk

import (
	"container/list"
	"errors"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A given entry was given out by a cursor, and is not done.
type given struct {
	place   seglog.Place
	label   seglog.Label
	stream  *engine.Stream // nil: it is not known, before it was read
	left    int            // records
	done    recordSet      // of its records
	unread  unread
	element *list.Element // in its cursor's order
}

// isLost reports whether what could not be read is not there any more, or counts as lost by now.
func isLost(err error) bool {
	_, damaged := errors.AsType[*seglog.DamageError](err)
	return damaged || errors.Is(err, errNoChunk) || errors.Is(err, seglog.ErrGone)
}

// A holding is what is still needed of a segment.
type holding struct {
	size   int64          // of the segment, in bytes
	unread []seglog.Total // by cursor: not given out yet
	given  []int64        // by cursor: given out and not done
	pins   []int64        // by cursor: what it was charged with for keeping the segment, in bytes
}

// short is by how much an entry is more than what is left unread of its segment: where the disk did not give it when that was counted.
func (h *holding) short(cursor int, l seglog.Label) seglog.Total {
	t := h.unread[cursor]
	return seglog.Total{
		Entries: max(1-t.Entries, 0), Records: max(int64(l.Records)-t.Records, 0), Bytes: max(int64(l.Bytes)-t.Bytes, 0),
	}
}

func (h *holding) give(cursor int, l seglog.Label) {
	h.unread[cursor].Sub(l)
	h.given[cursor]++
}

func (h *holding) needs(cursor int) bool { return h.given[cursor] > 0 || h.unread[cursor].Entries > 0 }

// anyNeeds reports whether any of the first so many cursors needs something of it.
func (h *holding) anyNeeds(cursors int) bool {
	for cursor := range cursors {
		if h.needs(cursor) {
			return true
		}
	}
	return false
}

func (h *holding) empty() bool { return !h.anyNeeds(len(h.given)) }
