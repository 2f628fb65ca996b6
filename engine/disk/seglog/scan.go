package seglog

// scan reads a segment from beginning to end. All its entries in front of bound were committed; with a bound of 0 that is not
// known. Commits follow each other: one is begun when the one before it is synced. So a hole in front of a later commit is damage,
// and of the last commit of all, where it is not whole, nobody was told: it is cut, and given back. So is where the last commit
// that counts begins.
func (s *segment) scan(bound LSN) (cut *Damage, last int64, err error) {
	s.totals, s.next, s.end, s.commits = totals{}, s.first, framesAt, 0
	c := commitScan{segment: s, last: framesAt}
	w := window{file: s.file, size: s.size}
	expected, limit := s.first, s.bound()
	if bound != 0 {
		limit = min(limit, bound)
	}
	for at := int64(framesAt); ; {
		h, from, err := w.find(at, s.salt, expected, limit)
		if err != nil {
			return nil, 0, err
		}
		if h == nil {
			break
		}
		later := h.commit > s.commits
		if later { // all before it is whole
			c.flush()
			s.commits = h.commit
		}
		if from > at {
			c.hole(Damage{s.number, at, expected, h.lsn, badFrame}, h, later)
		}
		at, expected = from+h.size(), h.lsn+1
		c.add(h, from, at)
	}
	return c.finish(bound, w.torn), c.last, nil
}

// bound is more than an LSN in the segment can be, as it has no room for so many entries.
func (s *segment) bound() LSN { return s.first + LSN(s.size/frameHeader) }

// A commitScan is a commit that is being read.
type commitScan struct {
	*segment
	labels []Label
	torn   bool     // some of it is missing
	holes  []Damage // in it
	next   LSN
	begin  int64
	end    int64
	last   int64 // where the commit before it begins
}

// hole notes a hole in front of a frame. It is damage where all of it lies in front of a commit that came later.
func (c *commitScan) hole(d Damage, h *header, later bool) {
	c.torn = c.torn || !h.first
	if h.first || later {
		c.damage = append(c.damage, d)
	} else {
		c.holes = append(c.holes, d)
	}
}

// add adds a frame.
func (c *commitScan) add(h *header, from, end int64) {
	if len(c.labels) == 0 {
		c.begin = from
	}
	c.labels = append(c.labels, h.Label)
	c.next, c.end = h.lsn+1, end
	if h.last && !c.torn {
		c.flush()
		c.commits = h.commit + 1
	}
}

// flush has the commit count, as far as it can be read.
func (c *commitScan) flush() {
	if len(c.labels) == 0 {
		return
	}
	for _, l := range c.labels {
		c.totals.add(l)
	}
	c.segment.next, c.segment.end, c.last = c.next, c.end, c.begin
	c.damage = append(c.damage, c.holes...)
	c.labels, c.holes, c.torn = nil, nil, false
}

// finish is the end of the segment, behind which there may be torn frames.
func (c *commitScan) finish(bound LSN, torn bool) (cut *Damage) {
	switch {
	case bound != 0:
		c.flush()
		if c.segment.next < bound {
			c.damage = append(c.damage, Damage{c.number, c.segment.end, c.segment.next, bound, badTail})
			c.segment.next = bound
		}
	case len(c.labels) > 0 || torn:
		cut = &Damage{c.number, c.segment.end, c.segment.next, max(c.segment.next, c.next), "a commit was under way"}
	}
	return cut
}
