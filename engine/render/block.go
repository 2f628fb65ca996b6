package render

import (
	"sort"

	"github.com/sluicelog/sluice/engine"
)

// A Block is rendered records, one after the other. It belongs to one goroutine, and is given back with Free.
type Block struct {
	Bytes []byte
	Ends  []int // where each record ends in Bytes, its newline included

	lead     int // bytes before the first record
	renderer *Renderer
	chunk    *engine.Chunk // what the cached parts are of
	source   []byte        // "tag" and "stream" up to "sequence":
	resource []byte        // "resource", or nothing
}

// Lead puts text before the first record. It is called before the first Add, if at all.
func (b *Block) Lead(text string) {
	b.Bytes = append(b.Bytes, text...)
	b.lead = len(b.Bytes)
}

// Add renders one more record. Records of one chunk must be added while the chunk is retained, up to the Free.
func (b *Block) Add(r engine.BatchRecord) {
	if b.renderer.line != nil {
		b.Bytes = b.renderer.appendLine(b.Bytes, &r)
	} else {
		b.Bytes = b.appendObject(b.Bytes, &r)
	}
	b.Bytes = append(b.Bytes, '\n')
	b.Ends = append(b.Ends, len(b.Bytes))
}

// Undo takes the last record out again.
func (b *Block) Undo() {
	n := len(b.Ends) - 1
	b.Bytes = b.Bytes[:b.Start(n)]
	b.Ends = b.Ends[:n]
}

// Start is where record i begins in Bytes, or where the next one would.
func (b *Block) Start(i int) int {
	if i == 0 {
		return b.lead
	}
	return b.Ends[i-1]
}

// Whole is how many records lie wholly in the first n bytes.
func (b *Block) Whole(n int) int { return sort.SearchInts(b.Ends, n+1) }

// maxKept is the largest memory that a block keeps when it is freed, in bytes: twice what a 1 MiB batch comes to, about.
const maxKept = 4 << 20

// Free gives the block's memory back. It must not be used afterwards.
func (b *Block) Free() {
	if cap(b.Bytes) > maxKept {
		return
	}
	b.Bytes, b.Ends, b.lead, b.chunk = b.Bytes[:0], b.Ends[:0], 0, nil
	b.renderer.blocks.Put(b)
}
