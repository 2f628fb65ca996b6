package schedule

import "github.com/sluicelog/sluice/engine"

// A tie says that a stream has spans lingering in a lane. It is how a stream is hurried without a look at the others.
type tie struct {
	pair
	last       int64 // number of the stream's last span in the lane
	spans      int   // how many of them linger there
	prev, next *tie  // of the same stream
}

type pair struct {
	stream *engine.Stream
	lane   *lane
}

// ties finds the ties of a stream.
type ties struct {
	byPair   map[pair]*tie
	byStream map[*engine.Stream]*tie // the first of each stream's list
}

func makeTies() ties {
	return ties{byPair: make(map[pair]*tie), byStream: make(map[*engine.Stream]*tie)}
}

// of is the first tie of the stream, or nil.
func (ts *ties) of(stream *engine.Stream) *tie { return ts.byStream[stream] }

// tie notes a span that is about to linger in the lane.
func (ts *ties) tie(l *lane, stream *engine.Stream, number int64) *tie {
	t := ts.find(pair{stream, l})
	t.last = max(t.last, number) // what is given back stands before the others
	t.spans++
	return t
}

func (ts *ties) find(p pair) *tie {
	if p.lane.spans.len() > 0 { // most often it is the same stream again
		if t := p.lane.spans.last().tie; t != nil && t.stream == p.stream {
			return t
		}
	}
	if t := ts.byPair[p]; t != nil {
		return t
	}
	t := &tie{pair: p, next: ts.byStream[p.stream]}
	if t.next != nil {
		t.next.prev = t
	}
	ts.byPair[p], ts.byStream[p.stream] = t, t
	return t
}

// untie notes that a span of the tie is gone.
func (ts *ties) untie(t *tie) {
	if t.spans--; t.spans > 0 {
		return
	}
	delete(ts.byPair, t.pair)
	if t.next != nil {
		t.next.prev = t.prev
	}
	switch {
	case t.prev != nil:
		t.prev.next = t.next
	case t.next != nil:
		ts.byStream[t.stream] = t.next
	default:
		delete(ts.byStream, t.stream)
	}
}
