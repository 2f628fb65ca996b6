package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Options say where a buffer is and how it is kept. A zero field means its default, given beside it.
type Options struct {
	Dir         string    // it is made where it is not there; one process at a time may have it
	FS          seglog.FS // the system's
	Room        int64     // of all segments together, in bytes: no bound but the disk's
	SegmentSize int64     // in bytes: 64 MiB, at most an eighth of Room
	Sync        seglog.SyncPolicy
	Interval    time.Duration // between syncs, with seglog.SyncInterval: 1 s
	Checkpoint  time.Duration // between writings of where the outputs are: 1 s
	Memory      int64         // of chunks that are safe and stay in memory, in bytes: 32 MiB
	Log         *slog.Logger  // slog.DiscardHandler
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = seglog.OS()
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.Room > 0 {
		o.SegmentSize = min(o.SegmentSize, o.Room/8)
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = time.Second
	}
	if o.Memory == 0 {
		o.Memory = 32 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Open opens a buffer for the outputs, whose order is that of OutputSet, or makes it: at most engine.MaxOutputs, of distinct names,
// with those that it knows from before. It goes on where the process before it was at its last checkpoint. An output that is new
// begins with what comes from now on.
func Open(o Options, outputs []engine.BufferOutput) (*Buffer, error) {
	b := &Buffer{
		Options: o.withDefaults(), holdings: map[uint64]*holding{}, failing: map[work]error{},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	log, recovery, err := seglog.Open(seglog.Options{
		FS: b.FS, Dir: b.Dir, SegmentSize: b.SegmentSize, Storage: b.Room, Sync: b.Sync, Interval: b.Interval, Log: b.Log,
		Committed: b.committed, Failing: func(err error) { b.report(committing, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	b.log = log
	for _, d := range recovery.Cut {
		b.Log.Warn("a commit that was under way is cut", "at", d)
	}
	for _, d := range recovery.Damage {
		b.damaged(d)
	}
	err = b.restore(outputs)
	if err == nil {
		b.missing(recovery.Missing)
		b.dirty = true // what was read may be in the system's memory alone
		err = b.save()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk buffer: %w", err), log.Close())
	}
	go b.keep()
	return b, nil
}

// missing tells of gaps in the log that an output has yet to come to. Segments that nobody needs are freed in any order, so most
// gaps are none of anybody's business.
func (b *Buffer) missing(gaps []seglog.Damage) {
	for _, d := range gaps {
		for _, c := range b.cursors[:b.known.Len()] {
			if c.read.LSN < d.To {
				b.damaged(d)
				break
			}
		}
	}
}

// restore makes the cursors, from the last checkpoint where they are in it.
func (b *Buffer) restore(outputs []engine.BufferOutput) error {
	last, err := b.readCheckpoint()
	if err != nil {
		return err
	}
	start := b.log.End()
	if last == nil {
		last = &checkpoint{}
		if b.log.Start().LSN != start.LSN {
			b.Log.Error("no checkpoint can be read: all outputs begin with the oldest entry")
		}
		start = b.log.Start()
	}
	b.number = last.Number
	b.recent = recent{first: b.log.End().LSN, budget: b.Memory}
	if err := b.configure(outputs, last, start); err != nil {
		return err
	}
	segments := b.log.Segments()
	for i := range last.Cursors {
		s := &last.Cursors[i]
		j := slices.IndexFunc(b.cursors, func(c *cursor) bool { return c.id == s.ID })
		b.cursors[j].resume(s, segments)
	}
	for _, c := range b.cursors {
		if err := c.count(segments); err != nil {
			return err
		}
	}
	return nil
}

// configure makes a cursor for each output, and for those of the checkpoint that are no longer configured.
func (b *Buffer) configure(outputs []engine.BufferOutput, last *checkpoint, start seglog.Place) error {
	var used uint64
	for _, s := range last.Cursors {
		used |= 1 << s.ID
	}
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
			c.read = start
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
	c.read = s.Read
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
			b.lost += int64(g.left)
			b.Log.Error("what an output had not delivered is lost with its segment", "output", c.Name, "segment", g.place.Segment,
				"records", g.left)
			continue
		}
		c.put(g)
		c.again = append(c.again, g)
		b.holding(g.place.Segment).given++
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
		case s.Number > c.read.Segment || s.Number == c.read.Segment && c.read.Offset == 0:
			t = s.Totals[c.id]
		case s.Number == c.read.Segment:
			for p := c.read; ; {
				step, ok, err := b.log.Next(p, c.id, b.damaged)
				if err != nil {
					return err
				}
				if p = step.After; !ok || step.Segment != s.Number {
					break
				}
				t.Add(step.Label)
			}
		}
		if t.Entries > 0 {
			b.holding(s.Number).unread[c.index] = t
			c.settle(seglog.Total{Entries: -t.Entries, Records: -t.Records, Bytes: -t.Bytes})
		}
	}
	return nil
}
