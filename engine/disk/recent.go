package disk

import (
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A live entry is one that is under way to the disk, or was not long ago, with its chunk while that is in memory.
type live struct {
	chunk   *engine.Chunk // nil: it is to be read back
	stream  *engine.Stream
	label   seglog.Label
	needs   engine.OutputSet // the outputs that are not done with it
	place   seglog.Place     // once it is committed
	after   seglog.Place     // where the next one lies, or the end of the segment
	safe    *promise         // nil: nobody waits for it
	written bool
}

// A promise is what an append was promised: its safe, once all its chunks are.
type promise struct {
	open int // chunks that are not
	safe func()
}

// recent is the tail of the log in memory, without gaps: all that is not committed yet, and in front of it what the outputs are
// likely to want soon. What is committed is forgotten from the front on, so that chunks take no more than a budget.
type recent struct {
	first  seglog.LSN // of the queue
	queue  []*live
	held   int64 // bytes of chunks that are committed
	budget int64
}

func (r *recent) next() seglog.LSN { return r.first + seglog.LSN(len(r.queue)) }

// get gives the entry of an LSN, or nil.
func (r *recent) get(lsn seglog.LSN) *live {
	if lsn < r.first || lsn >= r.next() {
		return nil
	}
	return r.queue[lsn-r.first]
}

// committed counts an entry against the budget.
func (r *recent) committed(l *live) {
	if l.chunk != nil {
		r.held += int64(l.label.Bytes)
	}
}

// unload gives up an entry's chunk, which the caller releases.
func (r *recent) unload(l *live) *engine.Chunk {
	c := l.chunk
	if l.chunk = nil; c != nil && l.written {
		r.held -= int64(l.label.Bytes)
	}
	return c
}

// maxRecent is how many entries it keeps besides those that are not committed: behind a single one that is not done the others
// would pile up.
const maxRecent = 1 << 14

// trim forgets committed entries from the front on: those without a chunk, and as many more as the budget wants. It appends their
// chunks, which the caller releases.
func (r *recent) trim(chunks []*engine.Chunk) []*engine.Chunk {
	n := 0
	for ; n < len(r.queue); n++ {
		l := r.queue[n]
		if !l.written || l.chunk != nil && r.held <= r.budget && len(r.queue)-n <= maxRecent {
			break
		}
		if c := r.unload(l); c != nil {
			chunks = append(chunks, c)
		}
		r.queue[n] = nil
	}
	r.queue = r.queue[n:]
	r.first += seglog.LSN(n)
	return chunks
}

// clear forgets everything, and gives the chunks, which the caller releases.
func (r *recent) clear() (chunks []*engine.Chunk) {
	for _, l := range r.queue {
		if c := r.unload(l); c != nil {
			chunks = append(chunks, c)
		}
	}
	r.queue = nil
	return chunks
}
