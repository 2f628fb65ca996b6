package seglog_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A specimen is a log that was stopped, to be damaged: three segments, of commits of one entry and of more.
type specimen struct {
	files   map[string][]byte
	entries []found
	sizes   []int   // of payloads
	commits [][]int // of entries
	sealed  bool
}

const (
	headBytes  = 52
	copyOffset = 6144
	sealOffset = 4096
	sealBytes  = 48
	frames     = 8192
	frameBytes = 64
)

// newSpecimen makes one, which was closed or whose process was killed.
func newSpecimen(t *testing.T, closed bool) *specimen {
	s := &specimen{files: map[string][]byte{}, sealed: closed}
	inTrial(t, nil, func(t *trial) {
		for range 2 {
			t.put(1, 600)
			t.put(3, 700)
			t.put(1, 2001)
			t.put(2, 20)
			t.put(4, 200)
		}
		t.put(2, 300)
		t.put(3, 33)
		s.entries = slices.Clone(t.told)
		for at, i := 0, 0; i < len(t.commits); i++ {
			s.commits = append(s.commits, between(at, at+t.commits[i]))
			at += t.commits[i]
		}
		for _, f := range s.entries {
			s.sizes = append(s.sizes, len(t.mustRead(f.Place)))
		}
		if len(t.Segments()) != 3 {
			t.Fatalf("%d segments", len(t.Segments()))
		}
		if closed {
			t.stop()
		} else {
			t.die(t.fs.Kill())
		}
		for _, name := range t.fs.Files() {
			s.files[name] = t.fs.Content(name)
		}
		t.open()
	})
	return s
}

func (tr *trial) mustRead(p seglog.Place) []byte {
	tr.Helper()
	b, err := tr.Read(p, func(n int) []byte { return make([]byte, n) })
	if err != nil {
		tr.Fatal(err)
	}
	return b
}

// try opens the specimen with other files in place of its own; those that are nil are not there.
func (s *specimen) try(t *testing.T, other map[string][]byte, run func(*trial)) {
	t.Helper()
	inTrial(t, nil, func(t *trial) {
		t.stop()
		for name, content := range s.files {
			if o, ok := other[name]; !ok {
				t.fs.Put(name, content)
			} else if o != nil {
				t.fs.Put(name, o)
			}
		}
		t.open()
		t.appended = len(s.entries)
		run(t)
	})
}

// last is the last commit.
func (s *specimen) last() []int { return s.commits[len(s.commits)-1] }

// frame is where the entry's bytes lie, without those behind them that are nobody's.
func (s *specimen) frame(i int) (segment uint64, from, to int64) {
	f := s.entries[i]
	return f.Segment, f.Offset, f.Offset + frameBytes + int64(s.sizes[i])
}

// at is the entry that a byte belongs to, or -1.
func (s *specimen) at(segment uint64, offset int64) int {
	return slices.IndexFunc(s.entries, func(f found) bool {
		number, from, to := s.frame(f.id)
		return number == segment && from <= offset && offset < to
	})
}

// without gives all entries but these.
func (s *specimen) without(lost ...int) []int {
	return slices.DeleteFunc(upTo(len(s.entries)), func(id int) bool { return slices.Contains(lost, id) })
}

// wantLost says that the log holds all entries but these, that it tells of each of them, and that it works.
func (s *specimen) wantLost(t *trial, what string, lost ...int) {
	t.Helper()
	all, damage, _ := t.scan(t.Start(), everyone)
	if got, want := ids(all), s.without(lost...); !slices.Equal(got, want) {
		t.Errorf("%s: the log holds %v, want %v", what, got, want)
	}
	told := slices.Concat(damage, t.recovery.Damage, t.recovery.Missing, t.recovery.Cut)
	for _, id := range lost {
		f := s.entries[id]
		if !slices.ContainsFunc(told, func(d seglog.Damage) bool {
			return d.Segment == f.Segment && d.Offset <= f.Offset && d.From <= f.LSN && f.LSN < d.To
		}) && !slices.ContainsFunc(t.recovery.Cut, func(d seglog.Damage) bool { return d.Segment == f.Segment && d.Offset <= f.Offset }) {
			t.Errorf("%s: entry %d at %v is lost; told of %v, found %v", what, id, f.Place, damage, t.recovery)
		}
	}
	for _, d := range told {
		for lsn := d.From; lsn < d.To; lsn++ {
			if !slices.Contains(lost, int(lsn-1)) {
				t.Errorf("%s: %v is there, told of %v", what, lsn, d)
			}
		}
	}
	end := t.End().LSN
	t.put(1, 100)
	if after, _, _ := t.scan(seglog.Place{LSN: end}, everyone); len(after) != 1 || after[0].id != t.appended-1 || after[0].LSN != end {
		t.Errorf("%s: appended at %d, found %v", what, end, after)
	}
}

// wantQuarantine says that of all segments, once freed, exactly these are kept as they are.
func (s *specimen) wantQuarantine(t *trial, what string, files map[string][]byte, numbers ...uint64) {
	t.Helper()
	t.free(t.numbers()...)
	kept := t.files(".seg")
	kept = slices.DeleteFunc(kept, func(name string) bool { return !strings.HasPrefix(name, "quarantine/") })
	var want []string
	for _, n := range numbers {
		want = append(want, fmt.Sprintf("quarantine/%020d.seg", n))
	}
	if !slices.Equal(kept, want) {
		t.Errorf("%s: kept %v, want %v", what, kept, want)
	}
	for name, content := range files {
		end := int64(frames)
		for i, f := range s.entries {
			if _, _, to := s.frame(i); segment(int(f.Segment)) == name {
				end = to
			}
		}
		got := t.fs.Content(dir + "/quarantine/" + name[len(dir)+1:])
		if got != nil && !bytes.Equal(got[frames:end], content[frames:end]) {
			t.Errorf("%s: what is kept is not what was found", what)
		}
	}
}
