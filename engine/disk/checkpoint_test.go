package disk

import (
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A checkpoint whose checksum is right may still say what cannot be so.
func TestCheckpointThatCannotBe(t *testing.T) {
	given := func(done recordSet) savedCursor {
		return savedCursor{Output: "a", Given: []savedGiven{{Label: seglog.Label{Records: 5}, Done: done}}}
	}
	for name, c := range map[string]struct {
		cursors []savedCursor
		ok      bool
	}{
		"two cursors":   {[]savedCursor{{Output: "a", ID: 63}, {Output: "b"}}, true},
		"done":          {[]savedCursor{given(recordSet{0b10111})}, true},
		"id below":      {[]savedCursor{{Output: "a", ID: -1}}, false},
		"id above":      {[]savedCursor{{Output: "a", ID: 64}}, false},
		"id twice":      {[]savedCursor{{Output: "a", ID: 3}, {Output: "b", ID: 3}}, false},
		"name twice":    {[]savedCursor{{Output: "a", ID: 3}, {Output: "a", ID: 4}}, false},
		"done too many": {[]savedCursor{given(recordSet{0b100000})}, false},
		"done of more":  {[]savedCursor{given(recordSet{1, 0})}, false},
		"done of none":  {[]savedCursor{{Output: "a", Given: []savedGiven{{Done: recordSet{0}}}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := (&checkpoint{Version: checkpointVersion, Cursors: c.cursors}).encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err = decodeCheckpoint(content); c.ok && err != nil || !c.ok && !errors.Is(err, errNoCheckpoint) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A log that cannot be written is told once, and that it can again when it can: checkpoints that go meanwhile say nothing of it.
func TestFailingIsToldByWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New()
		var log strings.Builder
		b, err := Open(Options{Dir: "d", FS: disk, SegmentSize: 16 << 10, Log: slog.New(slog.NewTextHandler(&log, nil))}, []engine.BufferOutput{{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		disk.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Allocate {
				return crashfs.Fault{Err: syscall.ENOSPC}
			}
			return crashfs.Fault{}
		})
		var mint enginetest.Mint
		safe := false
		if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{}, 1, 1, "x")}, func() { safe = true }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if fails := strings.Count(log.String(), "the disk buffer fails"); fails != 1 || strings.Contains(log.String(), "works again") || safe {
			t.Errorf("told %d times in a minute, safe %v:\n%s", fails, safe, &log)
		}
		disk.Inject(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(log.String(), "works again") || !safe {
			t.Errorf("safe %v:\n%s", safe, &log)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		mint.Check(t)
	})
}

// Files are used again soon also where an output is done with everything as it comes, and thus with the whole of a segment before
// the next one is begun: a checkpoint does not wait for its time then.
func TestFilesOfAnOutputThatKeepsUpAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, mint, made := crashfs.New(), enginetest.Mint{}, 0
		disk.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Allocate && strings.Contains(op.Name, ".seg") {
				made++
			}
			return crashfs.Fault{}
		})
		b, err := Open(Options{Dir: "d", FS: disk, SegmentSize: 16 << 10, Checkpoint: time.Hour}, []engine.BufferOutput{{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		cur, err := b.Cursor("a")
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n <= 60; n++ {
			c := mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, n, 1, strings.Repeat("x", 5000))
			if _, err := b.Append([]*engine.Chunk{c}, func() {}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			p, c, ok := cur.Next()
			if !ok {
				t.Fatal("nothing to read")
			}
			c.Release()
			if err := cur.Done([]engine.Part{p}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(spentPause)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if mint.Check(t); made > 5 {
			t.Errorf("%d files were made for 60 segments, of which two are needed at a time", made)
		}
	})
}

// A room that is full is no failure of the disk's, and told as what it is.
func TestFullIsToldAsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var mint enginetest.Mint
		o := Options{Dir: "d", FS: crashfs.New(), Room: 128 << 10, Log: slog.New(slog.NewTextHandler(&log, nil))}
		b, err := Open(o, []engine.BufferOutput{{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n <= 20; n++ {
			if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{ID: "s"}, n, 1, strings.Repeat("x", 5000))}, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if strings.Count(log.String(), "the disk buffer is full") != 1 || strings.Contains(log.String(), "ERROR") || len(b.Failing()) != 1 {
			t.Errorf("failing %v:\n%s", b.Failing(), &log)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		mint.Check(t)
	})
}
