package disk

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// ErrNoBuffer says that a directory has no buffer in it.
var ErrNoBuffer = errors.New("there is no buffer in it")

// Inspect looks at a buffer that no process has open, and changes nothing. With verify it reads all that is in the log, a
// piece at a time, and checks every checksum; without, heads and seals, and segments that have none. Nobody can open the
// buffer meanwhile. It fails with seglog.ErrLocked where somebody has it, with fs.ErrNotExist where there is no directory,
// with ErrNoBuffer where nothing of a buffer's is in it, and where a segment or a checkpoint is of a version that it does
// not know. A nil FS is the system's.
func Inspect(files seglog.FS, dir string, verify bool) (r *Report, err error) {
	l, err := newLook(seglog.Inspect, files, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.found.Close()) }()
	if verify {
		if err := l.found.Verify(); err != nil {
			return nil, fmt.Errorf("disk buffer: %w", err)
		}
	}
	if r, err = l.report(); err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	r.Verified = verify
	return r, nil
}

// A look is a buffer as the next process would find it, with a cursor for each output that is known. Nothing goes on in it.
type look struct {
	*Buffer
	found *seglog.Inspection
	last  *checkpoint // nil: none can be read
}

func newLook(inspect func(seglog.FS, string) (*seglog.Inspection, error), files seglog.FS, dir string) (*look, error) {
	if files == nil {
		files = seglog.OS()
	}
	found, err := inspect(files, dir)
	if err != nil {
		return nil, fmt.Errorf("disk buffer: %w", err)
	}
	b := &Buffer{
		Options: Options{Dir: dir, FS: found.Log.FS}.withDefaults(), log: found.Log, roster: newRoster(),
		holdings: map[uint64]*holding{}, failing: map[work]engine.Failure{}, losses: map[lossPlace]*loss{},
	}
	l := &look{Buffer: b, found: found}
	if l.last, err = b.readCheckpoint(); err == nil && l.last != nil {
		_, err = b.restore(nil)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk buffer: %w", err), found.Close())
	}
	return l, nil
}

func (l *look) report() (*Report, error) {
	r := &Report{
		Idle: append([]seglog.Kept{}, l.found.Idle...), Quarantine: append([]seglog.Kept{}, l.found.Quarantine...),
		Cut: damages(l.found.Recovery.Cut), Missing: damages(slices.DeleteFunc(l.found.Recovery.Missing, l.passed)),
	}
	if l.last != nil {
		r.Checkpoint, r.Written = l.last.Number, l.last.Written
	}
	names, err := l.FS.List(l.Dir)
	if err != nil {
		return nil, err
	}
	r.Outputs = l.outputs()
	r.Streams = l.streams()
	r.Segments = l.segments()
	r.Damage, r.Read = damages(l.found.Damage()), l.found.Read()
	if !slices.Contains(names, checkpointFile) && len(r.Segments)+len(r.Idle)+len(r.Quarantine)+len(r.Damage) == 0 {
		return nil, fmt.Errorf("%s: %w", l.Dir, ErrNoBuffer)
	}
	return r, nil
}

// passed reports whether all outputs are behind a gap in the log.
func (l *look) passed(d seglog.Damage) bool {
	return !slices.ContainsFunc(l.cursors, func(c *cursor) bool { return c.read.LSN < d.To })
}

func (l *look) outputs() []OutputReport {
	all := make([]OutputReport, len(l.cursors))
	for i, c := range l.cursors {
		all[i] = OutputReport{
			Name: c.Name, ID: c.id, Read: c.read, Since: c.since, Given: c.order.Len(), Chunks: c.backlog.Chunks,
			Records: c.backlog.Records, Bytes: c.backlog.Bytes, Oldest: c.oldest().UTC(), Lost: c.lost, Segments: c.needed(),
		}
		if c.order.Len() > 0 || c.backlog.Chunks == 0 {
			continue
		}
		if step, ok, err := c.find(c.read); ok && err == nil { // what the disk does not give is told as damage
			all[i].Oldest = time.Unix(0, step.Time).UTC()
		}
	}
	slices.SortFunc(all, func(a, b OutputReport) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// needed gives the segments that a cursor needs something of.
func (c *cursor) needed() []uint64 {
	set := map[uint64]bool{}
	for number, h := range c.buffer.holdings {
		if h.unread[c.index].Entries > 0 {
			set[number] = true
		}
	}
	for e := c.order.Front(); e != nil; e = e.Next() {
		set[e.Value.(*given).place.Segment] = true //nolint:forcetypeassert // it holds nothing else
	}
	return append([]uint64{}, slices.Sorted(maps.Keys(set))...)
}

// streams gives those that are known, the ones of which most is needed first.
func (l *look) streams() []StreamReport {
	names := map[int]string{}
	for _, c := range l.cursors {
		names[c.id] = c.Name
	}
	all := []StreamReport{}
	for _, s := range l.roster.save(l.cursors) {
		r := StreamReport{
			Tenant: s.Tenant, ID: s.ID, Tag: s.Tag, Epoch: s.Epoch, Last: s.Last, Seen: time.Unix(0, s.Seen).UTC(),
			Needed: map[string]int64{},
		}
		for id, bytes := range s.Need {
			r.Needed[names[id]] = bytes
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b StreamReport) int {
		return cmp.Or(cmp.Compare(b.Stored(), a.Stored()), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func (l *look) segments() []SegmentReport {
	all := []SegmentReport{}
	for _, s := range l.found.Segments() {
		all = append(all, SegmentReport{
			Number: s.Number, Name: filepath.Base(s.Name), First: s.First, Next: s.Next, Entries: int64(s.Next - s.First),
			Bytes: s.End, Size: s.Size, Sealed: s.Sealed,
		})
	}
	return all
}
