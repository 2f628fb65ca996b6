package deadletter

import (
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A letter is on its way to the disk, or has come there. The store's lock guards it.
type letter struct {
	key   letterKey
	lsn   seglog.LSN // 0: it is not committed
	write *write     // that waits for it; nil: none does
}

// A letterKey is what a letter is known by when its record comes back.
type letterKey struct {
	tenant, stream  string
	epoch, sequence uint64
	output          string
}

func keyOf(r engine.BatchRecord) letterKey {
	s := r.Chunk.Stream
	k := letterKey{tenant: s.Tenant, stream: s.ID, epoch: r.Chunk.Epoch, sequence: r.Sequence}
	if r.Dead != nil {
		k.output = r.Dead.Output
	}
	return k
}

// commit notes that the letter is safe.
func (l *letter) commit(lsn seglog.LSN) {
	l.lsn = lsn
	if l.write != nil {
		l.write.settle()
	}
}

// A write is what a Write waits for. The store's lock guards it.
type write struct {
	fresh   []*seglog.Entry // that are to be appended
	found   []*letter       // that a Write before this one left behind
	letters []*letter       // of both
	open    int             // letters that are not committed
	done    chan struct{}   // closed when there are none
}

// start has the write wait for its letters.
func (w *write) start() {
	for _, l := range w.letters {
		if l.lsn == 0 {
			l.write = w
			w.open++
		}
	}
	if w.open == 0 {
		close(w.done)
	}
}

func (w *write) settle() {
	if w.open--; w.open == 0 {
		close(w.done)
	}
}

// leftBehind are the letters that Writes did not wait for to the end, stored or not, until their records come back. It forgets the
// oldest of many.
type leftBehind struct{ young, old map[letterKey]*letter }

// maxLeft is how many may be young, and how many old.
const maxLeft = 1 << 15

func (b *leftBehind) put(letters ...*letter) {
	for _, l := range letters {
		if len(b.young) >= maxLeft {
			b.young, b.old = nil, b.young
		}
		if b.young == nil {
			b.young = map[letterKey]*letter{}
		}
		b.young[l.key] = l
	}
}

// take gives the letter of a key, and forgets it; nil: there is none.
func (b *leftBehind) take(k letterKey) *letter {
	l := b.young[k]
	if l == nil {
		l = b.old[k]
	}
	delete(b.young, k)
	delete(b.old, k)
	return l
}
