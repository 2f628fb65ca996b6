package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// ErrNoOutput says that a buffer knows no output of a name.
var ErrNoOutput = errors.New("no such output")

// A Forgotten is what was given up with an output's cursor.
type Forgotten struct {
	OutputReport
	Freed []SegmentReport // which nobody else needs: they are freed by who opens the buffer next
}

// Forget drops an output's cursor from a buffer that no process has open, and with it what the output had yet to deliver.
// An output of that name begins anew if it comes back. It fails as Inspect does, and with ErrNoOutput where there is none;
// then nothing is changed. Where it is interrupted the cursor is there or not, and nothing else is lost.
func Forget(files seglog.FS, dir, output string) (f *Forgotten, err error) {
	if files == nil {
		files = seglog.OS()
	}
	l, err := newLook(seglog.Claim, files, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.found.Close()) }()
	if f, err = l.forget(files, output); err != nil {
		return nil, fmt.Errorf("disk buffer: forget output %q: %w", output, err)
	}
	return f, nil
}

func (l *look) forget(files seglog.FS, output string) (*Forgotten, error) {
	r, err := l.report()
	if err != nil {
		return nil, err
	}
	if l.last == nil {
		return nil, errors.New("no checkpoint can be read, so nothing is known of any output")
	}
	i := slices.IndexFunc(r.Outputs, func(o OutputReport) bool { return o.Name == output })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoOutput, known(r.Outputs))
	}
	l.last.drop(r.Outputs[i].ID)
	content, err := l.last.encode()
	if err == nil {
		err = seglog.ReplaceFile(files, filepath.Join(l.Dir, checkpointFile), content)
	}
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	return &Forgotten{OutputReport: r.Outputs[i], Freed: r.onlyNeededBy(output)}, nil
}

func known(outputs []OutputReport) string {
	if len(outputs) == 0 {
		return "none is known"
	}
	names := make([]string, len(outputs))
	for i := range outputs {
		names[i] = outputs[i].Name
	}
	return "known are " + strings.Join(names, ", ")
}

// drop makes it the checkpoint that comes next, without the cursor of an id. The id is free again, but see taken.
func (c *checkpoint) drop(id int) {
	c.Number++
	c.Written = time.Now().UTC()
	c.Cursors = slices.DeleteFunc(c.Cursors, func(s savedCursor) bool { return s.ID == id })
	for _, s := range c.Streams {
		delete(s.Need, id)
	}
}

// onlyNeededBy gives the segments that an output needs, and no other.
func (r *Report) onlyNeededBy(output string) (only []SegmentReport) {
	for _, s := range r.Segments {
		if slices.Equal(r.NeededBy(s.Number), []string{output}) {
			only = append(only, s)
		}
	}
	return only
}

// taken gives the ids that a new output cannot have: those of the cursors, and those of forgotten ones that are still in
// the log, or what was theirs would be the new one's. Where no checkpoint could be read nobody knows whose they are: then
// the outputs are taken for those that there were.
func (b *Buffer) taken(last *checkpoint) (ids uint64) {
	for _, s := range last.Cursors {
		ids |= 1 << s.ID
	}
	if last.Number == 0 {
		return ids
	}
	for _, s := range b.log.Segments() {
		for id := range s.Totals {
			ids |= 1 << id
		}
	}
	return ids
}
