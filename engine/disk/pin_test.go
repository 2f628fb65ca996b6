package disk

import (
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
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
