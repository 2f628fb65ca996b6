package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Recovery says what Open found that a clean stop would not have left.
type Recovery struct {
	Cut    []Damage // the tail of a commit that was under way: nobody was told of it
	Damage []Damage // what was committed and cannot be read
	Dark   []Damage // where the disk does not give what may have been committed: that is tried again by whoever comes to it
	// Missing is what lies between the segments. It was freed before what is older, or its segments are lost: the owner knows.
	Missing []Damage
}

const lockName = "lock"

// Open opens a log, or makes it. What a crash left of a commit that was under way is cut. It fails where another process has the
// directory, and where a segment is of a version that it does not know; then nothing is changed.
func Open(o Options) (*Log, Recovery, error) {
	l := &Log{
		Options: o.withDefaults(), next: 1,
		bell: make(chan struct{}, 1), freed: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	l.draft.apart = l.apart()
	l.shut = sync.OnceValue(l.close)
	r, err := l.open()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open log: %w", err)
	}
	l.timer = time.NewTimer(l.Interval)
	l.timer.Stop()
	go l.run()
	return l, r, nil
}

func (l *Log) open() (r Recovery, err error) {
	if err := l.check(); err != nil {
		return r, err
	}
	if err := l.FS.MkdirAll(l.Dir); err != nil {
		return r, err
	}
	if l.lock, err = l.FS.Lock(filepath.Join(l.Dir, lockName)); err != nil {
		return r, err
	}
	if err := l.recover(&r); err != nil {
		return r, errors.Join(err, l.closeFiles(), l.lock.Close())
	}
	return r, nil
}

// recover finds the segments, and where each of them ends.
func (l *Log) recover(r *Recovery) error {
	spares, err := l.survey()
	if err != nil {
		return err
	}
	for _, name := range spares { // they may hold anything, and be of any size
		if err := l.FS.Remove(name); err != nil {
			l.Log.Warn("remove spare", "file", name, "err", err)
		}
	}
	l.order(r)
	for i, s := range l.segments {
		var follower *segment
		if i+1 < len(l.segments) {
			follower = l.segments[i+1]
		}
		if err := l.measure(s, follower, r); err != nil {
			return fmt.Errorf("read %s: %w", s.name, err)
		}
		l.next = s.next
		l.shorten(s)
	}
	if l.Spare {
		l.provide()
	}
	return l.FS.SyncDir(l.Dir) // the process before this one may have ended before it did
}

// provide makes a file for the first segment. Without it, it is made when it is needed.
func (l *Log) provide() {
	l.number++
	f, err := l.spare()
	if err != nil {
		l.Log.Warn("no file is kept ready", "err", err)
		return
	}
	l.idle = append(l.idle, f)
}

// shorten cuts off what a segment that ended early has no use for: one ends with each life of the process, and would take the room
// of a full one. One with damage is left as it is, for people to look at.
func (l *Log) shorten(s *segment) {
	size := (s.end + indexRoom + pageSize - 1) / pageSize * pageSize
	if len(s.damage) > 0 || s.size-size < l.SegmentSize/8 {
		return
	}
	err := s.file.Truncate(size)
	if err == nil {
		size, err = s.file.Size()
	}
	if err != nil {
		l.Log.Warn("shorten segment", "segment", s.name, "err", err)
		return
	}
	l.used += size - s.size
	s.size = size
}

// survey opens all segments and reads what they say they are. It changes nothing.
func (l *Log) survey() (spares []string, err error) {
	names, err := l.FS.List(l.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		number, idle, ok := parseName(name)
		if !ok {
			continue
		}
		l.number = max(l.number, number)
		path := filepath.Join(l.Dir, name)
		if idle {
			spares = append(spares, path)
		} else if err := l.find(path, number); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	dir := filepath.Join(l.Dir, quarantineDir)
	if names, err = l.FS.List(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.Log.Warn("list quarantine", "dir", dir, "err", err)
	}
	for _, name := range names { // a number is not used twice
		if number, _, ok := parseName(name); ok {
			l.number = max(l.number, number)
		}
	}
	return spares, nil
}

func (l *Log) find(path string, number uint64) (err error) {
	s := &segment{number: number, name: path, totals: totals{}}
	if s.file, err = l.FS.Open(path); err != nil {
		return err
	}
	l.segments = append(l.segments, s)
	if s.size, err = s.file.Size(); err != nil {
		return err
	}
	l.used += s.size
	err = s.readHead()
	l.number = max(l.number, s.number)
	return err
}

// order puts the segments in their order, by what their heads say: a file's name is wrong where it was to be used again as the
// machine stopped. Those that cannot be of this log are kept apart.
func (l *Log) order(r *Recovery) {
	misnamed := func(s *segment) int {
		if s.name == segmentName(l.Dir, s.number) {
			return 0
		}
		return 1
	}
	slices.SortFunc(l.segments, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(misnamed(a), misnamed(b)))
	})
	var before struct {
		number uint64
		first  LSN
	}
	l.segments = slices.DeleteFunc(l.segments, func(s *segment) bool {
		reason := ""
		switch {
		case s.first == 0:
			reason = "its head cannot be read"
		case s.number == before.number:
			reason = "it is there twice"
		case s.first < before.first:
			reason = "it does not fit the one before it"
		default:
			before.number, before.first = s.number, s.first
			return false
		}
		r.Damage = append(r.Damage, Damage{Segment: s.number, Reason: reason})
		if err := l.quarantine(s); err != nil {
			l.Log.Warn("quarantine segment", "segment", s.name, "err", err)
		}
		return true
	})
}

// measure finds where a segment ends: by its seal, or else by reading it. What comes behind it in the log is the follower; nil: nothing
// does.
func (l *Log) measure(s, follower *segment, r *Recovery) error {
	seal, err := s.readSeal()
	if err != nil { // it only saves time
		l.Log.Warn("read seal", "segment", s.name, "err", err)
	}
	follows := LSN(0)
	if follower != nil {
		follows = follower.first
	}
	bound := follows
	if seal != nil && (bound == 0 || seal.next < bound) {
		bound = seal.next
	}
	if seal != nil && seal.totals != nil && !seal.damaged && seal.next == bound {
		s.next, s.end, s.totals = seal.next, seal.end, seal.totals
		if follows == 0 {
			l.reseal(s, false) // it may be in memory alone, see harden
		}
	} else if err := l.rescan(s, bound, r); err != nil {
		return err
	}
	if seal == nil && follower != nil && follower.number > s.number+1 {
		s.forgiveEmpty()
	}
	s.sealed = true
	r.Damage = append(r.Damage, s.damage...)
	if s.dark > 0 {
		r.Dark = append(r.Dark, Damage{Segment: s.number, Offset: s.darkAt, Reason: unread})
	}
	if follows > s.next {
		r.Missing = append(r.Missing, Damage{s.number, s.end, s.next, follows, "what follows it is not there"})
	}
	return nil
}

// forgiveEmpty takes a segment in which nothing was ever committed for one that ends where it begins. It was given up when it could not
// be written, and is back after a crash; what others had instead is freed: their numbers are missing.
func (s *segment) forgiveEmpty() {
	n := len(s.damage)
	if s.end == framesAt && s.dark == 0 && n > 0 && s.damage[n-1].Reason == badTail && s.damage[n-1].From == s.first {
		s.damage, s.next = s.damage[:n-1], s.first
	}
}

// rescan reads a segment, and seals it: what lies behind its end now does not count later, whatever becomes of the next segment.
// Only where the end itself is damaged it is left as it is, for people to look at, and where something is dark it is found out anew.
func (l *Log) rescan(s *segment, bound LSN, r *Recovery) error {
	heads := len(s.damage)
	cut, last, err := s.scan(bound)
	if err != nil {
		return err
	}
	if cut != nil {
		r.Cut = append(r.Cut, *cut)
	}
	if bound == 0 {
		if err := s.harden(last); err != nil {
			return fmt.Errorf("make the last commit safe: %w", err)
		}
	}
	found := s.damage[heads:]
	if s.dark == 0 && !slices.ContainsFunc(found, func(d Damage) bool { return d.Reason == badTail }) {
		l.reseal(s, len(found) > 0)
	}
	return nil
}

// reseal makes a segment's seal safe. The log can be read without it; so it is no reason not to.
func (l *Log) reseal(s *segment, damaged bool) {
	err := s.writeSeal(damaged)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		l.Log.Warn("seal segment", "segment", s.name, "err", err)
	}
}

// harden writes the last commit once more, and syncs it. The process before this one may have ended before it was synced, or
// after that failed: then it may be in memory alone, though it can be read. What was not given to who scanned it is left as it is.
func (s *segment) harden(last tail) error {
	if last.from == last.to {
		return nil
	}
	for at, end := last.from, int64(0); at < last.to; at = end {
		if end = last.to; len(last.dark) > 0 { // page by page
			end = min((at/pageSize+1)*pageSize, last.to)
		}
		if last.dark[at/pageSize] {
			continue
		}
		b, err := s.read(at, end-at)
		if err != nil {
			return err
		}
		if _, err := s.file.WriteAt(b, at); err != nil {
			return err
		}
	}
	return s.file.Sync()
}
