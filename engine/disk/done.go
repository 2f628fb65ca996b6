package disk

import (
	"math/bits"

	"github.com/sluicelog/sluice/engine"
)

// A recordSet is some of a chunk's records: a bit each by index, the lowest of a byte first. So it is no larger than the chunk
// has records, whatever is done of it in which order. Empty it is none of them. JSON has it in base64.
type recordSet []byte

// with adds a choice of a chunk's records, of which it has so many, and gives how many were not in it.
func (s recordSet) with(chosen engine.Selection, of int) (all recordSet, added int) {
	if s == nil {
		s = make(recordSet, (of+7)/8)
	}
	for i := range chosen.All() {
		if !s.has(i) {
			s[i/8] |= 1 << (i % 8)
			added++
		}
	}
	return s, added
}

func (s recordSet) has(i int) bool { return len(s) > 0 && s[i/8]&(1<<(i%8)) != 0 }

func (s recordSet) count() (n int) {
	for _, b := range s {
		n += bits.OnesCount8(b)
	}
	return n
}

// fits reports whether it is a choice of so many records.
func (s recordSet) fits(of int) bool {
	if len(s) == 0 {
		return true
	}
	return of > 0 && len(s) == (of+7)/8 && int(s[len(s)-1])>>((of-1)%8+1) == 0
}

// rest is which of so many records are not in it.
func (s recordSet) rest(of int) engine.Selection {
	if len(s) == 0 {
		return engine.SelectRange(0, of)
	}
	rest := make([]uint32, 0, of-s.count())
	for i := range of {
		if !s.has(i) {
			rest = append(rest, uint32(i))
		}
	}
	return engine.SelectList(rest)
}
