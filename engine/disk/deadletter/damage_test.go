package deadletter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// flip changes a byte where the letter of a record lies on the disk: in its body, or so many bytes before that.
func (tr *trial) flip(sequence uint64, before int) {
	tr.Helper()
	body := fmt.Appendf(nil, "record %d ", sequence)
	for _, name := range tr.fs.Files() {
		if i := bytes.Index(tr.fs.Content(name), body); i >= 0 {
			tr.fs.Flip(name, int64(i-before), 1)
			return
		}
	}
	tr.Fatalf("record %d is not on the disk", sequence)
}

// inHeader is how far in front of a body the header of its frame surely is.
const inHeader = 100

// wantDamage says which letters there are, and which cannot be read, by ID.
func (tr *trial) wantDamage(there, lost []uint64) {
	tr.Helper()
	all, unread := tr.list(engine.LetterFilter{})
	var got []uint64
	for _, e := range unread {
		if _, ok := errors.AsType[*seglog.DamageError](e); !ok {
			tr.Errorf("%v is no damage", e)
		}
		got = append(got, between(e.From, e.To-1)...)
	}
	if !slices.Equal(sequences(all), there) || !slices.Equal(got, lost) {
		tr.Errorf("there are the records %d, and %v; want %d, and lost %d", sequences(all), unread, there, lost)
	}
}

// A byte that goes bad costs the letter that it is in, is told whenever the letters are listed, and can be removed as any other.
func TestDamage(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			inTrial(t, func(tr *trial) {
				tr.fill(100)
				tr.flip(5, 0)
				tr.flip(20, inHeader)
				tr.flip(21, inHeader)
				tr.flip(50, inHeader)
				if restart {
					tr.reopen()
				}
				there := slices.DeleteFunc(upTo(100), func(n uint64) bool { return slices.Contains([]uint64{5, 20, 21, 50}, n) })
				for range 3 {
					tr.wantDamage(there, []uint64{5, 20, 21, 50})
				}
				if n := tr.Stats().Letters; n != 100 || !strings.Contains(tr.told.String(), "damage in the dead letters") {
					tr.Errorf("%d letters, told:\n%s", n, tr.told)
				}
				tr.crash(3)
				tr.wantDamage(there, []uint64{5, 20, 21, 50})
				all, unread := tr.list(engine.LetterFilter{IDs: []uint64{4, 5, 6, 21, 99}})
				if len(all) != 3 || len(unread) != 2 {
					tr.Errorf("%v, %v", all, unread)
				}
				if err := tr.Remove(tr.Context(), []uint64{5, 20, 21}); err != nil {
					tr.Error(err)
				}
				tr.wantDamage(there, []uint64{50})
				tr.reopen()
				tr.wantDamage(there, []uint64{50})
				if err := tr.Remove(tr.Context(), upTo(60)); err != nil {
					tr.Error(err)
				}
				tr.want(between(61, 100)...)
				kept := 0
				for _, name := range tr.fs.Files() {
					kept += strings.Count(name, "quarantine")
				}
				if kept == 0 {
					tr.Errorf("nothing of it is kept: %v", tr.fs.Files())
				}
			})
		})
	}
}

// Of damage that takes several letters those are told that are asked for, and not removed.
func TestDamageInParts(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(30)
		for n := range uint64(6) {
			tr.flip(10+n, inHeader)
		}
		for name, c := range map[string]struct {
			ids  []uint64
			want []run
		}{
			"all":  {nil, []run{{10, 12}, {13, 16}}},
			"some": {[]uint64{9, 10, 12, 14, 15, 16}, []run{{10, 11}, {14, 16}}},
			"one":  {[]uint64{14}, []run{{14, 15}}},
		} {
			if err := tr.Remove(tr.Context(), []uint64{12}); err != nil {
				tr.Fatal(err)
			}
			var got []run
			_, unread := tr.list(engine.LetterFilter{IDs: c.ids})
			for _, e := range unread {
				got = append(got, run{seglog.LSN(e.From), seglog.LSN(e.To)})
			}
			if !slices.Equal(got, c.want) {
				tr.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		for _, d := range tr.log.Segments()[0].Damage {
			if d.To != 16 {
				tr.Errorf("what was asked for is told as damage: %v", d)
			}
		}
	})
}

// A segment with damage is not cut, and is left to people when it is freed.
func TestDamagedSegmentIsLeft(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.options.Room = 1 << 20
		tr.reopen()
		tr.fill(4)
		tr.flip(2, 0)
		tr.wantDamage([]uint64{1, 3, 4}, []uint64{2})
		name := tr.log.Segments()[0].Name
		tr.reopen()
		if n := len(tr.fs.Content(name)); int64(n) != tr.SegmentSize {
			tr.Errorf("%d bytes are left of it", n)
		}
		tr.wantDamage([]uint64{1, 3, 4}, []uint64{2})
	})
}

// What was written by another version, or by nobody, is an error in its place.
func TestNoLetter(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(2)
		for _, content := range [][]byte{{}, {letterVersion + 1, 0}, {letterVersion, 255}} {
			e := &seglog.Entry{Label: seglog.Label{Readers: readers, Records: 1}, Head: content, Owner: &letter{}}
			if err := tr.log.Append(e); err != nil {
				tr.Fatal(err)
			}
		}
		synctest.Wait()
		tr.fill(2)
		all, unread := tr.list(engine.LetterFilter{})
		if !slices.Equal(sequences(all), upTo(4)) || len(unread) != 3 {
			tr.Fatalf("%v, %v", all, unread)
		}
		for i, e := range unread {
			if !errors.Is(e, errNoLetter) || e.From != uint64(i)+3 || e.To != e.From+1 {
				tr.Errorf("%+v", e)
			}
		}
	})
}

// A disk that does not give what it has is told in the place of what it does not give, and forgotten when it does.
func TestReadFails(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		first := tr.segments[0]
		payload := func(op crashfs.Op) bool { return op.Size > 64 && strings.Contains(op.Name, "001.seg") }
		header := func(op crashfs.Op) bool {
			return op.Size == 64 && strings.Contains(op.Name, "001.seg") && op.Offset > first.end/2
		}
		for name, bad := range map[string]func(crashfs.Op) bool{"payload": payload, "header": header} {
			tr.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Read && bad(op) {
					return crashfs.Fault{Err: syscall.EIO}
				}
				return crashfs.Fault{}
			})
			all, unread := tr.list(engine.LetterFilter{})
			lost := uint64(0)
			for _, e := range unread {
				lost += e.To - e.From
				if !errors.Is(e, syscall.EIO) {
					tr.Errorf("%s: %v", name, e)
				}
			}
			if len(all)+int(lost) != 100 || all[len(all)-1].sequence != 100 || lost < 5 || name == "header" && len(unread) != 1 {
				tr.Errorf("%s: %d letters, %v", name, len(all), unread)
			}
			tr.fs.Inject(nil)
			tr.want(upTo(100)...)
		}
	})
}

// Of a segment that the disk does not give those letters are told that are asked for, and not removed; and it is asked for once.
func TestReadFailsInParts(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		first := tr.segments[0]
		if first.next < 17 {
			tr.Fatalf("the first segment has %d letters", first.next-first.first)
		}
		if err := tr.Remove(tr.Context(), []uint64{12, 15}); err != nil {
			tr.Fatal(err)
		}
		for name, c := range map[string]struct {
			ids  []uint64
			want []run
		}{
			"all":  {nil, []run{{1, 12}, {13, 15}, {16, first.next}}},
			"some": {[]uint64{3, 5, 6, 11, 12, 13, 100}, []run{{3, 4}, {5, 7}, {11, 12}, {13, 14}}},
		} {
			failed := 0
			tr.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Read && strings.Contains(op.Name, "001.seg") {
					failed++
					return crashfs.Fault{Err: syscall.EIO}
				}
				return crashfs.Fault{}
			})
			var got []run
			all, unread := tr.list(engine.LetterFilter{IDs: c.ids})
			for _, e := range unread {
				got = append(got, run{seglog.LSN(e.From), seglog.LSN(e.To)})
			}
			if !slices.Equal(got, c.want) || len(all) == 0 || all[len(all)-1].sequence != 100 || failed != 1 {
				tr.Errorf("%s: %v after %d failures, want %v", name, got, failed, c.want)
			}
		}
	})
}

// What a segment held that is not there any more is told, once, and does not count.
func TestSegmentIsMissing(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		tr.remove(3)
		held := tr.log.Segments()
		if err := tr.Close(); err != nil {
			tr.Fatal(err)
		}
		if err := tr.fs.Remove(held[1].Name); err != nil {
			tr.Fatal(err)
		}
		tr.open()
		var want []uint64
		for _, id := range append([]uint64{1, 2}, between(4, 100)...) {
			if id < uint64(held[1].First) || id >= uint64(held[1].Next) {
				want = append(want, id)
			}
		}
		tr.want(want...)
		if n := strings.Count(tr.told.String(), "dead letters are missing"); n != 1 {
			tr.Errorf("told %d times:\n%s", n, tr.told)
		}
		tr.remove(1)
		tr.reopen()
		tr.want(want[1:]...)
		if strings.Contains(tr.told.String(), "dead letters are missing") {
			tr.Error("it is told again")
		}
	})
}

// Where the log has lost its end it gives the same IDs again: they are not taken for removed, whatever happens next.
func TestLogHasLostItsEnd(t *testing.T) {
	for seed := range uint64(10) {
		inTrial(t, func(tr *trial) {
			tr.fill(100)
			tr.remove(between(90, 100)...)
			tr.remove(10)
			held := tr.log.Segments()
			if err := tr.Close(); err != nil {
				tr.Fatal(err)
			}
			last := held[len(held)-1]
			if err := tr.fs.Remove(last.Name); err != nil {
				tr.Fatal(err)
			}
			tr.open()
			if strings.Contains(tr.told.String(), "level=ERROR") != (last.First <= 100) {
				tr.Errorf("told:\n%s", tr.told)
			}
			before, _ := tr.list(engine.LetterFilter{})
			l := tr.put(nil, slices.Repeat([]int{100}, 20)...)
			tr.crash(seed)
			tr.want(append(sequences(before), between(l.first, l.first+19)...)...)
		})
	}
}

// A hooked file system calls a hook in front of every reading of a file.
type hooked struct {
	seglog.FS
	hook *func()
}

func (h hooked) Create(name string) (seglog.File, error) {
	f, err := h.FS.Create(name)
	return hookedFile{f, h.hook}, err
}

func (h hooked) Open(name string) (seglog.File, error) {
	f, err := h.FS.Open(name)
	return hookedFile{f, h.hook}, err
}

type hookedFile struct {
	seglog.File
	hook *func()
}

func (f hookedFile) ReadAt(p []byte, at int64) (int, error) {
	if hook := *f.hook; hook != nil {
		*f.hook = nil // once
		hook()
	}
	return f.File.ReadAt(p, at)
}

// A letter that is removed, and its segment freed, as it is read is passed over: it is no damage.
func TestFreedWhileRead(t *testing.T) {
	for skip := range 4 { // readings: of the letter's place, and of the letter itself
		inTrial(t, func(tr *trial) {
			tr.fill(100)
			if err := tr.Close(); err != nil {
				tr.Fatal(err)
			}
			var hook func()
			tr.openOn(hooked{tr.fs, &hook})
			later := func() {
				if err := tr.Remove(tr.Context(), upTo(60)); err != nil {
					tr.Error(err)
				}
			}
			for range skip {
				next := later
				later = func() { hook = next }
			}
			hook = later
			all, unread := tr.list(engine.LetterFilter{})
			if got := sequences(all); len(unread) > 0 || len(got) > 41 || !slices.Equal(got[len(got)-40:], between(61, 100)) {
				tr.Errorf("after %d readings: %d, %v", skip, got, unread)
			}
			if strings.Contains(tr.told.String(), "damage") {
				tr.Errorf("told:\n%s", tr.told)
			}
		})
	}
}

// A letter list that is long behind its reader passes over what is freed.
func TestFreedWhileListed(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		var got []uint64
		for l, err := range tr.Letters(tr.Context(), engine.LetterFilter{}) {
			if err != nil {
				tr.Fatal(err)
			}
			if got = append(got, l.ID); l.ID == 2 {
				if err := tr.Remove(tr.Context(), upTo(80)); err != nil {
					tr.Fatal(err)
				}
				tr.fill(50)
				time.Sleep(time.Second)
			}
		}
		if want := append(upTo(2), between(81, 100)...); !slices.Equal(got, want) {
			tr.Errorf("got %d", got)
		}
	})
}
