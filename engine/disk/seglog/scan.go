package seglog

// scan reads a segment from beginning to end. All its entries in front of bound were committed; with a bound of 0 that is not
// known. Commits follow each other: one is begun when the one before it is synced. So a hole in front of a later commit is damage,
// and of the last commit of all, where it is not whole, nobody was told: it is cut, and given back. So is where the last commit
// that counts lies.
//
// What the disk does not give may be there later. It counts as entries that are dark: neither damaged nor cut. Where the end of all is
// dark as many LSNs are left for it as can be in there.
func (s *segment) scan(bound LSN) (cut *Damage, last tail, err error) {
	s.totals, s.next, s.end, s.commits = totals{}, s.first, framesAt, 0
	c := commitScan{segment: s, window: window{file: s.file, size: s.size, blind: true}}
	expected, limit := s.first, s.bound()
	if bound != 0 {
		limit = min(limit, bound)
	}
	at := int64(framesAt)
	for {
		h, from, err := c.window.find(at, s.salt, expected, limit)
		if err != nil {
			return nil, tail{}, err
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
			c.hole(Damage{s.number, at, expected, h.lsn, badFrame}, from, h, later)
		}
		at, expected = from+h.size(), h.lsn+1
		c.add(h, from, at)
	}
	cut = c.finish(at, bound, c.window.torn)
	c.last.dark = c.window.dark
	return cut, c.last, nil
}

// A tail is the last commit of a segment that counts.
type tail struct {
	from, to int64          // equal where there is none
	dark     map[int64]bool // pages that the disk did not give, by number
}

// bound is more than an LSN in the segment can be, as it has no room for so many entries.
func (s *segment) bound() LSN { return s.first + LSN(s.size/frameHeader) }

// A commitScan is a commit that is being read.
type commitScan struct {
	*segment
	window window
	labels []Label
	torn   bool     // some of it is missing
	holes  []Damage // in it
	next   LSN
	begin  int64
	end    int64
	last   tail // the commit before it
}

// hole notes a hole in front of a frame. It is damage where all of it lies in front of a commit that came later, and the disk gives it.
func (c *commitScan) hole(d Damage, from int64, h *header, later bool) {
	if c.window.isDark(d.Offset, from) {
		c.darken(d.Offset, d.To-d.From)
		if later { // what lies in front of a later commit was committed, whether it can be read or not
			c.segment.next, c.segment.end = d.To, from
		}
		return
	}
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

// darken notes that so many entries, from an offset on, are dark.
func (c *commitScan) darken(at int64, n LSN) {
	if n > 0 && c.dark == 0 {
		c.darkAt = at
	}
	c.dark += n
}

// flush has the commit count, as far as it can be read.
func (c *commitScan) flush() {
	if len(c.labels) == 0 {
		return
	}
	for _, l := range c.labels {
		c.totals.add(l)
	}
	c.segment.next, c.segment.end, c.last = c.next, c.end, tail{from: c.begin, to: c.end}
	c.damage = append(c.damage, c.holes...)
	c.labels, c.holes, c.torn = nil, nil, false
}

// finish is the end of the segment, behind which there may be torn frames.
func (c *commitScan) finish(at int64, bound LSN, torn bool) (cut *Damage) {
	if bound != 0 {
		c.flush()
	}
	switch {
	case c.segment.next != bound && (c.window.hides(at, c.salt) || torn && c.window.darkBehind(at) > at):
		c.flush()
		next := bound
		if bound == 0 {
			c.guessed = c.segment.next
			next = c.guessed + LSN((c.window.darkBehind(at)-at)/frameHeader) + 1
		}
		c.darken(at, next-c.segment.next)
		c.segment.next, c.segment.end = next, c.size
	case bound != 0:
		if c.segment.next < bound {
			c.damage = append(c.damage, Damage{c.number, c.segment.end, c.segment.next, bound, badTail})
			c.segment.next = bound
		}
	case len(c.labels) > 0 || torn:
		cut = &Damage{c.number, c.segment.end, c.segment.next, max(c.segment.next, c.next), "a commit was under way"}
	}
	return cut
}
