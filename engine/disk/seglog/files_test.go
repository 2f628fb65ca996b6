package seglog_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

func TestSegmentsFollowEachOther(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3*perSmall + 1)
		check := func(active bool) {
			t.Helper()
			next, records := seglog.LSN(1), int64(0)
			used := int64(0)
			for i, s := range t.Segments() {
				size := int64(small)
				if !active && i == 3 { // it ended early
					size = 12 << 10
				}
				used += size
				if s.Number != uint64(i+1) || s.Name != segment(i+1) || s.First != next || s.Sealed == (active && i == 3) || s.Size != size ||
					s.Totals[everyone].Entries != int64(s.Next-s.First) || s.Totals[everyone].Bytes != kilobyte*int64(s.Next-s.First) {
					t.Errorf("%+v", s)
				}
				next, records = s.Next, records+s.Totals[everyone].Records
			}
			if next != t.End().LSN || records != 19*18/2 || t.Used() != used {
				t.Errorf("ends at %d of %v, %d records, %d bytes", next, t.End(), records, t.Used())
			}
		}
		check(true)
		t.reopen()
		check(false)
		t.wantAll(upTo(t.appended)...)
	})
}

// A file that is used again holds nothing of what was in it before, whatever is read of it.
func TestFilesAreUsedAgain(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(perSmall + 1)
		old := t.fs.Content(segment(1))
		t.free(1)
		if got := t.files(".idle"); !slices.Equal(got, []string{"00000000000000000001.seg.idle"}) {
			t.Errorf("%v", got)
		}
		t.fill(perSmall)
		if got := t.files(".seg"); len(got) != 2 || len(t.files(".idle")) > 0 || t.Used() != 2*small {
			t.Errorf("%v, %d bytes", got, t.Used())
		}
		again := t.fs.Content(segment(3))
		if bytes.Equal(again[24:32], old[24:32]) {
			t.Error("the salt is the same")
		}
		if !bytes.Equal(again[12<<10:], old[12<<10:]) {
			t.Error("it is another file: the test shows nothing")
		}
		t.wantAll(between(perSmall, 2*perSmall+1)...)
		t.kill()
		t.wantClean()
		t.wantAll(between(perSmall, 2*perSmall+1)...)
	})
}

func TestIdleFiles(t *testing.T) {
	for recycle, want := range map[int]int{0: 2, 1: 1, 3: 3, -1: 0} {
		inTrial(t, func(o *seglog.Options) { o.Recycle = recycle }, func(t *trial) {
			t.fill(6*perSmall + 1)
			t.free(2, 1, 3)
			t.free(5, 4)
			if got := t.files(".idle"); len(got) != want || t.Used() != int64(2+want)*small {
				t.Errorf("recycle %d: %v, %d bytes used", recycle, got, t.Used())
			}
			t.fill(5 * perSmall)
			if got := t.files(".idle"); len(got) != 0 {
				t.Errorf("recycle %d: %v", recycle, got)
			}
			t.wantAll(between(5*perSmall, t.appended)...)
			t.free(t.numbers()[:4]...)
			t.reopen()
			used := int64(0)
			for _, s := range t.Segments() {
				used += s.Size
			}
			if got := t.files(".idle"); len(got) != 0 || t.Used() != used {
				t.Errorf("recycle %d: %v, %d bytes used", recycle, got, t.Used())
			}
		})
	}
}

// A file of another size than segments have now is not used again.
func TestSizeOfSegmentsChanges(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2 * perSmall)
		t.options.SegmentSize = 2 * small
		t.reopen()
		t.fill(1)
		t.free(1, 2)
		if got := t.files(".idle"); len(got) > 0 || t.Used() != 2*small {
			t.Errorf("%v, %d bytes", got, t.Used())
		}
		t.wantAll(2 * perSmall)
	})
}

// At the limit the log says so, and goes on at once when something is freed.
func TestStorageLimit(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.Storage = 3*small + 100 }, func(t *trial) {
		t.fill(3*perSmall + 2)
		t.wantFailing(seglog.ErrFull)
		sleep(time.Minute)
		if got := t.toldIDs(); !slices.Equal(got, upTo(3*perSmall)) || t.Used() != 3*small {
			t.Errorf("told of %v; %d bytes", got, t.Used())
		}
		now := time.Now()
		t.free(1)
		synctest.Wait()
		t.wantFailing(nil)
		if got := t.toldIDs(); !slices.Equal(got, upTo(t.appended)) || time.Since(now) > 0 || t.Used() != 3*small {
			t.Errorf("told of %v after %v; %d bytes", got, time.Since(now), t.Used())
		}
		t.wantAll(between(perSmall, t.appended)...)
	})
}

// With storage for one segment the log works, too: the newest, once freed, does not count.
func TestStorageForOneSegment(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.Storage = small }, func(t *trial) {
		for range 5 {
			t.fill(perSmall + 1)
			t.wantFailing(seglog.ErrFull)
			t.free(t.numbers()...)
			synctest.Wait()
			t.wantFailing(nil)
			if got := t.toldIDs(); !slices.Equal(got, upTo(t.appended)) {
				t.Errorf("told of %v", got)
			}
			t.reopen()
			t.free(t.numbers()...)
		}
	})
}

// What nobody needs any more is freed, and numbers go on nevertheless, over a restart or a crash.
func TestNumbersGoOn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for what, restart := range map[string]func(*trial){
		"closed": (*trial).reopen, "killed": (*trial).kill, "crashed": func(t *trial) { t.crash(rng) },
	} {
		inTrial(t, nil, func(t *trial) {
			number, lsn := uint64(0), seglog.LSN(0)
			for range 10 {
				t.put(1, kilobyte)
				s := t.Segments()[len(t.Segments())-1]
				if s.Number <= number || t.End().LSN <= lsn {
					t.Errorf("%s: segment %d after %d, %v after %d", what, s.Number, number, t.End(), lsn)
				}
				number, lsn = s.Number, t.End().LSN
				restart(t)
				t.free(t.numbers()...)
				if got, _, _ := t.scan(t.Start(), everyone); len(got) > 0 || len(t.Segments()) > 0 || t.End().LSN != lsn {
					t.Errorf("%s: holds %v, ends at %v, want %d", what, got, t.End(), lsn)
				}
				restart(t) // with nothing in it
				t.wantClean()
				t.free(t.numbers()...)
			}
			if n := len(t.files(".seg")); n > 1 {
				t.Errorf("%s: %d files", what, n)
			}
		})
	}
}

// A segment may be freed before an older one. What is missing then is told: whether that is damage the owner knows.
func TestFreeInAnyOrder(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(4 * perSmall)
		t.free(2, 99, 4) // 4 is active
		want := slices.Concat(upTo(perSmall), between(2*perSmall, 4*perSmall))
		t.wantAll(want...)
		t.reopen()
		t.wantAll(want...)
		if r := t.recovery; len(r.Cut)+len(r.Damage) > 0 || len(r.Missing) != 1 || r.Missing[0].Segment != 1 ||
			r.Missing[0].From != perSmall+1 || r.Missing[0].To != 2*perSmall+1 {
			t.Errorf("%v", r)
		}
		t.free(3)
		t.put(1, 100)
		t.wantAll(slices.Concat(upTo(perSmall), between(3*perSmall, t.appended))...)
		if got := t.numbers(); !slices.Equal(got, []uint64{1, 4, 5}) {
			t.Errorf("%v", got)
		}
		t.free(1)
		t.reopen()
		t.wantClean()
	})
}

// What cannot be renamed or removed is not lost sight of.
func TestFreeFails(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3 * perSmall)
		t.fs.Inject(failOn(errBroken, crashfs.Rename))
		t.free(1)
		if got := t.files(""); slices.Contains(got, segment(1)) || t.Used() != 2*small {
			t.Errorf("%v, %d bytes", got, t.Used())
		}
		t.fs.Inject(failOn(errBroken, crashfs.Rename, crashfs.Remove))
		if err := t.Free(2); err == nil {
			t.Error("no error")
		}
		if t.Used() != 2*small {
			t.Errorf("%d bytes, and two files", t.Used())
		}
		t.fs.Inject(nil)
		t.wantAll(between(2*perSmall, 3*perSmall)...)
		t.reopen()
		t.wantAll(between(perSmall, 3*perSmall)...)
	})
}

// The newest segment, once freed, goes when there is something behind it, and not before.
func TestNewestIsKeptUntilACommit(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.put(1, kilobyte)
		t.reopen()
		t.free(1)
		if want := (seglog.Place{LSN: 2, Segment: 2}); t.End() != want || t.Start() != want {
			t.Errorf("from %v to %v", t.Start(), t.End())
		}
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write && op.Offset >= 8192 {
				return crashfs.Fault{Err: errBroken}
			}
			return crashfs.Fault{}
		})
		t.put(1, kilobyte)
		t.wantFailing(errBroken)
		t.kill()
		if t.End().LSN != 2 {
			t.Errorf("ends at %v", t.End())
		}
		t.free(1)
		t.put(1, kilobyte)
		if got := t.files(".seg"); len(got) != 1 || len(t.numbers()) != 1 || t.numbers()[0] < 2 {
			t.Errorf("%v", got)
		}
	})
}

// A segment that was given up as it was begun, or before anything was committed in it, may be back after a crash. That is no damage,
// whether what the next one has is still there or freed.
func TestEmptySegmentIsBack(t *testing.T) {
	for what, next := range map[string]struct {
		fail  func(crashfs.Op) bool
		freed bool
	}{
		"its beginning failed":             {func(op crashfs.Op) bool { return op.Kind == crashfs.SyncDir }, false},
		"its beginning failed, and freed":  {func(op crashfs.Op) bool { return op.Kind == crashfs.SyncDir }, true},
		"its first commit failed":          {func(op crashfs.Op) bool { return op.Kind == crashfs.Write && op.Offset >= frames }, false},
		"its first commit failed in parts": {func(op crashfs.Op) bool { return op.Kind == crashfs.Write && op.Offset >= frames }, true},
	} {
		inTrial(t, nil, func(t *trial) {
			t.fill(perSmall)
			var content []byte
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if next.fail(op) {
					return crashfs.Fault{Err: errBroken}
				}
				if op.Kind == crashfs.Remove {
					return crashfs.Fault{Err: errBroken} // it is still there when the machine stops
				}
				return crashfs.Fault{}
			})
			t.put(1, kilobyte)
			content = t.fs.Content(segment(2))
			t.fs.Inject(nil)
			sleep(5 * time.Second)
			t.fill(2 * perSmall)
			number := t.numbers()[1]
			if content == nil || number == 2 {
				t.Fatalf("%s: %v: the test shows nothing", what, t.numbers())
			}
			want := upTo(t.appended)
			if next.freed {
				t.free(number)
				want = slices.Delete(want, perSmall, 2*perSmall)
			}
			t.kill()
			r := t.recovery
			if len(r.Damage)+len(r.Cut)+len(r.Dark) > 0 || !next.freed && len(r.Missing) > 0 || !slices.Contains(t.numbers(), 2) {
				t.Errorf("%s: segments %v, found %+v", what, t.numbers(), r)
			}
			t.wantAll(want...)
			t.reopen()
			if r := t.recovery; len(r.Damage) > 0 {
				t.Errorf("%s: found %+v later", what, r)
			}
			t.free(2)
			if got := t.files("2.seg"); len(got) > 0 {
				t.Errorf("%s: kept %v", what, got)
			}
			t.wantAll(want...)
		})
	}
}

// A slow file system takes its time to free segments, and commits go on, also those that have one freed.
func TestCommitWhileFreeing(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3 * perSmall)
		t.stop()
		o, gate, slow := t.options, make(chan struct{}), false
		o.FS = slowRename{t.fs, gate, &slow}
		l, _, err := seglog.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Log, slow = l, true
		freed := make(chan error, 1)
		go func() { freed <- l.Free(1, 2, 3) }() // the last of them when there is one behind it
		synctest.Wait()
		for range 3 {
			t.put(1, kilobyte)
		}
		if got := t.toldIDs(); !slices.Equal(got, upTo(t.appended)) {
			t.Errorf("told of %v while files are freed", got)
		}
		close(gate)
		if err := <-freed; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := t.files(".seg"); len(got) != 1 {
			t.Errorf("there are still %v", got)
		}
		t.wantAll(between(3*perSmall, t.appended)...)
	})
}

// A slowRename is a file system that renames segments when the gate is open.
type slowRename struct {
	seglog.FS
	gate chan struct{}
	slow *bool
}

func (s slowRename) Rename(from, to string) error {
	if *s.slow && strings.HasSuffix(from, ".seg") {
		<-s.gate
	}
	return s.FS.Rename(from, to)
}
