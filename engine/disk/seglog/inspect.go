package seglog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// An Inspection is a look at a log that nobody has open. It changes nothing. Its methods may not be called concurrently.
type Inspection struct {
	Log        *Log     // as Open would give it, but to read alone: what is appended is never committed
	Recovery   Recovery // what Open would tell
	Idle       []Kept   // files for use again, which Open would remove
	Quarantine []Kept

	dry    *dry
	sealed map[uint64]bool // by segment: on the disk
}

// A Kept is a file that is not of the log, though it was.
type Kept struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Inspect looks at a log as Open does, but changes nothing: what that would cut, seal, remove or keep apart stays as it is.
// It has the directory until the inspection is closed. It fails with ErrLocked where another process does, with
// fs.ErrNotExist where there is no directory, and where a segment is of a version that it does not know.
func Inspect(files FS, dir string) (*Inspection, error) { return inspect(&dry{FS: files}, dir) }

// Claim is Inspect for whoever is going to change what lies beside the log: the lock's file is made where there is none.
func Claim(files FS, dir string) (*Inspection, error) {
	return inspect(&dry{FS: files, claim: true}, dir)
}

func inspect(d *dry, dir string) (*Inspection, error) {
	l := &Log{Options: Options{FS: d, Dir: dir}.withDefaults(), next: 1}
	l.shut = sync.OnceValue(func() error {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		return errors.Join(l.closeFiles(), l.lock.Close())
	})
	i := &Inspection{Log: l, dry: d, sealed: map[uint64]bool{}}
	var err error
	if i.Recovery, err = l.open(); err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	if err := i.look(); err != nil {
		return nil, errors.Join(fmt.Errorf("inspect log: %w", err), i.Close())
	}
	return i, nil
}

// look looks at the seals, and finds the files that Open has no use for.
func (i *Inspection) look() (err error) {
	for _, s := range i.Log.segments {
		var d *Damage
		if i.sealed[s.number], d = s.lookAtSeal(); d != nil {
			s.damage = append(s.damage, *d)
		}
	}
	if i.Idle, err = i.kept(i.Log.Dir, true); err != nil {
		return err
	}
	i.Quarantine, err = i.kept(filepath.Join(i.Log.Dir, quarantineDir), false)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// lookAtSeal reports whether a segment has a seal, and what is wrong with it. One of an older life of the file is none.
func (s *segment) lookAtSeal() (sealed bool, d *Damage) {
	seal, err := s.readSeal()
	switch {
	case seal != nil && seal.totals != nil:
		return true, nil
	case seal != nil:
		return true, &Damage{Segment: s.number, Offset: seal.end, Reason: badIndex}
	case err != nil:
		return false, &Damage{Segment: s.number, Offset: sealAt, Reason: unread}
	}
	b, err := s.read(sealAt, sealSize)
	if err != nil || len(b) < sealSize {
		return false, nil
	}
	le := binary.LittleEndian
	old := le.Uint64(b[8:]) != s.salt && le.Uint32(b[44:]) == checksum(b[:44])
	if old || bytes.Equal(b, make([]byte, sealSize)) {
		return false, nil
	}
	return false, &Damage{Segment: s.number, Offset: sealAt, Reason: badSeal}
}

// What can be wrong with a seal. It costs nobody an entry: the segment is read from beginning to end for it.
const (
	badSeal  = "its seal is damaged"
	badIndex = "its index is damaged"
)

// kept gives the files of a directory that are, or are not, for use again.
func (i *Inspection) kept(dir string, wanted bool) (all []Kept, err error) {
	names, err := i.dry.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, idle, ok := parseName(name); !ok || idle != wanted {
			continue
		}
		f, err := i.dry.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		all = append(all, Kept{name, size})
	}
	return all, nil
}

// Verify reads all entries, a piece at a time, and notes the damage that it finds.
func (i *Inspection) Verify() error {
	for _, s := range i.Log.segments {
		if err := s.verify(); err != nil {
			return fmt.Errorf("inspect log: read %s: %w", s.name, err)
		}
	}
	return nil
}

// verify reads the entries of a segment up to its end, which is known.
func (s *segment) verify() error {
	again := &segment{number: s.number, salt: s.salt, file: s.file, name: s.name, size: s.end, first: s.first}
	if _, _, err := again.scan(s.next); err != nil {
		return err
	}
	if again.dark > 0 {
		again.damage = append(again.damage, Damage{Segment: s.number, Offset: again.darkAt, Reason: unread})
	}
	if len(again.damage) == 0 && !maps.Equal(again.totals, s.totals) {
		again.damage = append(again.damage, Damage{Segment: s.number, Offset: s.end, Reason: "its index is not of what is in it"})
	}
	s.damage = appendNews(s.damage, again.damage)
	return nil
}

// appendNews appends the damage that is not in a list yet.
func appendNews(all, more []Damage) []Damage {
	for _, d := range more {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

// Segments gives all that the log has, the oldest first, with the damage that is known by now. Sealed says whether they are
// so on the disk.
func (i *Inspection) Segments() []Segment {
	all := i.Log.Segments()
	for j := range all {
		all[j].Sealed = i.sealed[all[j].Number]
	}
	return all
}

// Damage gives all that is known by now, in the order of the log: that of Recovery, with what is dark, what Verify found, and what
// was found by whoever read the Log.
func (i *Inspection) Damage() []Damage {
	all := slices.Concat(i.Recovery.Damage, i.Recovery.Dark)
	for _, s := range i.Log.Segments() {
		all = appendNews(all, s.Damage)
	}
	slices.SortStableFunc(all, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Offset, b.Offset))
	})
	return all
}

// Read is how many bytes were read by now.
func (i *Inspection) Read() int64 { return i.dry.read.Load() }

// Close gives the directory up. Whoever reads the Log gets ErrClosed from then on.
func (i *Inspection) Close() error { return i.Log.Close() }
