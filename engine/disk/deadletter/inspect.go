package deadletter

import (
	"errors"
	"fmt"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A Report is what there is to know of a store that no process has open.
type Report struct {
	Letters int64           `json:"letters"`
	Bytes   int64           `json:"bytes"` // of its files
	Damage  []seglog.Damage `json:"damage"`
	// Unknown: it cannot be read which letters were removed, so all of them count as if they were not.
	Unknown bool  `json:"unknown"`
	Read    int64 `json:"read"` // bytes
}

// Good reports whether nothing is damaged, as far as was looked.
func (r *Report) Good() bool { return len(r.Damage) == 0 && !r.Unknown }

// Inspect looks at a store that no process has open, and changes nothing; with verify it reads all letters and checks every checksum. It
// fails with seglog.ErrLocked where somebody has it, and with fs.ErrNotExist where there is none. A nil FS is the system's.
func Inspect(files seglog.FS, dir string, verify bool) (r *Report, err error) {
	if files == nil {
		files = seglog.OS()
	}
	found, err := seglog.Inspect(files, dir)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	if verify {
		if err := found.Verify(); err != nil {
			return nil, fmt.Errorf("dead letters: %w", err)
		}
	}
	removed, known, err := readRemoved(files, dir)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	r = &Report{Damage: append([]seglog.Damage{}, found.Damage()...), Unknown: !known, Read: found.Read()}
	for _, s := range found.Segments() {
		r.Letters += int64(s.Next-s.First) - removed.count(s.First, s.Next)
		r.Bytes += s.Size
	}
	return r, nil
}
