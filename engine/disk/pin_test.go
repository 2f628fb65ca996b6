package disk

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// An output is charged with the segments that are kept for it, however little of them it needs, but not with the newest; also after a
// restart. One that is not configured takes its room off what there is.
func TestOutputIsChargedWithWhatItKeeps(t *testing.T) {
	r := newRestarting(t, "slow", "fast")
	r.options.Room, r.options.SegmentSize = 2<<20, 64<<10
	r.restart()
	pinned := func(output string) int64 {
		t.Helper()
		c, err := r.Cursor(output)
		if err != nil {
			t.Fatal(err)
		}
		return c.(engine.Pinner).Pinned() //nolint:forcetypeassert // it is one
	}
	for range 10 {
		r.append(1, 0)
		for range 30 {
			r.append(50, 1)
		}
		_, at := r.read("fast")
		for _, p := range at {
			r.done("fast", p, 0, 50)
		}
	}
	r.read("slow")
	if slow := pinned("slow"); slow < 5*64<<10 || slow > 10*64<<10 || slow%(64<<10) != 0 || pinned("fast") != 0 {
		t.Errorf("slow keeps %d bytes, fast %d", slow, pinned("fast"))
	}
	r.restart()
	if slow := pinned("slow"); slow < 5*64<<10 || pinned("fast") != 0 {
		t.Errorf("after a restart slow keeps %d bytes, fast %d", slow, pinned("fast"))
	}
	before, room := r.Storage()
	r.outputs = []string{"fast"}
	r.restart()
	if used, limit := r.Storage(); used > before/2 || limit > room-5*64<<10 {
		t.Errorf("%d of %d are used with the slow one, %d of %d without", before, room, used, limit)
	}
	r.outputs = []string{"slow", "fast"}
	r.restart()
	_, at := r.read("slow")
	for _, p := range at {
		r.done("slow", p, 0, 1)
	}
	if slow := pinned("slow"); slow != 0 {
		t.Errorf("slow keeps %d bytes when it is done", slow)
	}
	r.close()
}

// What an output needs that drops, or is not configured, does not count against the limits of its streams.
func TestStoredIsWhatBlocks(t *testing.T) {
	r := newRestarting(t, "blocks", "drops")
	r.optional = map[string]bool{"drops": true}
	r.restart()
	r.put("s", "t", 1, time.Now(), 1)
	r.put("other", "t", 1, time.Now(), 0) // committed behind it
	if stream, tenant := r.Stored("default", "s"); stream != 0 || tenant == 0 {
		t.Errorf("for the one that drops: %d, %d", stream, tenant)
	}
	r.put("s", "t", 2, time.Now(), 0, 1)
	one, tenant := r.Stored("default", "s")
	if one == 0 || tenant != 2*one {
		t.Errorf("for both: %d, %d", one, tenant)
	}
	r.outputs = []string{"drops"}
	r.restart()
	if stream, _ := r.Stored("default", "s"); stream != 0 {
		t.Errorf("where the one that blocks is gone: %d", stream)
	}
	r.outputs = []string{"blocks", "drops"}
	r.restart()
	if stream, _ := r.Stored("default", "s"); stream != one {
		t.Errorf("where it is there again: %d, want %d", stream, one)
	}
	r.close()
}

// A segment that ended early is charged with what it has: a process that starts again and again fills nobody's share.
func TestShortSegmentsAreChargedWithWhatTheyHave(t *testing.T) {
	r := newRestarting(t, "a")
	for range 20 {
		r.append(1, 0)
		r.restart()
	}
	c, err := r.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	if n := c.(engine.Pinner).Pinned(); n == 0 || n > 20*16<<10 { //nolint:forcetypeassert // it is one
		t.Errorf("%d bytes are kept in segments of up to 12 KiB, 18 of them old", n)
	}
	r.close()
}

// A disk that others filled does not keep the buffer from freeing what nobody needs: there is space for that.
func TestFullDiskIsGotOutOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, mint := crashfs.New(), enginetest.Mint{}
		b, err := Open(Options{Dir: "d", FS: disk, SegmentSize: 16 << 10, Checkpoint: time.Hour}, []engine.BufferOutput{{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n <= 10; n++ {
			c := mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, n, 1, strings.Repeat("x", 5000))
			if _, err := b.Append([]*engine.Chunk{c}, func() {}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		before := len(b.log.Segments())
		given := false // up, the reserve is
		disk.Inject(func(op crashfs.Op) crashfs.Fault {
			given = given || op.Kind == crashfs.Remove && strings.HasSuffix(op.Name, reserveFile)
			takes := op.Kind == crashfs.Allocate || op.Kind == crashfs.Write && strings.HasSuffix(op.Name, ".new")
			if takes && !given {
				return crashfs.Fault{Err: syscall.ENOSPC}
			}
			return crashfs.Fault{}
		})
		cur, err := b.Cursor("a")
		if err != nil {
			t.Fatal(err)
		}
		for p, c, ok := cur.Next(); ok; p, c, ok = cur.Next() {
			c.Release()
			if err := cur.Done([]engine.Part{p}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if left := len(b.log.Segments()); left > 1 || before < 4 || !given {
			t.Errorf("of %d segments %d are kept, the reserve given up: %t", before, left, given)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		mint.Check(t)
	})
}
