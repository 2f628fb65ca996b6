package seglog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

const (
	page     = 4096
	patience = 10 * time.Minute
)

// bad has the disk not give these pages of a file.
func bad(name string, pages ...int64) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if op.Kind == crashfs.Read && op.Name == name && slices.ContainsFunc(pages, func(p int64) bool {
			return op.Offset < (p+1)*page && p*page < op.Offset+op.Size
		}) {
			return crashfs.Fault{Err: syscall.EIO}
		}
		return crashfs.Fault{}
	}
}

// on gives the entries that lie on these pages of a segment.
func (s *specimen) on(number uint64, pages ...int64) (ids []int) {
	for _, f := range s.entries {
		n, from, to := s.frame(f.id)
		if n == number && slices.ContainsFunc(pages, func(p int64) bool { return from < (p+1)*page && p*page < to }) {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// all gives what a reader finds that tries again and again for so long, and what is damaged.
func (tr *trial) all(most time.Duration) (found []int, damage []seglog.Damage) {
	tr.Helper()
	p, begun := tr.Start(), time.Now()
	for {
		step, ok, err := tr.Next(p, 1<<everyone, func(d seglog.Damage) { damage = append(damage, d) })
		if err == nil && !ok {
			return found, damage
		}
		p = step.After
		if ok {
			for err = errBroken; err != nil; {
				var id int
				if id, err = tr.read(step.Place); err == nil {
					found = append(found, id)
				}
				if d, is := errors.AsType[*seglog.DamageError](err); is {
					damage = append(damage, d.Damage)
					break
				} else if err != nil && !tr.waits(err, begun, most) {
					return found, damage
				}
			}
		} else if !tr.waits(err, begun, most) {
			return found, damage
		}
	}
}

func (tr *trial) waits(err error, begun time.Time, most time.Duration) bool {
	tr.Helper()
	if !errors.Is(err, syscall.EIO) || time.Since(begun) > most {
		tr.Errorf("after %v: %v", time.Since(begun), err)
		return false
	}
	sleep(time.Second)
	return true
}

// A bad sector costs what lies on it, wherever in an entry it is, and patience: once for the segment.
func TestBadSectors(t *testing.T) {
	s := newSpecimen(t, true)
	for _, pages := range [][]int64{{2}, {3}, {2, 3}} {
		for number := uint64(1); number <= 2; number++ {
			s.try(t, nil, func(t *trial) {
				t.fs.Inject(bad(segment(int(number)), pages...))
				begun := time.Now()
				found, damage := t.all(patience + time.Minute)
				lost := s.on(number, pages...)
				if !slices.Equal(found, s.without(lost...)) || len(lost) == 0 {
					t.Errorf("segment %d, pages %v: found %v, on them are %v", number, pages, found, lost)
				}
				if took := time.Since(begun); took < patience {
					t.Errorf("given up after %v", took)
				}
				n := 0
				for _, d := range damage {
					if n += int(d.To - d.From); d.Segment != number || d.Reason != "the disk does not give it" {
						t.Errorf("%v", d)
					}
				}
				if n != len(lost) {
					t.Errorf("told of %v, lost are %v", damage, lost)
				}
				t.fs.Inject(nil)
				s.wantQuarantine(t, "a bad sector", nil, number)
			})
		}
	}
}

// Where a frame is damaged and the next one is on a bad sector, that is passed over as well.
func TestBadSectorBehindDamage(t *testing.T) {
	s := newSpecimen(t, true)
	spoilt := slices.Clone(s.files[segment(1)])
	first := s.on(1, 3)[0]
	_, at, _ := s.frame(first - 1)
	spoilt[at] ^= 1
	s.try(t, map[string][]byte{segment(1): spoilt}, func(t *trial) {
		t.fs.Inject(bad(segment(1), 3))
		found, _ := t.all(patience + time.Minute)
		if lost := append(s.on(1, 3), first-1); !slices.Equal(found, s.without(lost...)) {
			t.Errorf("found %v, lost should be %v", found, lost)
		}
		t.fs.Inject(nil)
	})
}

// A disk that fails for less than that costs nothing, also where it fails again and again.
func TestSectorsThatComeBack(t *testing.T) {
	s := newSpecimen(t, true)
	s.try(t, nil, func(t *trial) {
		for range 5 {
			t.fs.Inject(bad(segment(1), 2))
			for begun := time.Now(); time.Since(begun) < patience-time.Minute; sleep(time.Minute) {
				if _, ok, err := t.Next(t.Start(), 1<<everyone, nil); ok || !errors.Is(err, syscall.EIO) {
					t.Fatal(ok, err)
				}
			}
			t.fs.Inject(nil)
			t.wantAll(s.without()...)
		}
		t.fs.Inject(bad(segment(1), 2)) // what failed hours ago does not count
		_, _ = t.read(s.entries[0].Place)
		sleep(3 * time.Hour)
		if _, err := t.read(s.entries[0].Place); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		t.fs.Inject(nil)
		if d := t.Segments()[0].Damage; len(d) > 0 {
			t.Error(d)
		}
	})
}

// A log is opened whatever page of it the disk does not give. Where that passes all is there; where it does not, what lies on the page is
// lost, and nothing else. What is appended in between is neither.
func TestOpenWithBadSectors(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for number := uint64(1); number <= 3; number++ {
			for p := range int64(len(s.files[segment(int(number))]) / page) {
				for _, passes := range []bool{true, false} {
					what := fmt.Sprintf("closed %v, segment %d, page %d, passes %v", closed, number, p, passes)
					s.try(t, nil, func(t *trial) { s.testBadOpen(t, what, number, p, passes) })
				}
			}
		}
	}
}

func (s *specimen) testBadOpen(t *trial, what string, number uint64, p int64, passes bool) {
	t.Helper()
	t.stop()
	for name, content := range s.files {
		t.fs.Put(name, content)
	}
	fault := bad(segment(int(number)), p)
	t.fs.Inject(fault)
	t.open()
	if len(t.recovery.Cut) > 0 || number < 3 && len(t.recovery.Missing) > 0 {
		t.Errorf("%s: %v", what, t.recovery)
	}
	if passes {
		t.fs.Inject(nil)
	}
	t.put(2, 100)
	added := []int{t.appended - 2, t.appended - 1}
	var lost []int
	if !passes {
		lost = s.on(number, p)
	}
	found, damage := t.all(patience + time.Minute)
	if want := append(s.without(lost...), added...); !slices.Equal(found, want) {
		t.Errorf("%s: found %v, want %v; damage %v", what, found, want, damage)
	}
	if passes && len(damage) > 0 || !passes && len(damage) == 0 && len(lost) > 0 {
		t.Errorf("%s: lost %v, damage %v", what, lost, damage)
	}
	t.fs.Inject(nil)
	t.reopen() // what was given up is there again, and so is what was added
	if found, _ := t.all(0); !slices.Equal(found, append(s.without(), added...)) {
		t.Errorf("%s: in the end found %v", what, found)
	}
}

// A disk that gives nothing is not taken for damage.
func TestOpenWithoutADisk(t *testing.T) {
	s := newSpecimen(t, true)
	s.try(t, nil, func(t *trial) {
		t.stop()
		before := t.fs.Files()
		t.fs.Inject(failOn(syscall.EIO, crashfs.Read))
		if _, _, err := seglog.Open(t.options); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "1.seg") {
			t.Error(err)
		}
		t.fs.Inject(nil)
		if after := t.fs.Files(); !slices.Equal(after, before) {
			t.Errorf("%v", after)
		}
		t.open()
		t.wantAll(s.without()...)
	})
}
