package deadletter

import (
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

var errBroken = errors.New("broken")

// faults are what may happen to a disk, by name.
func faults() map[string]func(crashfs.Op) crashfs.Fault {
	return map[string]func(crashfs.Op) crashfs.Fault{
		"no space to allocate": failOn(syscall.ENOSPC, crashfs.Allocate),
		"no space to write":    failOn(syscall.ENOSPC, crashfs.Write),
		"no sync":              failOn(syscall.EIO, crashfs.Sync),
		"no names":             failOn(syscall.EIO, crashfs.Rename, crashfs.SyncDir),
		"nothing at all":       func(crashfs.Op) crashfs.Fault { return crashfs.Fault{Err: errBroken} },
		"a part is written": func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write {
				return crashfs.Fault{Err: syscall.ENOSPC, Through: 700}
			}
			return crashfs.Fault{}
		},
		"all goes through, and fails": func(crashfs.Op) crashfs.Fault { return crashfs.Fault{Err: errBroken, Done: true} },
	}
}

// forFaults runs a test for every fault, as a segment begins and within one.
func forFaults(t *testing.T, run func(tr *trial, fault func(crashfs.Op) crashfs.Fault)) {
	for name, fault := range faults() {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, first %v", name, first), func(t *testing.T) {
				inTrial(t, func(tr *trial) {
					if !first {
						tr.fill(2)
					}
					failed := false
					run(tr, func(op crashfs.Op) crashfs.Fault {
						f := fault(op)
						failed = failed || f.Err != nil
						return f
					})
					if first && !failed {
						tr.Error("nothing failed")
					}
				})
			})
		}
	}
}

// While the disk fails a Write holds, and stores its letters once when it works again.
func TestWriteHolds(t *testing.T) {
	forFaults(t, func(tr *trial, fault func(crashfs.Op) crashfs.Fault) {
		tr.fs.Inject(fault)
		l := tr.load(nil, slices.Repeat([]int{800}, 60)...) // more than a segment holds
		var err error
		done := false
		go func() {
			err = tr.write(l, time.Hour)
			done = true
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if done || tr.Stats().Failing == nil {
			tr.Errorf("done %v, %v; %+v", done, err, tr.Stats())
		}
		tr.fs.Inject(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !done || err != nil || tr.Stats().Failing != nil {
			tr.Errorf("done %v, %v; %+v", done, err, tr.Stats())
		}
		tr.want(upTo(tr.next - 1)...)
		if n := strings.Count(tr.told.String(), "dead letters can"); n != 2 {
			tr.Errorf("%d times in a minute:\n%s", n, tr.told)
		}
		tr.crash(1)
		tr.want(upTo(tr.next - 1)...)
	})
}

// A Write that gives up while the disk fails is told so; whether its letters are stored before their records come back, or
// after, they are stored once.
func TestRetryStoresOnce(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late ", late), func(t *testing.T) {
			forFaults(t, func(tr *trial, fault func(crashfs.Op) crashfs.Fault) {
				tr.fs.Inject(fault)
				l := tr.load(nil, slices.Repeat([]int{800}, 60)...)
				for range 3 {
					err := tr.write(l, time.Second)
					tr.wantRetryable(err)
					if failing := tr.Stats().Failing; failing == nil || !strings.HasSuffix(err.Error(), failing.Error()) {
						tr.Errorf("%v, where the disk says %v", err, failing)
					}
				}
				tr.fs.Inject(nil)
				if late {
					time.Sleep(time.Minute)
				}
				if err := tr.write(l, time.Minute); err != nil {
					tr.Error(err)
				}
				tr.want(upTo(tr.next - 1)...)
				if n := len(tr.left.young) + len(tr.left.old); n > 0 || tr.pending != 0 {
					tr.Errorf("%d letters are left behind, %d bytes are pending", n, tr.pending)
				}
				tr.crash(2)
				tr.want(upTo(tr.next - 1)...)
			})
		})
	}
}

// What comes back comes in other batches, too.
func TestRetryInParts(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fs.Inject(failOn(syscall.EIO, crashfs.Sync))
		dead := &engine.DeadLetter{Output: "aws"}
		tr.wantRetryable(tr.write(tr.load(dead, 10, 10, 10, 10), time.Second), syscall.EIO)
		tr.fs.Inject(nil)
		// The same record of another output is another letter.
		if err := tr.write(load{first: 1, size: []int{10}, dead: &engine.DeadLetter{Output: "hook"}}, time.Minute); err != nil {
			tr.Fatal(err)
		}
		for _, l := range []load{{first: 1, size: []int{10}, dead: dead}, {first: 2, size: []int{10, 10, 10, 10, 10}, dead: dead}} {
			if err := tr.write(l, time.Minute); err != nil {
				tr.Fatal(err)
			}
		}
		tr.want(1, 2, 3, 4, 1, 5, 6)
		for output, want := range map[string][]uint64{"aws": upTo(6), "hook": {1}} {
			if all, _ := tr.list(engine.LetterFilter{Output: output}); !slices.Equal(sequences(all), want) {
				tr.Errorf("%s: %d", output, sequences(all))
			}
		}
	})
}

// Where there is no room for the rest of a batch, what of it is stored is not stored again when there is.
func TestRetryWhileFull(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fs.Inject(failOn(syscall.EIO, crashfs.Sync))
		tr.wantRetryable(tr.write(tr.load(nil, 10, 10), time.Second), syscall.EIO)
		tr.fs.Inject(nil)
		time.Sleep(time.Minute)
		last := tr.fillUp().first - 1
		l := load{first: 1, size: []int{10, 10}}
		rest := tr.load(nil, 10)
		for range 3 {
			tr.wantRetryable(tr.writeAll(time.Minute, l, rest), seglog.ErrFull)
		}
		tr.remove(between(3, 20)...)
		if err := tr.writeAll(time.Minute, l, rest); err != nil {
			tr.Error(err)
		}
		tr.want(slices.Concat(upTo(2), between(21, last), []uint64{rest.first})...)
	})
}

// A letter that came to the disk when nobody waited for it any more, and was removed, is not there: its record makes a new one.
func TestRetryOfWhatWasRemoved(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fs.Inject(failOn(syscall.EIO, crashfs.Sync))
		l := tr.load(nil, 10, 10)
		tr.wantRetryable(tr.write(l, time.Second))
		tr.fs.Inject(nil)
		time.Sleep(time.Minute)
		tr.want(1, 2)
		tr.remove(1)
		if err := tr.write(l, time.Minute); err != nil {
			tr.Fatal(err)
		}
		tr.want(2, 1)
	})
}

// One Write after the other that gives up does not fill the memory with what waits for the disk, and nothing is stored twice.
func TestPendingIsBounded(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.options.Room, tr.options.SegmentSize = 4<<20, minSegment
		tr.reopen()
		tr.fs.Inject(failOn(syscall.ENOSPC, crashfs.Allocate))
		var loads []load
		for range 20 {
			l := tr.load(nil, 5000, 5000)
			tr.wantRetryable(tr.write(l, time.Second), syscall.ENOSPC)
			loads = append(loads, l)
		}
		if most := tr.SegmentSize + 11_000; tr.pending > most || tr.pending < tr.SegmentSize {
			tr.Errorf("%d bytes are pending, %d at most", tr.pending, most)
		}
		tr.fs.Inject(nil)
		for _, l := range loads {
			if err := tr.write(l, time.Minute); err != nil {
				tr.Fatal(err)
			}
		}
		all, _ := tr.list(engine.LetterFilter{})
		if got := sequences(all); !slices.Equal(slices.Sorted(slices.Values(got)), upTo(40)) {
			tr.Errorf("there are %d", got)
		}
	})
}

// Where the store is closed while a Write waits the Write ends.
func TestClosedWhileItWaits(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fs.Inject(failOn(syscall.EIO, crashfs.Write))
		errs := make(chan error, 10)
		for range cap(errs) { // most of them wait for those before them
			l := tr.load(nil, 8000)
			go func() { errs <- tr.write(l, time.Hour) }()
		}
		synctest.Wait()
		_ = tr.Close()
		for range cap(errs) {
			tr.wantRetryable(<-errs, engine.ErrClosed)
		}
		tr.fs.Inject(nil)
		tr.open()
		tr.want()
	})
}

// What nobody asks for again is forgotten some day.
func TestLeftBehindIsBounded(t *testing.T) {
	var b leftBehind
	var last *letter
	for i := range 3 * maxLeft {
		last = &letter{key: letterKey{sequence: uint64(i)}}
		b.put(last)
	}
	if len(b.young)+len(b.old) > 2*maxLeft {
		t.Errorf("%d and %d", len(b.young), len(b.old))
	}
	if b.take(last.key) != last || b.take(last.key) != nil || b.take(letterKey{sequence: 2*maxLeft - 1}) == nil ||
		b.take(letterKey{sequence: 0}) != nil {
		t.Error("it does not keep the newest")
	}
}

// fillUp writes until there is no room, and gives what was not stored.
func (tr *trial) fillUp() load {
	tr.Helper()
	for {
		l := tr.load(nil, 3000, 3000, 3000)
		if err := tr.write(l, time.Minute); err != nil {
			tr.wantRetryable(err, seglog.ErrFull)
			return l
		}
	}
}

// A store that is full takes nothing, and says so at once; when there is room again it takes it, once.
func TestFullAndRoomAgain(t *testing.T) {
	inTrial(t, func(tr *trial) {
		l := tr.fillUp()
		before := tr.Stats()
		if !errors.Is(before.Failing, seglog.ErrFull) || before.Bytes < before.Room*3/4 || before.Bytes > before.Room {
			tr.Errorf("%+v", before)
		}
		start := time.Now()
		tr.wantRetryable(tr.write(l, time.Hour), seglog.ErrFull)
		if time.Since(start) > 0 || tr.Stats().Bytes != before.Bytes || tr.pending > 0 {
			tr.Errorf("it took %v, %+v", time.Since(start), tr.Stats())
		}
		size := int64(0)
		for _, name := range tr.fs.Files() {
			size += int64(len(tr.fs.Content(name)))
		}
		if size > tr.Room+tr.SegmentSize {
			tr.Errorf("%d bytes of files in a room of %d", size, tr.Room)
		}
		tr.remove(upTo(10)...)
		if err := tr.write(l, time.Minute); err != nil || tr.Stats().Failing != nil {
			tr.Errorf("%v, %+v", err, tr.Stats())
		}
		tr.want(between(11, tr.next-1)...)
	})
}

func TestReopenWithLessRoom(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.options.Room = 2 << 20
		tr.reopen()
		l := tr.fillUp()
		tr.options.Room = 1 << 20
		tr.reopen()
		tr.wantRetryable(tr.write(l, time.Minute), seglog.ErrFull)
		tr.want(upTo(l.first - 1)...)
		tr.remove(upTo(l.first / 2)...)
		tr.wantRetryable(tr.write(l, time.Minute), seglog.ErrFull)
		tr.remove(between(l.first/2+1, l.first-1)...)
		if err := tr.write(l, time.Minute); err != nil {
			tr.Error(err)
		}
		tr.want(between(l.first, l.first+2)...)
	})
}

// Where it cannot be written down what is removed, nothing is; then it can, and all is.
func TestRemoveFails(t *testing.T) {
	for name, fault := range faults() {
		if name == "no space to allocate" {
			continue // is not needed
		}
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				inTrial(t, func(tr *trial) {
					tr.fill(8)
					tr.remove(1)
					ids := tr.idsOf(2, 3)
					tr.fs.Inject(fault)
					if err := tr.Remove(tr.Context(), ids); err == nil {
						tr.Error("it goes")
					}
					tr.fs.Inject(nil)
					tr.want(between(2, 8)...)
					if seed%2 == 0 {
						tr.crash(seed)
						all, _ := tr.list(engine.LetterFilter{})
						if got := sequences(all); !slices.Equal(got, between(2, 8)) && !slices.Equal(got, between(4, 8)) {
							tr.Errorf("there are %d", got)
						}
					}
					if err := tr.Remove(tr.Context(), ids); err != nil {
						tr.Error(err)
					}
					tr.crash(seed)
					tr.want(between(4, 8)...)
				})
			})
		}
	}
}

// Files that cannot be freed or cut are left; the letters are right all the same.
func TestTidyingFails(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		tr.fs.Inject(failOn(syscall.EIO, crashfs.Remove, crashfs.Truncate))
		tr.remove(upTo(60)...)
		tr.want(between(61, 100)...)
		tr.reopen()
		tr.want(between(61, 100)...)
		if !strings.Contains(tr.told.String(), "free segments") {
			tr.Errorf("nothing is told:\n%s", tr.told)
		}
		before := tr.Stats().Bytes
		tr.fs.Inject(nil)
		tr.reopen()
		tr.want(between(61, 100)...)
		if after := tr.Stats().Bytes; after >= before {
			tr.Errorf("%d bytes, then %d", before, after)
		}
	})
}
