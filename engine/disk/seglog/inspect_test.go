package seglog_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// onlyLooking fails the test where something is asked for that changes a file system.
func onlyLooking(t *testing.T) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if !slices.Contains([]crashfs.Kind{crashfs.List, crashfs.Open, crashfs.Read, crashfs.Size, crashfs.Lock}, op.Kind) {
			t.Errorf("%s of %s", op.Kind, op.Name)
		}
		return crashfs.Fault{}
	}
}

// inspect looks at a directory, and sees that nothing of it is changed.
func inspect(t *testing.T, disk *crashfs.FS, verify bool) *seglog.Inspection {
	t.Helper()
	disk.Inject(onlyLooking(t))
	defer disk.Inject(nil)
	i, err := seglog.Inspect(disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(disk.Files(), dir+"/lock") {
		if _, err := seglog.Inspect(disk, dir); !errors.Is(err, seglog.ErrLocked) {
			t.Errorf("a second one: %v", err)
		}
	}
	if verify {
		if err := i.Verify(); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if n := disk.Opened(); n > 0 {
		t.Errorf("%d files are still open", n)
	}
	return i
}

// wantSameAsOpened says that Open finds what Inspect found.
func (tr *trial) wantSameAsOpened(i *seglog.Inspection) {
	tr.Helper()
	if !reflect.DeepEqual(i.Recovery, tr.recovery) {
		tr.Errorf("inspected %+v\nopened    %+v", i.Recovery, tr.recovery)
	}
	inspected, opened := i.Segments(), tr.Segments()
	for j := range inspected {
		inspected[j].Sealed, inspected[j].Damage, inspected[j].Size = true, nil, 0
	}
	for j := range opened {
		opened[j].Damage, opened[j].Size = nil, 0 // what ended early is shorter by now
	}
	if !reflect.DeepEqual(inspected, opened) {
		tr.Errorf("inspected %+v\nopened    %+v", inspected, opened)
	}
}

func sealedOf(i *seglog.Inspection) (sealed []bool) {
	for _, s := range i.Segments() {
		sealed = append(sealed, s.Sealed)
	}
	return sealed
}

// What is there is told as Open would find it: of a log that was closed, and of one whose process was killed.
func TestInspect(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(5 * perSmall)
		t.free(1, 2)
		t.fs.Put(dir+"/quarantine/00000000000000000077.seg", []byte("1234"))
		t.fs.Put(dir+"/quarantine/note", []byte("x"))
		if _, err := seglog.Inspect(t.fs, dir); !errors.Is(err, seglog.ErrLocked) {
			t.Errorf("while it is open: %v", err)
		}
		for _, killed := range []bool{false, true} {
			if killed {
				t.open()
				t.fill(perSmall + 1)
				t.die(t.fs.Kill())
			} else {
				t.stop()
			}
			before := t.snapshot()
			i := inspect(t.T, t.fs, false)
			if !reflect.DeepEqual(t.snapshot(), before) {
				t.Error("something was changed")
			}
			if want := []seglog.Kept{{Name: "00000000000000000077.seg", Size: 4}}; !slices.Equal(i.Quarantine, want) {
				t.Errorf("quarantine %v", i.Quarantine)
			}
			if idle := len(t.files(".idle")); len(i.Idle) != idle || idle == 0 && !killed || idle > 0 && i.Idle[0].Size != small {
				t.Errorf("idle %v, want %d", i.Idle, idle)
			}
			want := []bool{true, true, true}
			if killed {
				want = []bool{true, true, true, true, false}
			}
			if got := sealedOf(i); !slices.Equal(got, want) {
				t.Errorf("sealed %v, want %v", got, want)
			}
			t.open()
			t.wantSameAsOpened(i)
			t.stop()
		}
		t.open()
	})
}

// Inspect reads what is at the beginning and at the end of a segment, and Verify what is in it; neither reads what is not used.
func TestInspectReadsLittle(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.SegmentSize = 8 << 20 }, func(t *trial) {
		t.put(1, 3<<20)
		t.stop()
		for _, verify := range []bool{false, true} {
			read := inspect(t.T, t.fs, verify).Read()
			if verify && (read < 3<<20 || read > 5<<20) || !verify && read > 32<<10 {
				t.Errorf("%d bytes are read; verify %v", read, verify)
			}
		}
		t.open()
	})
}

// A segment that Open would keep apart is told, and stays.
func TestInspectFindsWhatIsNoSegment(t *testing.T) {
	s := newSpecimen(t, true)
	disk := s.put()
	for _, at := range []int64{0, copyOffset} {
		disk.Flip(segment(2), at+20, 1)
	}
	disk.Put(segment(9), disk.Content(segment(3)))
	i := inspect(t, disk, true)
	if d := i.Damage(); len(d) != 2 || d[0].Segment != 2 || d[0].Reason != "its head cannot be read" || d[1].Reason != "it is there twice" {
		t.Errorf("%q", d)
	}
	if len(i.Segments()) != 2 || len(i.Recovery.Missing) != 1 {
		t.Errorf("%+v, missing %v", i.Segments(), i.Recovery.Missing)
	}
}

// The seal of an older life of the file is none, and no damage.
func TestInspectPassesOverAnOldSeal(t *testing.T) {
	s := newSpecimen(t, true)
	content := slices.Clone(s.files[segment(1)])
	for _, at := range []int{0, copyOffset} { // it becomes segment 4, which is empty
		binary.LittleEndian.PutUint64(content[at+16:], 4)
		binary.LittleEndian.PutUint64(content[at+24:], 1234)
		binary.LittleEndian.PutUint64(content[at+32:], uint64(len(s.entries)+1))
		binary.LittleEndian.PutUint32(content[at+48:], crc32.Checksum(content[at:at+48], crc32.MakeTable(crc32.Castagnoli)))
	}
	disk := s.put()
	disk.Put(segment(4), content)
	i := inspect(t, disk, true)
	if got := sealedOf(i); !slices.Equal(got, []bool{true, true, true, false}) || len(i.Damage()) > 0 {
		t.Errorf("sealed %v, damage %v", got, i.Damage())
	}
}

// In random histories with crashes Inspect finds what Open finds, and changes nothing.
func TestInspectAfterCrashes(t *testing.T) {
	for seed := range uint64(100) {
		rng := rngOf(seed)
		inTrial(t, func(o *seglog.Options) { o.Sync = seglog.SyncPolicy(rng.IntN(3)) }, func(t *trial) {
			for range 4 {
				for range 1 + rng.IntN(12) {
					t.put(1+rng.IntN(3), 1+rng.IntN(2000))
					if all := t.numbers(); rng.IntN(4) == 0 && len(all) > 0 {
						t.free(all[rng.IntN(len(all))])
					}
				}
				if rng.IntN(2) == 0 {
					t.fs.Inject(crashfs.HaltAt(t.fs.Ops() + rng.IntN(6)))
					t.put(2, 3000)
				}
				t.die(t.fs.Crash(rng))
				before := t.snapshot()
				i := inspect(t.T, t.fs, true)
				if !reflect.DeepEqual(t.snapshot(), before) {
					t.Fatalf("history %d: something was changed", seed)
				}
				t.open()
				t.wantSameAsOpened(i)
				if t.Failed() {
					t.Fatalf("history %d", seed)
				}
			}
		})
	}
}

// What Inspect gives can be read as long as it is open.
func TestInspectionIsRead(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2*perSmall + 1)
		t.stop()
		i, err := seglog.Inspect(t.fs, dir)
		if err != nil {
			t.Fatal(err)
		}
		look := &trial{T: t.T, Log: i.Log}
		look.wantAll(upTo(2*perSmall + 1)...)
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := i.Log.Next(seglog.Place{}, 1<<everyone, nil); !errors.Is(err, seglog.ErrClosed) {
			t.Error(err)
		}
		t.open()
	})
}

// Without a lock's file nobody has the directory, and none is made.
func TestInspectWithoutALock(t *testing.T) {
	s := newSpecimen(t, true)
	disk := crashfs.New()
	for name, content := range s.files {
		if filepath.Base(name) != "lock" {
			disk.Put(name, content)
		}
	}
	if i := inspect(t, disk, true); len(i.Segments()) != 3 || len(i.Damage()) > 0 {
		t.Errorf("%+v", i.Segments())
	}
}

func TestInspectRefuses(t *testing.T) {
	later := func(content []byte) []byte {
		for _, at := range []int{0, copyOffset} {
			binary.LittleEndian.PutUint32(content[at+8:], 2)
			binary.LittleEndian.PutUint32(content[at+48:], crc32.Checksum(content[at:at+48], crc32.MakeTable(crc32.Castagnoli)))
		}
		return content
	}
	s := newSpecimen(t, true)
	for name, c := range map[string]struct {
		change func(*crashfs.FS)
		want   string
	}{
		"a later version":  {func(d *crashfs.FS) { d.Put(segment(2), later(d.Content(segment(2)))) }, "2.seg: unknown version of the format: 2, this is for 1"},
		"no right to list": {func(d *crashfs.FS) { d.Inject(failOn(syscall.EACCES, crashfs.List)) }, "list /log: permission denied"},
		"no right to open": {func(d *crashfs.FS) { d.Inject(failOn(syscall.EACCES, crashfs.Open)) }, "open /log/00000000000000000001.seg: permission denied"},
		"no right to lock": {func(d *crashfs.FS) { d.Inject(failOn(syscall.EACCES, crashfs.Lock)) }, "lock /log/lock: permission denied"},
		"a bad disk":       {func(d *crashfs.FS) { d.Inject(failOn(syscall.EIO, crashfs.Read)) }, "read /log/00000000000000000001.seg: input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := s.put()
			c.change(disk)
			if _, err := seglog.Inspect(disk, dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			disk.Inject(nil)
			if n := disk.Opened(); n > 0 {
				t.Errorf("%d files are still open", n)
			}
			l, err := disk.Lock(dir + "/lock")
			if err != nil {
				t.Fatalf("still locked: %v", err)
			}
			_ = l.Close()
		})
	}
	if _, err := seglog.Inspect(crashfs.New(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// On a real directory not a file is changed, nor need it be allowed to.
func TestInspectOnOS(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _, err := seglog.Open(seglog.Options{Dir: dir, SegmentSize: small})
		if err != nil {
			t.Fatal(err)
		}
		for id := range 3 * perSmall {
			if err := l.Append(entry(id, kilobyte)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
	names, err := filepath.Glob(dir + "/*")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	state := func() (all []string) {
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(name, info.Mode(), info.Size(), info.ModTime(), crc32.ChecksumIEEE(content)))
		}
		return all
	}
	for _, name := range names {
		if err := os.Chmod(name, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	before := state()
	i, err := seglog.Inspect(seglog.OS(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seglog.Inspect(seglog.OS(), dir); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	if err := errors.Join(i.Verify(), i.Close()); err != nil || len(i.Damage()) > 0 || len(i.Segments()) != 3 {
		t.Errorf("%v, %v, %+v", err, i.Damage(), i.Segments())
	}
	if after := state(); !slices.Equal(after, before) {
		t.Errorf("%q, was %q", after, before)
	}
	if now, err := filepath.Glob(dir + "/*"); err != nil || !slices.Equal(now, names) {
		t.Error(now, err)
	}
	file := filepath.Join(dir, "lock")
	if _, err := seglog.Inspect(seglog.OS(), file); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
}

// Whatever happened to the files, Inspect and Verify find what Open finds, and change nothing.
func FuzzInspect(f *testing.F) {
	d := fuzzSpecimen(f)
	f.Add([]byte{1, 1, 0, 40, 1, 0, 0, 0}, byte(0))                            // a byte of a frame
	f.Add([]byte{0, 0, 16, 16, 0, 0, 32, 0, 1, 0, 32, 0, 1, 0, 0, 0}, byte(1)) // a seal and a head that lie
	f.Add([]byte{2, 3, 0, 48, 0, 0, 0, 0, 0, 5, 0, 0, 1, 0, 0, 0}, byte(0))    // a file cut short, and others swapped
	f.Fuzz(func(t *testing.T, edits []byte, repaired byte) {
		var segments [3][]byte
		for i := range segments {
			segments[i] = d.Content(segment(i + 1))
		}
		for ; len(edits) >= 8; edits = edits[8:] {
			apply(&segments, edits[:8])
		}
		disk := crashfs.New()
		disk.Put(dir+"/lock", nil)
		for i, b := range segments {
			if b != nil {
				repair(b, repaired&1 > 0, repaired&2 > 0, repaired&4 > 0)
				disk.Put(segment(i+1), b)
			}
		}
		if i, err := seglog.Inspect(disk, dir); err != nil {
			return // of a later version
		} else if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		i := inspect(t, disk, true)
		l, r, err := seglog.Open(seglog.Options{FS: disk, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		closeFuzzed(t, l)
		if !reflect.DeepEqual(i.Recovery, r) {
			t.Errorf("inspected %+v\nopened    %+v", i.Recovery, r)
		}
		for _, found := range r.Damage {
			if !slices.Contains(i.Damage(), found) {
				t.Errorf("%v is not in %v", found, i.Damage())
			}
		}
	})
}
