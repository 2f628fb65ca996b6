package sluice

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
)

// A spillMark says how far a spill's stream has come: all below the life is acked, and of the life what is acked. Its file,
// acked, has a slot at byte 0 and one at byte 512, which take turns, so that one of them is whole at any time:
//
//	0   8   "SLUICEAK"
//	8   4   version of the format
//	12  4   0
//	16  8   number of the mark; the greater one counts
//	24  8   epoch of the life, as in the Open of its segments
//	32  8   epoch that the life is sent under: greater where the gateway knew a greater one
//	40  8   acked sequence
//	48  4   checksum of bytes 0 to 47
type spillMark struct{ epoch, sent, acked uint64 }

const (
	markMagic = "SLUICEAK"
	markName  = "acked"
	markSlot  = 512
	markBytes = 52
)

// A markFile keeps a mark. The owner writes as often as it likes: what has not changed is not written.
type markFile struct {
	mu     sync.Mutex // one writes at a time; taken before the stream's mutex, and held while the disk works
	file   diskFile
	number uint64 // of the last mark
	last   spillMark
	safe   spillMark // the last one that survives a crash of the machine
}

// open reads the mark, the zero mark if there is none, and opens the file for the next one.
func (m *markFile) open(d disk, dir string, exists bool) error {
	name := filepath.Join(dir, markName)
	open := d.Create
	if exists {
		open = d.Open
	}
	f, err := open(name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	m.file = f
	if err := d.SyncDir(dir); err != nil { // or its name is gone after a crash of the machine
		return err
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	b := make([]byte, min(size, markSlot+markBytes))
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for at := 0; at+markBytes <= len(b); at += markSlot {
		mark, number, err := parseMark(b[at : at+markBytes])
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if number > m.number {
			m.number, m.last = number, mark
		}
	}
	return nil
}

// parseMark reads a slot; the number is 0 where there is no mark in it.
func parseMark(b []byte) (mark spillMark, number uint64, err error) {
	le := binary.LittleEndian
	if string(b[:8]) != markMagic || le.Uint32(b[48:]) != checksum(0, b[:48]) {
		return spillMark{}, 0, nil
	}
	if v := le.Uint32(b[8:]); v != spillVersion {
		return spillMark{}, 0, fmt.Errorf("version %d: %w", v, errSpillVersion)
	}
	mark = spillMark{epoch: le.Uint64(b[24:]), sent: le.Uint64(b[32:]), acked: le.Uint64(b[40:])}
	if max(mark.epoch, mark.sent, mark.acked) > maxSequence {
		return spillMark{}, 0, nil
	}
	return mark, le.Uint64(b[16:]), nil
}

// write writes a mark, and makes it survive a crash of the machine where that is asked for, or where it is of another epoch
// than the one that does: the gateway is about to hear of that. The caller holds m.mu.
func (m *markFile) write(mark spillMark, durable bool) error {
	if mark != m.last {
		b := make([]byte, markBytes)
		copy(b, markMagic)
		le := binary.LittleEndian
		le.PutUint32(b[8:], spillVersion)
		le.PutUint64(b[16:], m.number+1)
		le.PutUint64(b[24:], mark.epoch)
		le.PutUint64(b[32:], mark.sent)
		le.PutUint64(b[40:], mark.acked)
		le.PutUint32(b[48:], checksum(0, b[:48]))
		if _, err := m.file.WriteAt(b, int64((m.number+1)%2*markSlot)); err != nil {
			return fmt.Errorf("write what is acked: %w", err)
		}
		m.number++
		m.last = mark
	}
	if mark == m.safe || (!durable && mark.epoch == m.safe.epoch && mark.sent == m.safe.sent) {
		return nil
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("sync what is acked: %w", err)
	}
	m.safe = mark
	return nil
}

// isSafe tells whether a crash of the machine leaves a mark that is sent under this epoch.
func (m *markFile) isSafe(sent uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.safe.sent == sent
}
