package disk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// restore makes the cursors, from the last checkpoint where they are in it, which it gives.
func (b *Buffer) restore(outputs []engine.BufferOutput) (*checkpoint, error) {
	last, err := b.readCheckpoint()
	if err != nil {
		return nil, err
	}
	start := b.log.End()
	if last == nil {
		last = &checkpoint{End: b.log.Start()}
		if b.log.Start().LSN != start.LSN {
			b.Log.Error("no checkpoint can be read: all outputs begin with the oldest entry that their routes send them")
		}
		start = b.log.Start()
	}
	b.number, b.opened = last.Number, b.log.End()
	b.recent = recent{first: b.log.End().LSN, budget: b.Memory}
	if err := b.configure(outputs, last, start); err != nil {
		return nil, err
	}
	blocks := make([]bool, len(b.cursors))
	for i, c := range b.cursors {
		blocks[i] = i < len(outputs) && !c.Optional
	}
	b.roster = newRoster(blocks...)
	b.roster.restore(last.Streams, b.cursors)
	segments := b.log.Segments()
	for i := range last.Cursors {
		s := &last.Cursors[i]
		j := slices.IndexFunc(b.cursors, func(c *cursor) bool { return c.id == s.ID })
		b.cursors[j].resume(s, segments)
	}
	for _, c := range b.cursors {
		if err := c.count(segments); err != nil {
			return nil, err
		}
	}
	err = b.catchUp(last.End)
	for _, s := range segments { // one that ended early is shorter
		if h := b.holdings[s.Number]; h != nil {
			h.size = s.Size
		}
	}
	b.pin(b.end.Segment)
	return last, err
}

// catchUp notes what of which streams was committed since the last checkpoint.
func (b *Buffer) catchUp(from seglog.Place) error {
	b.end = b.log.End()
	if from.LSN > b.end.LSN { // the machine stopped before the log was synced
		b.drift()
		b.roster.lose(b.end.LSN)
	}
	var room []byte
	for p := from; ; {
		step, ok, err := b.log.Next(p, ^uint64(0), b.damaged)
		if err != nil { // what the disk does not give is not waited for
			b.drift()
			if p, err = b.log.Past(step.After); err != nil {
				return err
			}
			continue
		}
		if !ok {
			return nil
		}
		p = step.After
		entry, err := b.log.Read(step.Place, func(n int) []byte {
			room = slices.Grow(room[:0], n)[:n]
			return room
		})
		c, name, errChunk := parseChunk(entry)
		if errors.Join(err, errChunk) != nil { // whoever comes to it tells of it
			b.drift()
			continue
		}
		var needed engine.OutputSet
		for i, cur := range b.cursors {
			if step.Readers&(1<<cur.id) != 0 {
				needed = needed.With(i)
			}
		}
		b.roster.commit(c, name, step.Label, step.LSN, needed)
	}
}

// drift says that the accounts of the streams do not fit the cursors any more.
func (b *Buffer) drift() {
	for _, c := range b.cursors {
		c.adrift = true
	}
}

// configure makes a cursor for each output, and for those of the checkpoint that are no longer configured.
func (b *Buffer) configure(outputs []engine.BufferOutput, last *checkpoint, start seglog.Place) error {
	used := b.taken(last)
	saved := func(name string) *savedCursor {
		i := slices.IndexFunc(last.Cursors, func(s savedCursor) bool { return s.Output == name })
		if i < 0 {
			return nil
		}
		return &last.Cursors[i]
	}
	for i, o := range outputs {
		b.known = b.known.With(i)
		if o.Optional {
			b.optional = b.optional.With(i)
		}
		c := newCursor(b, i, o)
		if s := saved(o.Name); s != nil {
			c.id = s.ID
		} else if c.id = lowestFree(used); c.id == engine.MaxOutputs {
			return fmt.Errorf("no room for the cursor of output %q: %d are kept", o.Name, engine.MaxOutputs)
		} else {
			used |= 1 << c.id
			if c.read = start; o.StartOldest || last.Number == 0 { // whose the ids were that frames have nobody knows without a checkpoint
				c.read, c.since = b.log.Start(), b.log.End().LSN
				c.adrift = true // nothing of it is in the streams' accounts
			}
		}
		b.cursors = append(b.cursors, c)
	}
	for _, s := range last.Cursors {
		if slices.ContainsFunc(outputs, func(o engine.BufferOutput) bool { return o.Name == s.Output }) {
			continue
		}
		c := newCursor(b, len(b.cursors), engine.BufferOutput{Name: s.Output})
		c.id = s.ID
		b.cursors = append(b.cursors, c)
	}
	return nil
}

func lowestFree(used uint64) int {
	for i := range engine.MaxOutputs {
		if used&(1<<i) == 0 {
			return i
		}
	}
	return engine.MaxOutputs
}

// resume takes the cursor to where it was. What is not in the log any more was lost with its segment.
func (c *cursor) resume(s *savedCursor, segments []seglog.Segment) {
	b := c.buffer
	c.read, c.since, c.adrift = s.Read, s.Since, s.Adrift
	if end := b.log.End(); c.read.LSN > end.LSN { // the machine stopped before the log was synced
		c.read = end
	}
	for i := range s.Given {
		saved := &s.Given[i]
		g := &given{place: saved.Place, label: saved.Label, done: saved.Done, left: saved.left()}
		if g.left <= 0 {
			continue
		}
		if !slices.ContainsFunc(segments, func(s seglog.Segment) bool { return s.Number == g.place.Segment && g.place.LSN < s.Next }) {
			c.lost += int64(g.left)
			c.adrift = true
			c.loses(g.place.Segment, g.place.Offset, 1, int64(g.left), "the segment is gone")
			continue
		}
		c.put(g)
		c.again = append(c.again, g)
		b.holding(g.place.Segment).given[c.index]++
		c.charge(g.label)
		c.backlog.Records -= int64(g.label.Records) - int64(g.left)
	}
}

// count finds out what the cursor has yet to read: by the segments' totals, and of the segment that it is in by reading what is
// behind it.
func (c *cursor) count(segments []seglog.Segment) error {
	b := c.buffer
	for i := range segments {
		s := &segments[i]
		var t seglog.Total
		switch {
		case s.Next <= c.read.LSN:
		case s.First >= max(c.read.LSN, c.since):
			t = s.Totals[c.id]
			t.Entries += s.Dark // whose they are is not known
		default:
			var err error
			if t, err = c.countIn(s); err != nil {
				return err
			}
		}
		if t.Entries > 0 {
			c.expect(b.holding(s.Number), t)
		}
	}
	return nil
}

// countIn is count of one segment, by reading what the cursor has not read of it. What the disk does not give counts as entries.
func (c *cursor) countIn(s *seglog.Segment) (t seglog.Total, err error) {
	p := c.read
	if p.LSN < s.First {
		p = seglog.Place{LSN: s.First, Segment: s.Number}
	}
	for {
		step, ok, err := c.find(p)
		switch at := step.After; {
		case err != nil && at.Segment == s.Number:
			if p, err = c.buffer.log.Past(at); err != nil {
				return t, err
			}
			t.Entries += int64(min(p.LSN, s.Next)) - int64(at.LSN)
		case err != nil: // of what lies behind
			return t, nil //nolint:nilerr // that is not counted here
		case !ok || step.Segment != s.Number:
			return t, nil
		default:
			t.Add(step.Label)
			p = step.After
		}
	}
}
