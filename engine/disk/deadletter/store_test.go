package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// hasty ends a Write soon while the disk fails: the suite gives it all the time in the world.
type hasty struct {
	*Store
	failing bool
}

func (h *hasty) Write(ctx context.Context, b *engine.Batch) error {
	if h.failing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
	}
	return h.Store.Write(ctx, b)
}

func TestOutput(t *testing.T) {
	enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
		disk := crashfs.New()
		s, err := Open(Options{Dir: "/letters", FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		h := &hasty{Store: s}
		return enginetest.OutputFixture{
			Output: h,
			Delivered: func(t testing.TB) (bodies []string) {
				for l, err := range s.Letters(t.Context(), engine.LetterFilter{}) {
					if err != nil {
						t.Fatal(err)
					}
					bodies = append(bodies, enginetest.Body(l.Record))
				}
				return bodies
			},
			Fail: func(n int) {
				disk.Inject(nil)
				if h.failing = n >= 0; h.failing {
					disk.Inject(failOn(syscall.EIO, crashfs.Write))
				}
			},
		}
	})
}

func at(second int) time.Time { return time.Unix(int64(second), 0) }

// What is asked for is given, in the order in which it was stored.
func TestFilters(t *testing.T) {
	inTrial(t, func(tr *trial) {
		dead := func(output, reason string, last int) *engine.DeadLetter {
			return &engine.DeadLetter{Output: output, Reason: reason, First: at(1), Last: at(last)}
		}
		tr.put(dead("aws", "too_old", 10), 5, 5) // 1, 2
		tr.put(dead("aws", "denied", 20), 5)     // 3
		tr.put(dead("hook", "too_old", 15), 5)   // 4
		tr.put(nil, 5)                           // 5
		tr.put(dead("aws", "too_old", 30), 5)    // 6
		ids := tr.idsOf(upTo(6)...)
		for name, c := range map[string]struct {
			filter engine.LetterFilter
			want   []uint64
		}{
			"all":                  {engine.LetterFilter{}, upTo(6)},
			"output":               {engine.LetterFilter{Output: "aws"}, []uint64{1, 2, 3, 6}},
			"reason":               {engine.LetterFilter{Reason: "too_old"}, []uint64{1, 2, 4, 6}},
			"output and reason":    {engine.LetterFilter{Output: "hook", Reason: "denied"}, nil},
			"since":                {engine.LetterFilter{Since: at(15)}, []uint64{3, 4, 6}},
			"until":                {engine.LetterFilter{Until: at(15)}, []uint64{1, 2, 5}},
			"between":              {engine.LetterFilter{Since: at(11), Until: at(30)}, []uint64{3, 4}},
			"IDs":                  {engine.LetterFilter{IDs: []uint64{ids[4], ids[0], ids[1], ids[0]}}, []uint64{1, 2, 5}},
			"IDs and reason":       {engine.LetterFilter{IDs: ids[1:4], Reason: "too_old"}, []uint64{2, 4}},
			"IDs that are not":     {engine.LetterFilter{IDs: []uint64{0, 1 << 40, 1<<64 - 1}}, nil},
			"an ID, and one not":   {engine.LetterFilter{IDs: []uint64{1 << 40, ids[2]}}, []uint64{3}},
			"tag":                  {engine.LetterFilter{Tag: "shop.s", Output: "hook"}, []uint64{4}},
			"another tag":          {engine.LetterFilter{Tag: "shop"}, nil},
			"stream":               {engine.LetterFilter{StreamID: "s", Output: "hook"}, []uint64{4}},
			"another stream":       {engine.LetterFilter{StreamID: "s2"}, nil},
			"since beyond the end": {engine.LetterFilter{Since: at(31)}, nil},
		} {
			if all, unread := tr.list(c.filter); !slices.Equal(sequences(all), c.want) || len(unread) > 0 {
				tr.Errorf("%s: %d, %v; want %d", name, sequences(all), unread, c.want)
			}
		}
	})
}

// What is stored after the call is not listed, and what is removed before its turn neither.
func TestLettersOfACall(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(10)
		ids := tr.idsOf(upTo(10)...)
		letters := tr.Letters(tr.Context(), engine.LetterFilter{})
		tr.fill(1)
		for range 2 {
			var got []uint64
			for l, err := range letters {
				if err != nil {
					tr.Fatal(err)
				}
				if got = append(got, l.Sequence); l.Sequence == 2 {
					if err := tr.Remove(tr.Context(), []uint64{ids[1], ids[2], ids[6]}); err != nil {
						tr.Error(err)
					}
				}
				if l.Sequence == 9 {
					break
				}
			}
			if want := []uint64{1, 2, 4, 5, 6, 8, 9}; !slices.Equal(got, want) && !slices.Equal(got, slices.Delete(want, 1, 2)) {
				tr.Errorf("got %d", got)
			}
		}
	})
}

func TestLettersEndWithTheContext(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(10)
		ctx, cancel := context.WithCancelCause(tr.Context())
		defer cancel(nil)
		why, n := errors.New("enough"), 0
		for l, err := range tr.Letters(ctx, engine.LetterFilter{}) {
			if n++; n == 3 {
				cancel(why)
			}
			if n == 4 && (l != nil || !errors.Is(err, why)) || n < 4 && err != nil || n > 4 {
				tr.Errorf("%d: %v, %v", n, l, err)
			}
		}
		if n != 4 {
			tr.Errorf("%d were given", n)
		}
		if err := tr.Remove(ctx, nil); err != nil && !errors.Is(err, why) {
			tr.Error(err)
		}
	})
}

// What was removed stays so, and what was not stays.
func TestRemove(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(12)
		tr.remove(3, 5, 4, 11)
		left := []uint64{1, 2, 6, 7, 8, 9, 10, 12}
		tr.want(left...)
		if err := tr.Remove(tr.Context(), []uint64{0, 3, 99, 1<<64 - 1}); err != nil {
			tr.Error(err)
		}
		tr.want(left...)
		tr.reopen()
		tr.want(left...)
		tr.fill(1)
		tr.remove(1, 12)
		tr.crash(1)
		tr.want(2, 6, 7, 8, 9, 10, 13)
		tr.remove(2, 6, 7, 8, 9, 10, 13)
		tr.reopen()
		tr.want()
		tr.fill(1)
		tr.want(14)
	})
}

// A letter that is stored after others were removed does not get their IDs, even if nothing is left.
func TestIDsAreNotUsedTwice(t *testing.T) {
	inTrial(t, func(tr *trial) {
		last := uint64(0)
		for range 5 {
			tr.fill(1)
			all, _ := tr.list(engine.LetterFilter{})
			if len(all) != 1 || all[0].id <= last {
				tr.Fatalf("%v after %d", all, last)
			}
			last = all[0].id
			if err := tr.Remove(tr.Context(), []uint64{last}); err != nil {
				tr.Fatal(err)
			}
			tr.reopen()
		}
	})
}

// A segment is freed when all its letters are removed: at once, or when nothing is added to it any more.
func TestSegmentsAreFreed(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(100)
		if n := tr.files(); n < 4 {
			tr.Fatalf("%d segments: the test shows little", n)
		}
		tr.remove(between(1, 100)...)
		if n := tr.files(); n != 1 {
			tr.Errorf("%d segments with nothing in them", n)
		}
		tr.fill(100)
		before := tr.files()
		tr.remove(between(105, 197)...)
		if n := tr.files(); n != 2 || n >= before {
			tr.Errorf("%d segments of %d with letters at both ends", n, before)
		}
		tr.want(append(between(101, 104), 198, 199, 200)...)
		tr.remove(between(101, 104)...)
		if n := tr.files(); n != 1 {
			tr.Errorf("%d segments with letters at the end", n)
		}
		tr.remove(198, 199, 200)
		if n := tr.files(); n != 1 {
			tr.Errorf("%d segments with nothing in them", n)
		}
		tr.put(nil, slices.Repeat([]int{minSegment/2 - 500}, 2)...) // the segment that these were in has no room for both
		if n := tr.files(); n > 2 || tr.log.Segments()[0].First <= 200 {
			tr.Errorf("%d segments where one has ended, with nothing in it", n)
		}
		tr.remove(201, 202)
		tr.fill(38)
		tr.want(between(203, 240)...)
		before = tr.files()
		tr.reopen()
		tr.remove(between(203, 239)...)
		if n := tr.files(); n != 1 || before < 2 {
			tr.Errorf("%d segments of %d after a restart", n, before)
		}
		tr.want(240)
	})
}

// What was removed is written in runs: what a call writes does not grow with the square of the letters.
func TestRemoveWritesRuns(t *testing.T) {
	for step, most := range map[int]int64{1: 100, 2: 2*letters/2 + 100} { // a run takes two bytes
		t.Run(fmt.Sprint("every ", step), func(t *testing.T) {
			inTrial(t, func(tr *trial) {
				tr.options.Room = 64 << 20
				tr.reopen()
				tr.put(nil, make([]int, letters)...)
				largest := int64(0)
				tr.fs.Inject(func(op crashfs.Op) crashfs.Fault {
					if op.Kind == crashfs.Write && strings.Contains(op.Name, removedName) {
						largest = max(largest, op.Size)
					}
					return crashfs.Fault{}
				})
				for ids := range slices.Chunk(upTo(letters), letters/10) {
					if err := tr.Remove(tr.Context(), slices.DeleteFunc(ids, func(id uint64) bool { return id%uint64(step) > 0 })); err != nil {
						tr.Fatal(err)
					}
				}
				if n := tr.Stats().Letters; largest > most || largest == 0 || n != int64(letters-letters/step) {
					tr.Errorf("%d bytes at once, %d letters are left", largest, n)
				}
			})
		})
	}
}

const letters = 20_000

func TestSecondProcess(t *testing.T) {
	inTrial(t, func(tr *trial) {
		o := tr.options
		o.FS = tr.fs
		if _, err := Open(o); !errors.Is(err, seglog.ErrLocked) {
			tr.Errorf("%v", err)
		}
		tr.fill(1)
	})
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"too little room":   {Room: MinRoom - 1},
		"negative room":     {Room: -1},
		"segment too small": {SegmentSize: minSegment - 1},
		"negative segment":  {SegmentSize: -1},
	} {
		o.Dir, o.FS = "/letters", crashfs.New()
		if s, err := Open(o); err == nil {
			t.Errorf("%s is taken", name)
			_ = s.Close()
		}
	}
	s, err := Open(Options{Dir: t.TempDir(), Room: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); s.SegmentSize != 8<<20 || st != (engine.LetterStats{Room: 64 << 20}) {
		t.Errorf("segments of %d, %+v", s.SegmentSize, st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(3)
		n := 0
		for _, err := range tr.Letters(tr.Context(), engine.LetterFilter{}) {
			if n++; n == 1 {
				if err := tr.Close(); err != nil {
					tr.Error(err)
				}
			} else if !errors.Is(err, engine.ErrClosed) {
				tr.Error(err)
			}
		}
		if n != 2 {
			tr.Errorf("%d were given", n)
		}
		tr.wantRetryable(tr.write(tr.load(nil, 5), time.Second), engine.ErrClosed)
		if err := tr.Remove(tr.Context(), []uint64{1}); !errors.Is(err, engine.ErrClosed) {
			tr.Error(err)
		}
		if err := tr.Close(); err != nil {
			tr.Error(err)
		}
		tr.open()
		tr.want(1, 2, 3)
	})
}

// A restart ends a segment, which then takes the room of what is in it.
func TestRestartsTakeNoRoom(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.options.Room = 1 << 20
		for range 40 {
			tr.reopen()
			tr.fill(1)
		}
		tr.reopen()
		if b := tr.Stats().Bytes; b > 40*(16<<10) {
			tr.Errorf("40 letters take %d bytes", b)
		}
		wantBytes := func(spare int64) {
			tr.Helper()
			size := int64(0)
			for _, name := range tr.fs.Files() {
				size += int64(len(tr.fs.Content(name)))
			}
			if got := tr.Stats().Bytes; size > got+spare+100 || size < got {
				tr.Errorf("%d bytes of files, %d by the stats", size, got)
			}
		}
		wantBytes(0)
		syncs := 0
		tr.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Sync {
				syncs++
			}
			return crashfs.Fault{}
		})
		tr.reopen()
		if syncs > 1 {
			tr.Errorf("%d segments had to be sealed again", syncs)
		}
		tr.fill(1)
		wantBytes(tr.SegmentSize)
		tr.remove(41)
		tr.want(upTo(40)...)
		tr.crash(7)
		tr.want(upTo(40)...)
		if strings.Contains(tr.told.String(), "ERROR") {
			tr.Error(tr.told)
		}
	})
}

// A letter that no segment has room for is rejected; the others of its batch are stored when they come back.
func TestTooLarge(t *testing.T) {
	inTrial(t, func(tr *trial) {
		l := tr.load(nil, 10, minSegment/2, 10, minSegment, minSegment/2-500)
		err := tr.write(l, time.Minute)
		p, ok := errors.AsType[*engine.Partial](err)
		if !ok || p.Err != nil || len(p.Delivered) > 0 || len(p.Rejected) != 2 {
			tr.Fatalf("%v", err)
		}
		for i, want := range []int{1, 3} {
			if r := p.Rejected[i]; r.From != want || r.To != want+1 || r.Reason != "too_large" {
				tr.Errorf("%+v", r)
			}
		}
		tr.want()
		tr.put(nil, minSegment/2-500)
		tr.want(6)
		if l := tr.Batching(); l.MaxBytes != minSegment/2 {
			tr.Errorf("%+v", l)
		}
	})
}

// Records of one Write are one commit: they are synced once.
func TestOneCommit(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(1)
		syncs := 0
		tr.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Sync {
				syncs++
			}
			return crashfs.Fault{}
		})
		tr.put(nil, slices.Repeat([]int{10}, 50)...)
		if syncs != 1 {
			tr.Errorf("%d syncs", syncs)
		}
	})
}

func ExampleStore_Letters() {
	fmt.Println(&engine.LetterError{From: 7, To: 8, Err: errNoLetter})
	fmt.Println(&engine.LetterError{From: 7, To: 10, Err: syscall.EIO})
	// Output:
	// dead letter 7 cannot be read: it is no letter of a version that is known
	// dead letters 7 to 9 cannot be read: input/output error
}
