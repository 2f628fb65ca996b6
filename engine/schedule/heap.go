package schedule

import (
	"slices"
	"time"
)

// A turn orders lanes and what came back: by time, then by number.
type turn struct {
	at     time.Time
	number int64
}

func (t turn) compare(u turn) int {
	if c := t.at.Compare(u.at); c != 0 {
		return c
	}
	switch {
	case t.number < u.number:
		return -1
	case t.number > u.number:
		return 1
	}
	return 0
}

// A heap gives its values by turn. With a slot it knows where each of them is, so that their turns may change. It shrinks
// again as a [queue] does. Its zero value is an empty heap without slots.
type heap[V any] struct {
	entries []entry[V]
	slot    func(V) *int // where a value keeps its place, from 1
}

// minHeap is where shrinking ends.
const minHeap = 16

type entry[V any] struct {
	turn
	value V
}

func (h *heap[V]) len() int { return len(h.entries) }

// first is the value whose turn it is. There must be one.
func (h *heap[V]) first() V { return h.entries[0].value }

// turn is first's.
func (h *heap[V]) turn() turn { return h.entries[0].turn }

func (h *heap[V]) push(t turn, v V) {
	h.entries = append(h.entries, entry[V]{t, v})
	h.moved(len(h.entries) - 1)
	h.up(len(h.entries) - 1)
}

func (h *heap[V]) pop() V {
	v := h.first()
	h.removeAt(0)
	return v
}

// set gives the value this turn, whether or not it is in the heap. It needs the slot, as remove does.
func (h *heap[V]) set(t turn, v V) {
	i := *h.slot(v) - 1
	switch {
	case i < 0:
		h.push(t, v)
	case h.entries[i].turn != t:
		h.entries[i].turn = t
		h.fix(i)
	}
}

// remove takes the value out, if it is in.
func (h *heap[V]) remove(v V) {
	if i := *h.slot(v) - 1; i >= 0 {
		h.removeAt(i)
	}
}

// sort puts all in order after many turns changed.
func (h *heap[V]) sort() {
	slices.SortFunc(h.entries, func(a, b entry[V]) int { return a.compare(b.turn) })
	for i := range h.entries {
		h.moved(i)
	}
}

func (h *heap[V]) removeAt(i int) {
	last := len(h.entries) - 1
	if h.slot != nil {
		*h.slot(h.entries[i].value) = 0
	}
	h.entries[i] = h.entries[last]
	h.entries[last] = entry[V]{}
	h.entries = h.entries[:last]
	if size := cap(h.entries); size > minHeap && last <= size/4 {
		h.entries = append(make([]entry[V], 0, size/2), h.entries...)
	}
	if i < last {
		h.moved(i)
		h.fix(i)
	}
}

func (h *heap[V]) fix(i int) {
	h.down(i)
	h.up(i)
}

func (h *heap[V]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h.entries[parent].compare(h.entries[i].turn) <= 0 {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[V]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.entries); child++ {
			if h.entries[child].compare(h.entries[least].turn) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *heap[V]) swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.moved(i)
	h.moved(j)
}

func (h *heap[V]) moved(i int) {
	if h.slot != nil {
		*h.slot(h.entries[i].value) = i + 1
	}
}
