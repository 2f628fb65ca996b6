package memory

import (
	"maps"

	"github.com/sluicelog/sluice/engine"
)

// A need is an output's need of a node.
type need struct {
	node       *node
	pos        engine.Pos // 0 until Next gave it out
	left       int        // records
	prev, next *need
}

// A list links needs. Its zero value is empty.
type list struct{ first, last *need }

func (l *list) push(n *need) {
	n.prev = l.last
	if l.last == nil {
		l.first = n
	} else {
		l.last.next = n
	}
	l.last = n
}

func (l *list) unlink(n *need) {
	if n.prev == nil {
		l.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next = nil, nil
}

// minPlaces is what is not worth shrinking, in needs: 32 KiB or so.
const minPlaces = 1024

// places finds needs by position. A Go map keeps the room of the most that it ever held; this one gives it back.
type places struct {
	needs map[engine.Pos]*need
	peak  int // the most needs that the map has held
}

func (p *places) get(at engine.Pos) *need { return p.needs[at] }

func (p *places) put(n *need) {
	if p.needs == nil {
		p.needs = make(map[engine.Pos]*need)
	}
	p.needs[n.pos] = n
	p.peak = max(p.peak, len(p.needs))
}

func (p *places) drop(n *need) {
	delete(p.needs, n.pos)
	if p.peak <= minPlaces || len(p.needs) > p.peak/4 {
		return
	}
	small := make(map[engine.Pos]*need, len(p.needs))
	maps.Copy(small, p.needs)
	p.needs, p.peak = small, len(small)
}
