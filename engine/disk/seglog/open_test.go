package seglog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// snapshot gives all files.
func (tr *trial) snapshot() map[string]string {
	all := map[string]string{}
	for _, name := range tr.fs.Files() {
		all[name] = string(tr.fs.Content(name))
	}
	return all
}

// stop closes the log, for the test to change its files; a log that was closed is opened again with open.
func (tr *trial) stop() {
	tr.Helper()
	if err := tr.Close(); err != nil {
		tr.Fatal(err)
	}
}

// rename renames a file, if it is there.
func (tr *trial) rename(from, to string) {
	tr.Helper()
	if err := tr.fs.Rename(from, to); err != nil {
		tr.Fatal(err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.put(1, 100)
		o := t.options
		o.FS = t.fs
		if _, _, err := seglog.Open(o); !errors.Is(err, seglog.ErrLocked) {
			t.Error(err)
		}
		t.put(1, 100)
		t.wantAll(0, 1)
		t.reopen()
		t.wantAll(0, 1)
	})
}

// A log of a later version is refused, and not touched.
func TestUnknownVersion(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3 * perSmall)
		t.free(1)
		t.fs.Put(segment(77), []byte("no segment"))
		t.stop()
		for _, number := range t.numbers() {
			content := t.fs.Content(segment(int(number)))
			later := slices.Clone(content)
			for _, at := range []int{0, 6144} {
				binary.LittleEndian.PutUint32(later[at+8:], 2)
				binary.LittleEndian.PutUint32(later[at+48:], crc32.Checksum(later[at:at+48], crc32.MakeTable(crc32.Castagnoli)))
			}
			t.fs.Put(segment(int(number)), later)
			before := t.snapshot()
			o := t.options
			o.FS = t.fs
			if _, _, err := seglog.Open(o); err == nil || !strings.Contains(err.Error(), "version of the format: 2, this is for 1") ||
				!strings.Contains(err.Error(), segment(int(number))) {
				t.Error(err)
			}
			if !maps.Equal(t.snapshot(), before) {
				t.Error("something was changed")
			}
			t.fs.Put(segment(int(number)), content)
		}
		t.open()
		t.wantAll(between(perSmall, 3*perSmall)...)
	})
}

// What is no segment by its name is nobody's business, and stays.
func TestForeignFiles(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2 * perSmall)
		names := []string{
			"cursors.a", "README", "x.idle", "1.seg", "0000000000000000000x.seg", "+0000000000000000001.seg", "00000000000000000001.seg.bak",
			"00000000000000000000.seg", "99999999999999999999.seg", "18446744073709551615.seg",
			"00000000000000000001.idle", "quarantine/note",
		}
		for _, name := range names {
			t.fs.Put(dir+"/"+name, []byte(name))
		}
		t.reopen()
		t.wantClean()
		t.wantAll(upTo(2 * perSmall)...)
		t.fill(perSmall)
		t.free(1)
		for _, name := range names {
			if got := string(t.fs.Content(dir + "/" + name)); got != name {
				t.Errorf("%s holds %q", name, got)
			}
		}
	})
}

// A spare may hold anything. It is removed.
func TestSpares(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2 * perSmall)
		t.stop()
		t.fs.Put(segment(9)+".idle", t.fs.Content(segment(1)))
		t.fs.Put(segment(8)+".idle", nil)
		t.fs.Inject(failOn(errBroken, crashfs.Remove)) // that is nothing to fail for
		t.open()
		t.fs.Inject(nil)
		t.reopen()
		t.wantClean()
		t.wantAll(upTo(2 * perSmall)...)
		if got := t.files(".idle"); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})
}

// A file that is named as a segment and is none is kept apart, and told; the others are read, and its number is not used again.
func TestNoHead(t *testing.T) {
	for what, content := range map[string][]byte{
		"empty": nil, "short": []byte("SLUICESG"), "blank": make([]byte, small), "text": bytes.Repeat([]byte("text "), 9000),
	} {
		inTrial(t, nil, func(t *trial) {
			t.fill(2 * perSmall)
			t.stop()
			t.fs.Put(segment(7), content)
			t.open()
			if r := t.recovery; len(r.Damage) != 1 || r.Damage[0].Segment != 7 || len(r.Cut)+len(r.Missing) > 0 ||
				r.Damage[0].String() != "segment 7 at offset 0: its head cannot be read" {
				t.Errorf("%s: %v", what, r)
			}
			t.wantAll(upTo(2 * perSmall)...)
			if got := t.fs.Content(dir + "/quarantine/00000000000000000007.seg"); !bytes.Equal(got, content) || t.Used() != 2*small {
				t.Errorf("%s: %d bytes in quarantine, %d used", what, len(got), t.Used())
			}
			t.reopen()
			t.wantClean()
			t.put(1, kilobyte)
			if got := t.numbers(); !slices.Equal(got, []uint64{1, 2, 8}) {
				t.Errorf("%s: %v", what, got)
			}
		})
	}
}

// A name is only a name: what the heads say counts.
func TestSegmentsSwapped(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3 * perSmall)
		t.stop()
		t.rename(segment(1), segment(50))
		t.rename(segment(2), segment(1))
		t.rename(segment(50), segment(2))
		t.open()
		t.wantClean()
		t.wantAll(upTo(3 * perSmall)...)
		t.free(1, 2)
		t.wantAll(between(2*perSmall, 3*perSmall)...)
		t.fill(1)
		if got := t.numbers(); !slices.Equal(got, []uint64{3, 4}) {
			t.Errorf("%v", got)
		}
		t.reopen()
		t.wantAll(between(2*perSmall, 3*perSmall+1)...)
	})
}

// Of a segment that is there twice the one with the right name counts.
func TestSegmentTwice(t *testing.T) {
	for _, copied := range []int{3, 9} {
		inTrial(t, nil, func(t *trial) {
			t.fill(3 * perSmall)
			t.stop()
			t.rename(segment(3), segment(4))
			t.fs.Put(segment(copied), t.fs.Content(segment(2)))
			t.rename(segment(4), segment(5))
			t.open()
			if r := t.recovery; len(r.Damage) != 1 || r.Damage[0].Segment != 2 || len(r.Cut)+len(r.Missing) > 0 {
				t.Errorf("%v", r)
			}
			if len(t.files(segment(copied)[len(dir):])) == 0 {
				t.Errorf("%v", t.files(""))
			}
			t.wantAll(upTo(3 * perSmall)...)
		})
	}
}

// A segment that cannot be of this log is kept apart, lest it make void what is.
func TestSegmentOfAnotherLog(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(perSmall)
		t.stop()
		other := t.fs.Content(segment(1))
		binary.LittleEndian.PutUint64(other[16:], 5)
		binary.LittleEndian.PutUint32(other[48:], crc32.Checksum(other[:48], crc32.MakeTable(crc32.Castagnoli)))
		copy(other[6144:], other[:52])
		t.open()
		t.fill(perSmall)
		t.free(1)
		t.stop()
		t.fs.Put(segment(5), other)
		t.open()
		if r := t.recovery; len(r.Damage) != 1 || r.Damage[0].Segment != 5 || len(r.Cut)+len(r.Missing) > 0 {
			t.Errorf("%v", r)
		}
		t.wantAll(between(perSmall, 2*perSmall)...)
	})
}

// A segment that was begun, and nothing more, is found as it is.
func TestEmptySegment(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.Sync = seglog.SyncInterval }, func(t *trial) {
		t.fill(3)
		t.fs.Inject(failOn(errBroken, crashfs.Sync))
		sleep(3 * time.Second)
		t.fs.Inject(nil)
		sleep(5 * time.Second) // it begins a segment, to see that it can
		for range 2 {
			if s := t.Segments(); len(s) != 2 || s[1].First != 4 || s[1].Next != 4 {
				t.Fatalf("%+v", s)
			}
			t.kill()
			t.wantClean()
			t.wantAll(0, 1, 2)
		}
		t.free(1, 2)
		t.kill()
		if t.End().LSN != 4 {
			t.Errorf("%v", t.End())
		}
		t.put(1, 100)
		t.wantAll(3)
	})
}

// A segment that was sealed is not read when the log is opened, and one that had to be read is sealed.
func TestSealSavesReading(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2*perSmall + 3)
		opened := func() (bytes int64) {
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Read {
					bytes += op.Size
				}
				return crashfs.Fault{}
			})
			t.open()
			t.fs.Inject(nil)
			t.wantAll(upTo(2*perSmall + 3)...)
			return bytes
		}
		const head = 8192 + 48 + 64 + 25*64
		t.die(t.fs.Kill())
		if n := opened(); n < small-8192 || n > 2*small+3*head {
			t.Errorf("%d bytes read after a crash", n)
		}
		t.die(t.fs.Kill())
		if n := opened(); n > 3*head {
			t.Errorf("%d bytes read where all is sealed", n)
		}
		t.stop()
		if n := opened(); n > 3*head {
			t.Errorf("%d bytes read after a clean stop", n)
		}
	})
}

// What a process wrote that could not sync it is not taken for safe by the next one before it is.
func TestWhatIsFoundIsMadeSafe(t *testing.T) {
	for seed := range uint64(20) {
		inTrial(t, nil, func(t *trial) {
			t.fill(2)
			broken := false
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if broken = broken || op.Kind == crashfs.Sync; broken {
					return crashfs.Fault{Err: errBroken} // the commit is in memory, its seal is not
				}
				return crashfs.Fault{}
			})
			t.put(1, kilobyte)
			if got := t.toldIDs(); len(got) != 2 {
				t.Fatalf("told of %v", got)
			}
			t.kill()
			t.wantClean()
			t.wantAll(0, 1, 2) // this process may tell somebody
			t.crash(rngOf(seed))
			t.wantClean()
			t.wantAll(0, 1, 2)
		})
	}
}

// Nothing of that is taken for granted where it cannot be made safe.
func TestOpenFailsWhereItCannotMakeSafe(t *testing.T) {
	for _, kind := range []crashfs.Kind{crashfs.Write, crashfs.Sync} {
		inTrial(t, nil, func(t *trial) {
			t.fill(2)
			t.die(t.fs.Kill())
			t.fs.Inject(failOn(errBroken, kind))
			o := t.options
			o.FS = t.fs
			if _, _, err := seglog.Open(o); !errors.Is(err, errBroken) {
				t.Errorf("%s: %v", kind, err)
			}
			t.fs.Inject(nil)
			t.open()
			t.wantAll(0, 1)
		})
	}
}

// What was under way when the machine stopped is cut, and that is told.
func TestCut(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(1)
		t.put(3, kilobyte)
		t.put(1, 100)
		content := t.fs.Content(segment(1))
		t.die(t.fs.Kill())
		end := 8192 + 4*1064 + 168
		for _, c := range []struct {
			keep int        // bytes of the segment; behind them is what was in the file before
			want int        // entries
			to   seglog.LSN // up to where entries are cut; 0: nothing is
		}{
			{end, 5, 0}, {end - 8, 4, 5}, {end - 168, 4, 0},
			{end - 168 - 8, 1, 4}, {end - 168 - 1064, 1, 4}, {end - 168 - 1065, 1, 3}, {end - 168 - 2*1064 - 8, 1, 2}, {8192 + 1064, 1, 0},
			{8192 + 1056, 0, 1}, {8192 + 20, 0, 1}, {8192, 0, 0},
		} {
			torn := slices.Clone(content)
			for i := c.keep; i < len(torn); i++ {
				torn[i] = byte(7 * i)
			}
			t.fs.Put(segment(1), torn)
			t.open()
			cut := t.recovery.Cut
			if len(t.recovery.Damage) > 0 || (len(cut) > 0) != (c.to > 0) ||
				len(cut) == 1 && (cut[0].From != seglog.LSN(c.want+1) || cut[0].To != c.to) {
				t.Errorf("%d bytes kept: %v", c.keep, t.recovery)
			}
			t.wantAll(upTo(c.want)...)
			t.appended = c.want
			t.put(2, 100)
			t.wantAll(upTo(c.want + 2)...)
			t.reopen()
			t.wantClean()
			t.wantAll(upTo(c.want + 2)...)
			t.stop()
			t.fs.Put(segment(2), nil)
			if err := t.fs.Remove(segment(2)); err != nil {
				t.Fatal(err)
			}
		}
		t.fs.Put(segment(1), content)
		t.open()
	})
}

// So is the name of a segment that was begun, and nothing more: numbers go on from it.
func TestNameThatIsFoundIsMadeSafe(t *testing.T) {
	for seed := range uint64(50) {
		inTrial(t, nil, func(t *trial) {
			t.fill(perSmall)
			t.fs.Inject(failOn(crashfs.ErrHalted, crashfs.SyncDir, crashfs.Remove))
			t.put(1, kilobyte)
			t.kill()
			if got := t.numbers(); !slices.Equal(got, []uint64{1, 2}) {
				t.Fatalf("%v", got)
			}
			t.free(1)
			t.crash(rngOf(seed))
			if t.End().LSN != perSmall+1 {
				t.Errorf("ends at %v", t.End())
			}
		})
	}
}

// What was void stays so, though the segment that made it void is gone, and so is what the process before wrote last.
func TestVoidStaysVoid(t *testing.T) {
	for seed := range uint64(50) {
		inTrial(t, nil, func(t *trial) {
			t.fill(2)
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Sync {
					return crashfs.Fault{Err: errBroken, Done: true}
				}
				return crashfs.Fault{}
			})
			t.put(3, kilobyte) // is on the disk, and nobody was told
			t.kill()
			t.wantAll(0, 1)
			t.appended = 100
			t.fill(2 * perSmall)
			t.free(2)
			t.crash(rngOf(seed))
			all, _, _ := t.scan(t.Start(), everyone)
			got, want := ids(all), slices.Concat(upTo(2), between(100, 112))
			if !slices.Equal(got, want) && !slices.Equal(got, slices.Delete(want, 2, 8)) { // it may be back
				t.Errorf("%v", got)
			}
		})
	}
}
