package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrGone says that a segment was freed.
var ErrGone = errors.New("segment was freed")

// Read reads the payload of an entry into memory that alloc gives. It fails with a *DamageError where that is damaged, with ErrGone
// where the segment was freed, and with what the file system says: until the segment has not been given for ten minutes, then that is
// damage, too.
func (l *Log) Read(p Place, alloc func(n int) []byte) ([]byte, error) {
	s := l.holding(p.Segment)
	if s == nil {
		return nil, l.blame(p.Segment, ErrGone)
	}
	payload, ok, err := s.payload(p, alloc)
	d := Damage{s.number, p.Offset, p.LSN, p.LSN + 1, badFrame}
	switch {
	case ok:
		return payload, nil
	case l.holding(p.Segment) != s, err != nil && !s.overdue():
		return nil, l.blame(p.Segment, err)
	case err != nil:
		d.Reason = unread
	}
	l.note(s, d)
	return nil, &DamageError{d}
}

// Peek reads the first n bytes of an entry's payload, or all where there are less, and does not find out whether they are whole. It
// fails like Read.
func (l *Log) Peek(p Place, n int) ([]byte, error) {
	s := l.holding(p.Segment)
	if s == nil {
		return nil, l.blame(p.Segment, ErrGone)
	}
	h, err := s.headerAt(p.Offset)
	if err == nil && (h == nil || h.lsn != p.LSN) {
		err = &DamageError{Damage{s.number, p.Offset, p.LSN, p.LSN + 1, badFrame}}
	}
	if err != nil {
		return nil, l.blame(p.Segment, err)
	}
	b, err := s.read(p.Offset+frameHeader, min(int64(n), int64(h.length)))
	if err != nil {
		if s.missed(p.Offset + frameHeader); s.overdue() {
			return nil, &DamageError{Damage{s.number, p.Offset, p.LSN, p.LSN + 1, unread}}
		}
		return nil, l.blame(p.Segment, err)
	}
	return b, nil
}

// payload reads that of an entry, if it is there.
func (s *segment) payload(p Place, alloc func(n int) []byte) (payload []byte, ok bool, err error) {
	h, err := s.headerAt(p.Offset)
	if err != nil || h == nil || h.lsn != p.LSN {
		return nil, false, err
	}
	payload = alloc(int(h.length))
	n, err := s.file.ReadAt(payload, p.Offset+frameHeader)
	if n < len(payload) && noEnd(err) != nil {
		s.missed(p.Offset + frameHeader)
		return nil, false, fmt.Errorf("read %s: %w", s.name, err)
	}
	s.gave(p.Offset + frameHeader)
	return payload, n == len(payload) && checksum(payload) == h.sum, nil
}

// headerAt reads the header of a frame; nil: there is none.
func (s *segment) headerAt(at int64) (*header, error) {
	if at < framesAt {
		return nil, nil
	}
	b, err := s.read(at, frameHeader)
	if err != nil {
		s.missed(at)
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	s.gave(at)
	h, ok := parseHeader(b, s.salt)
	if !ok || h.kind != kindEntry || h.bytes() > s.size-at {
		return nil, nil
	}
	return &h, nil
}

// blame says why a segment cannot be read: nobody who frees it, or closes the log, waits for readers.
func (l *Log) blame(number uint64, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if _, ok := l.index(number); ok && err != nil {
		return err
	}
	return fmt.Errorf("segment %d: %w", number, ErrGone)
}

// holding gives a segment, or nil where it was freed, or the log is closed.
func (l *Log) holding(number uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.index(number)
	if !ok || l.closed {
		return nil
	}
	return l.segments[i]
}

// index is where in the list the segment stands. The caller holds the lock.
func (l *Log) index(number uint64) (int, bool) {
	return slices.BinarySearchFunc(l.segments, number, func(s *segment, n uint64) int { return cmp.Compare(s.number, n) })
}

// Start is the place of the oldest entry that the log holds, or of the next one where it is empty.
func (l *Log) Start() Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.end()
	}
	s := l.segments[0]
	return Place{s.first, s.number, framesAt}
}

// End is the place behind the last committed entry. Its LSN is that of the entry that is committed next.
func (l *Log) End() Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

// end is End with the lock held.
func (l *Log) end() Place {
	if l.kept != nil {
		return Place{LSN: l.next, Segment: l.kept.number + 1}
	}
	if len(l.segments) == 0 {
		return Place{LSN: l.next}
	}
	s := l.segments[len(l.segments)-1]
	return Place{s.next, s.number, s.end}
}

// A Step is an entry that Next found.
type Step struct {
	Place
	Label
	After Place // to go on from
}

// Next gives the first committed entry for any of some readers, a bit each, that has the LSN of p or a higher one; the rest of p
// says where to look for it, if it does. Where there is none yet ok is false, and After is behind all that was looked at: at offset 0 of the
// next segment where that is all of one. What is damaged is passed over, and damage is told of it, once. What the disk does not give is an
// error, with After where that was, until it counts as damage as with Read.
func (l *Log) Next(p Place, readers uint64, damage func(Damage)) (step Step, ok bool, err error) {
	for {
		b, err := l.stretch(p.LSN)
		if b.segment == nil {
			return Step{After: p}, false, err
		}
		if p.Segment != b.number || p.Offset < framesAt {
			p = Place{max(p.LSN, b.first), b.number, framesAt}
		}
		if !b.sealed || b.dark > 0 || b.totals.any(readers) {
			step, ok, err := l.walk(p, b, readers, damage)
			if err != nil {
				err = l.blame(b.number, err)
			}
			if !errors.Is(err, ErrGone) && (ok || err != nil || !b.sealed) {
				return step, ok, err
			}
		}
		p = Place{LSN: max(p.LSN, b.next), Segment: b.number + 1}
	}
}

// walk goes through a stretch.
func (l *Log) walk(p Place, b stretch, readers uint64, damage func(Damage)) (Step, bool, error) {
	for p.Offset < b.end && p.LSN < b.next {
		h, err := b.headerAt(p.Offset)
		switch {
		case err != nil && !b.overdue():
			return Step{After: p}, false, err
		case err != nil || h == nil || h.lsn > p.LSN:
			if p, err = l.passOver(p, b, damage); err != nil {
				return Step{After: p}, false, err
			}
			continue
		case h.lsn < p.LSN:
			p.Offset += h.size()
			continue
		}
		at := p
		p.LSN, p.Offset = p.LSN+1, p.Offset+h.size()
		if h.Readers&readers != 0 {
			return Step{at, h.Label, p}, true, nil
		}
	}
	return Step{After: p}, false, nil
}

// A stretch is what is committed of a segment, at some time.
type stretch struct {
	*segment
	end    int64
	next   LSN
	sealed bool // nothing more comes
}

// stretch gives that of the segment which has the entry, or is the first one behind it; without a segment there is none.
func (l *Log) stretch(lsn LSN) (stretch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return stretch{}, ErrClosed
	}
	i, _ := slices.BinarySearchFunc(l.segments, lsn, func(s *segment, lsn LSN) int {
		if s.sealed && s.next <= lsn {
			return -1
		}
		return 1
	})
	if i == len(l.segments) {
		return stretch{}, nil
	}
	s := l.segments[i]
	return stretch{s, s.end, s.next, s.sealed}, nil
}

// passOver gives the place of the first frame behind damage, or the end of the stretch.
func (l *Log) passOver(p Place, b stretch, damage func(Damage)) (Place, error) {
	w := window{file: b.file, size: b.end}
	h, at, err := w.find(p.Offset, b.salt, p.LSN, b.next)
	d := Damage{b.number, p.Offset, p.LSN, b.next, badFrame}
	if err != nil {
		if b.missed(p.Offset + 1); !b.overdue() { // it is not the frame at p that is missed
			return p, fmt.Errorf("read %s: %w", b.name, err)
		}
		d.Reason = unread
		w = window{file: b.file, size: b.end, blind: true}
		if h, at, err = w.find(p.Offset, b.salt, p.LSN, b.next); err != nil {
			return p, err
		}
	}
	if l.holding(b.number) != b.segment {
		return p, ErrGone
	}
	after := Place{max(p.LSN, b.next), b.number, b.end}
	switch {
	case h != nil:
		after = Place{h.lsn, b.number, at}
	case b.guessed > 0 && p.LSN >= b.guessed && len(w.dark) == 0 && !w.torn: // there never was anything
		return after, nil
	}
	d.To = after.LSN
	if l.note(b.segment, d) {
		damage(d)
	}
	return after, nil
}

// Past gives the place of the first entry behind p that the disk gives, or where the next segment begins, for whoever cannot wait until
// the disk gives what lies at p. Nothing counts as damaged for that.
func (l *Log) Past(p Place) (Place, error) {
	b, err := l.stretch(p.LSN)
	if err != nil || b.segment == nil {
		return p, err
	}
	if p.Segment != b.number || p.Offset < framesAt {
		p = Place{max(p.LSN, b.first), b.number, framesAt}
	}
	w := window{file: b.file, size: b.end, blind: true}
	h, at, err := w.find(p.Offset, b.salt, p.LSN+1, b.next)
	if err != nil || h == nil {
		return Place{LSN: b.next, Segment: b.number + 1}, err
	}
	return Place{h.lsn, b.number, at}, nil
}

// A Segment is what there is to know of one.
type Segment struct {
	Number      uint64
	Name        string
	First, Next LSN // what it holds, up to before Next
	End, Size   int64
	Sealed      bool
	Totals      map[int]Total // by reader
	Dark        int64         // entries, at most, that the disk did not give when the log was opened: they are not in Totals
	Damage      []Damage
}

// Segments gives all that the log holds, the oldest first.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Segment, len(l.segments))
	for i, s := range l.segments {
		all[i] = Segment{
			Number: s.number, Name: s.name, First: s.first, Next: s.next, End: s.end, Size: s.size, Sealed: s.sealed,
			Totals: maps.Clone(s.totals), Dark: int64(s.dark), Damage: slices.Clone(s.damage),
		}
	}
	return all
}

// Stored is how many bytes the segments hold, of those that are sealed their whole size.
func (l *Log) Stored() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.sealed {
			n += s.size
		} else {
			n += s.end
		}
	}
	return n
}

// Used is how many bytes of files the log has, those for use again included.
func (l *Log) Used() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}
