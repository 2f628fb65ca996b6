package deadletter

import (
	"math"
	"slices"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A run is LSNs, from its first to before its last.
type run struct{ from, to seglog.LSN }

// runs are LSNs: runs that ascend, with gaps between them. They do not change: what is derived from them is new.
type runs []run

// runsOf gives the runs of some IDs, in any order.
func runsOf(ids []uint64) (r runs) {
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if lsn := seglog.LSN(id); lsn < math.MaxUint64 {
			r = r.add(run{lsn, lsn + 1})
		}
	}
	return r
}

// add adds a run that does not begin before the last one, in place.
func (r runs) add(x run) runs {
	if last := len(r) - 1; last >= 0 && x.from <= r[last].to {
		r[last].to = max(r[last].to, x.to)
		return r
	}
	return append(r, x)
}

// union gives what is in either.
func (r runs) union(other runs) runs {
	all := make(runs, 0, len(r)+len(other))
	for len(r) > 0 && len(other) > 0 {
		if r[0].from <= other[0].from {
			all, r = all.add(r[0]), r[1:]
		} else {
			all, other = all.add(other[0]), other[1:]
		}
	}
	for _, x := range r {
		all = all.add(x)
	}
	for _, x := range other {
		all = all.add(x)
	}
	return all
}

// within gives what of them is from one LSN to before another.
func (r runs) within(from, to seglog.LSN) (in runs) {
	for _, x := range r[r.index(from):] {
		if x.from >= to {
			break
		}
		if x = (run{max(x.from, from), min(x.to, to)}); x.from < x.to {
			in = append(in, x)
		}
	}
	return in
}

// index gives the first run that ends behind an LSN.
func (r runs) index(lsn seglog.LSN) int {
	i, _ := slices.BinarySearchFunc(r, lsn, func(x run, lsn seglog.LSN) int {
		if x.to <= lsn {
			return -1
		}
		return 1
	})
	return i
}

// none is behind all LSNs.
const none = seglog.LSN(math.MaxUint64)

// start gives the first that is in them, from an LSN on; none: there is none.
func (r runs) start(lsn seglog.LSN) seglog.LSN {
	if i := r.index(lsn); i < len(r) {
		return max(lsn, r[i].from)
	}
	return none
}

// skip gives the first that is not in them, from an LSN on.
func (r runs) skip(lsn seglog.LSN) seglog.LSN {
	if i := r.index(lsn); i < len(r) && r[i].from <= lsn {
		return r[i].to
	}
	return lsn
}

func (r runs) has(lsn seglog.LSN) bool { return r.skip(lsn) > lsn }

// count is how many there are from one LSN to before another.
func (r runs) count(from, to seglog.LSN) (n int64) {
	for _, x := range r[r.index(from):] {
		if x.from >= to {
			break
		}
		n += int64(min(x.to, to) - max(x.from, from))
	}
	return n
}

// size is how many there are.
func (r runs) size() int64 { return r.count(0, none) }
