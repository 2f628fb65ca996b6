package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A checkpoint is where all cursors were, at some time. Its file is replaced as a whole.
type checkpoint struct {
	Version int           `json:"version"`
	Number  uint64        `json:"number"`
	Written time.Time     `json:"written"`
	Cursors []savedCursor `json:"cursors"`
	Needed  []uint64      `json:"needed,omitempty"`  // the segments that some cursor needs
	End     seglog.Place  `json:"end"`               // where the log ended then
	Guessed bool          `json:"guessed,omitempty"` // at most: the disk did not give the end
	Streams []savedStream `json:"streams"`           // of what is in front of that
}

// A savedCursor is a cursor: all in front of Read is done, but for what is in Given.
type savedCursor struct {
	Output string       `json:"output"`
	ID     int          `json:"id"`
	Read   seglog.Place `json:"read"`
	Since  seglog.LSN   `json:"since,omitempty"` // what is older is for it by its tag
	Given  []savedGiven `json:"given,omitempty"`
	Adrift bool         `json:"adrift,omitempty"` // the streams need less of it than they have
}

type savedGiven struct {
	seglog.Place
	seglog.Label
	Done recordSet `json:"done,omitempty"`
}

const checkpointVersion = 1

const checkpointFile = "cursors"

func (s *savedGiven) left() int { return int(s.Records) - s.Done.count() }

const checkpointTitle = "sluice cursors"

// encode gives the file's content.
func (c *checkpoint) encode() ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return seglog.WithSum(checkpointTitle, body), nil
}

var errNoCheckpoint = errors.New("no checkpoint")

func decodeCheckpoint(b []byte) (*checkpoint, error) {
	body, whole := seglog.CutSum(checkpointTitle, b)
	if !whole {
		return nil, errNoCheckpoint
	}
	var c checkpoint
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCheckpoint, err)
	}
	if c.Version != checkpointVersion {
		return nil, fmt.Errorf("checkpoint of version %d, this is for %d", c.Version, checkpointVersion)
	}
	return &c, c.check()
}

// check says what cannot be so, whoever wrote it.
func (c *checkpoint) check() error {
	var ids uint64
	names := map[string]bool{}
	for _, s := range c.Cursors {
		if s.ID < 0 || s.ID >= engine.MaxOutputs || ids&(1<<s.ID) != 0 || names[s.Output] {
			return fmt.Errorf("%w: the cursor of output %q has the id %d", errNoCheckpoint, s.Output, s.ID)
		}
		ids |= 1 << s.ID
		names[s.Output] = true
		for _, g := range s.Given {
			if !g.Done.fits(int(g.Records)) {
				return fmt.Errorf("%w: of the %d records at %d are done %x", errNoCheckpoint, g.Records, g.LSN, []byte(g.Done))
			}
		}
	}
	return nil
}

// readCheckpoint gives the last one; nil: there is none that is whole.
func (b *Buffer) readCheckpoint() (*checkpoint, error) {
	content, err := seglog.ReadFile(b.FS, filepath.Join(b.Dir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	} else if err != nil {
		return nil, err
	}
	switch c, err := decodeCheckpoint(content); {
	case errors.Is(err, errNoCheckpoint):
		return nil, nil //nolint:nilnil // it is damaged
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Join(b.Dir, checkpointFile), err)
	default:
		return c, nil
	}
}

// spentPause is the least time between checkpoints that do not wait for their time: because a segment may be freed, as the sooner it
// is used again the better, for new files are written more slowly; and because a process that is young was done with something. Each
// holds up the commits of that moment.
const spentPause = 100 * time.Millisecond

// keep writes checkpoints until the buffer is closed.
func (b *Buffer) keep() {
	defer close(b.done)
	regular, pause := time.NewTicker(b.Checkpoint), time.NewTimer(spentPause)
	defer regular.Stop()
	defer pause.Stop()
	for {
		select {
		case <-regular.C:
		case <-b.spent:
			select {
			case <-pause.C:
			case <-b.quit:
				return
			}
		case <-b.quit:
			return
		}
		b.report(checkpointing, b.save())
		pause.Reset(spentPause)
	}
}

// spend says that a segment may be freed.
func (b *Buffer) spend() {
	select {
	case b.spent <- struct{}{}:
	default:
	}
}

// save writes a checkpoint, if something changed. What no cursor needs from then on is freed.
func (b *Buffer) save() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	c, free := b.snapshot()
	if c == nil {
		return nil
	}
	content, err := c.encode()
	if err == nil {
		name := filepath.Join(b.Dir, checkpointFile)
		if err = seglog.ReplaceFile(b.FS, name, content); b.spendReserve(err) {
			err = seglog.ReplaceFile(b.FS, name, content)
		}
	}
	if err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
		return fmt.Errorf("write checkpoint: %w", err)
	}
	b.mu.Lock()
	for _, number := range free {
		delete(b.holdings, number)
	}
	b.mu.Unlock()
	err = b.log.Free(free...)
	b.stored.Store(b.log.Stored())
	b.keepReserve()
	return err
}

// snapshot gives a checkpoint, and the segments that nobody needs according to it; nil where nothing changed.
func (b *Buffer) snapshot() (*checkpoint, []uint64) {
	segments := b.log.Segments()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dirty {
		return nil, nil
	}
	b.dirty = false
	b.number++
	now := time.Now()
	b.roster.forget(now.Add(-b.StreamTTL), b.Streams)
	c := &checkpoint{
		Version: checkpointVersion, Number: b.number, Written: now.UTC(), End: b.end, Streams: b.roster.save(b.cursors),
	}
	for _, cur := range b.cursors {
		c.Cursors = append(c.Cursors, cur.save())
	}
	var free []uint64
	absent := int64(0)
	for _, s := range segments {
		if h := b.holdings[s.Number]; h != nil && !h.empty() {
			c.Needed = append(c.Needed, s.Number)
			if !h.anyNeeds(b.known.Len()) {
				absent += s.Size
			}
		} else if s.Sealed {
			free = append(free, s.Number)
		}
	}
	if n := len(segments); n > 0 {
		newest := &segments[n-1]
		c.Guessed = newest.Dark > 0 && newest.Next >= c.End.LSN
	}
	b.absentRoom.Store(absent)
	return c, free
}

func (c *cursor) save() savedCursor {
	s := savedCursor{Output: c.Name, ID: c.id, Read: c.read, Since: c.since, Adrift: c.adrift}
	for e := c.order.Front(); e != nil; e = e.Next() {
		g := e.Value.(*given) //nolint:forcetypeassert // it holds nothing else
		s.Given = append(s.Given, savedGiven{g.place, g.label, slices.Clone(g.done)})
	}
	return s
}
