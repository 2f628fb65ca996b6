package disk

import (
	"container/list"
	"errors"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A given entry was given out by a cursor, and is not done.
type given struct {
	place   seglog.Place
	label   seglog.Label
	stream  *engine.Stream // nil: it is not known, before it was read
	left    int            // records
	done    ranges         // of its records, where some are
	failing time.Time      // since when it cannot be read; zero: it could, or was not
	element *list.Element  // in its cursor's order
}

// readPatience is for how long it is tried to read what the disk does not give: a sector that is bad stays so, and what is behind
// it under the same key would wait for ever.
const readPatience = 10 * time.Minute

// isLost reports whether what could not be read is not there any more, or counts as lost by now.
func (g *given) isLost(err error, now time.Time) bool {
	if _, damaged := errors.AsType[*seglog.DamageError](err); damaged || errors.Is(err, errNoChunk) || errors.Is(err, seglog.ErrGone) {
		return true
	}
	if g.failing.IsZero() {
		g.failing = now
	}
	return now.Sub(g.failing) >= readPatience
}

// rest is which of the records are not done.
func (g *given) rest() engine.Selection {
	if len(g.done) == 0 {
		return engine.SelectRange(0, int(g.label.Records))
	}
	rest, from := make([]uint32, 0, g.left), 0
	for _, r := range slices.Concat(g.done, ranges{{int(g.label.Records), 0}}) {
		for i := from; i < r[0]; i++ {
			rest = append(rest, uint32(i))
		}
		from = r[1]
	}
	return engine.SelectList(rest)
}

// ranges are some of a chunk's records by index, ascending, each from its first to before its last, with gaps between them.
type ranges [][2]int

// add adds a choice of records that are not in it.
func (r *ranges) add(s engine.Selection) {
	for i := range s.All() {
		r.insert(i)
	}
}

func (r *ranges) insert(i int) {
	all := *r
	at, _ := slices.BinarySearchFunc(all, i, func(x [2]int, i int) int { return x[0] - i }) // the first that begins behind i
	before, after := at > 0 && all[at-1][1] == i, at < len(all) && all[at][0] == i+1
	switch {
	case before && after:
		all[at-1][1] = all[at][1]
		*r = slices.Delete(all, at, at+1)
	case before:
		all[at-1][1]++
	case after:
		all[at][0]--
	default:
		*r = slices.Insert(all, at, [2]int{i, i + 1})
	}
}

// fit reports whether they are ranges of so many records.
func (r *ranges) fit(records int) bool {
	at := 0
	for _, x := range *r {
		if x[0] < at || x[1] <= x[0] || x[1] > records {
			return false
		}
		at = x[1]
	}
	return true
}

// A holding is what is still needed of a segment.
type holding struct {
	size   int64          // of the segment, in bytes
	unread []seglog.Total // by cursor: not given out yet
	given  []int64        // by cursor: given out and not done
	pins   []int64        // by cursor: what it was charged with for keeping the segment, in bytes
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
