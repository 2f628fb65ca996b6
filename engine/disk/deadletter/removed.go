package deadletter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// What was removed lies in a file of its own, which is replaced as a whole.
const (
	removedName    = "removed"
	removedTitle   = "sluice removed letters"
	removedVersion = 1
)

// lsnLimit is more than an LSN can be, as in the log.
const lsnLimit = 1 << 62

// encodeRemoved gives the file's content: a line with the checksum of what follows it.
func encodeRemoved(removed runs) []byte {
	body := binary.AppendUvarint(nil, removedVersion)
	body = binary.AppendUvarint(body, uint64(len(removed)))
	at := seglog.LSN(0)
	for _, x := range removed {
		body = binary.AppendUvarint(body, uint64(x.from-at))
		body = binary.AppendUvarint(body, uint64(x.to-x.from))
		at = x.to
	}
	return seglog.WithSum(removedTitle, body)
}

var errNotRemoved = errors.New("it does not say what was removed")

func decodeRemoved(b []byte) (runs, error) {
	body, whole := seglog.CutSum(removedTitle, b)
	if !whole {
		return nil, errNotRemoved
	}
	r := seglog.Values{Rest: body}
	if v := r.Uvarint(); v != removedVersion && !r.Bad {
		return nil, fmt.Errorf("it is of version %d, this is for %d", v, removedVersion)
	}
	n := r.Uvarint()
	if n > uint64(len(body)) {
		return nil, errNotRemoved
	}
	removed, at := make(runs, 0, n), uint64(0)
	for range n {
		gap, length := r.Uvarint(), r.Uvarint()
		if gap == 0 || length == 0 || gap >= lsnLimit || length >= lsnLimit || at+gap+length >= lsnLimit {
			return nil, errNotRemoved
		}
		removed = append(removed, run{seglog.LSN(at + gap), seglog.LSN(at + gap + length)})
		at += gap + length
	}
	if r.Bad || len(r.Rest) > 0 {
		return nil, errNotRemoved
	}
	return removed, nil
}

// readRemoved reads what was removed. Where that is damaged it is not known.
func readRemoved(files seglog.FS, dir string) (removed runs, known bool, err error) {
	name := filepath.Join(dir, removedName)
	content, err := seglog.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	} else if err != nil {
		return nil, false, err
	}
	switch removed, err = decodeRemoved(content); {
	case errors.Is(err, errNotRemoved):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return removed, true, nil
}

// writeRemoved makes it safe that these are removed.
func writeRemoved(files seglog.FS, dir string, removed runs) error {
	return seglog.ReplaceFile(files, filepath.Join(dir, removedName), encodeRemoved(removed))
}
