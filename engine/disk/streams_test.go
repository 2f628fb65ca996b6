package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// put appends a chunk of one record of a stream, with a time of arrival, and waits until it is safe.
func (r *restarting) put(stream, tag string, sequence uint64, arrived time.Time, outputs ...int) {
	r.t.Helper()
	var set engine.OutputSet
	for _, o := range outputs {
		set = set.With(o)
	}
	c := r.mint.Chunk(&engine.Stream{Tenant: "default", ID: stream, Tag: tag}, sequence, set, fmt.Sprint("record ", sequence))
	c.Arrived = arrived
	safe := make(chan struct{})
	already, err := r.Append([]*engine.Chunk{c}, func() { close(safe) })
	if err != nil {
		r.t.Fatal(err)
	}
	if !already {
		<-safe
	}
}

// A stream goes on where it was after a restart, also where nothing of it is in the log any more; one that was not seen for too long
// does not, nor those seen longest ago where there are too many.
func TestStreamsAreKnownAgain(t *testing.T) {
	now := time.Now()
	r := newRestarting(t, "a")
	r.put("old", "t", 5, now.Add(-25*time.Hour), 0)
	for i := range uint64(4) {
		r.put(fmt.Sprint("s", i), "t", 10*(i+1), now.Add(time.Duration(i)*time.Second), 0)
	}
	_, at := r.read("a")
	for first, p := range at {
		if first != 40 {
			r.done("a", p, 0, 1)
		}
	}
	known := func() (all []string) {
		for _, s := range r.Resumable() {
			all = append(all, fmt.Sprintf("%s %s %d %d", s.StreamID, s.Tag, s.Epoch, s.Acked))
		}
		return all
	}
	r.restart()
	want := []string{"s3 t 1 40", "s2 t 1 30", "s1 t 1 20", "s0 t 1 10"}
	if got := known(); !slices.Equal(got, want) {
		t.Errorf("known: %q, want %q", got, want)
	}
	if stream, tenant := r.Stored("default", "s3"); stream == 0 || stream != tenant {
		t.Errorf("s3 has %d bytes of %d", stream, tenant)
	}
	r.options.Streams = 2
	r.restart()
	r.restart()
	if got := known(); !slices.Equal(got, want[:2]) {
		t.Errorf("known: %q, want %q", got, want[:2])
	}
	_, at = r.read("a")
	r.done("a", at[40], 0, 1)
	if stream, tenant := r.Stored("default", "s3"); stream != 0 || tenant != 0 {
		t.Errorf("s3 has %d bytes of %d", stream, tenant)
	}
	r.close()
}

// An output that is new may begin with the oldest record that is there for it by its tag; what comes afterwards is for it as it says.
func TestStartOldest(t *testing.T) {
	for name, memory := range map[string]int64{"from memory": 0, "from the disk": 1} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			r := newRestarting(t, "a")
			r.options.Memory = memory
			r.restart()
			for n := uint64(1); n <= 10; n++ {
				r.put("s", []string{"app", "web"}[n%2], n, now, 0)
			}
			r.outputs, r.start = []string{"a", "b"}, map[string]func(string) bool{"b": func(tag string) bool { return tag == "web" }}
			for range 3 { // also where it was said before
				r.restart()
				r.wantBacklog("b", 5, 5)
				r.wantRead("b", 1, 3, 5, 7, 9)
			}
			r.put("s", "app", 11, now, 0)
			r.put("s", "app", 12, now, 0, 1)
			r.wantBacklog("b", 6, 6)
			at := r.wantRead("b", 12)
			r.done("b", at[12], 0, 1)
			r.restart()
			at = r.wantRead("b", 1, 3, 5, 7, 9)
			for _, p := range at {
				r.done("b", p, 0, 1)
			}
			r.wantBacklog("b", 0, 0)
			r.restart()
			r.wantRead("b")
			r.wantRead("a", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
			if lost := lostBy(r.Buffer); lost != 0 {
				t.Errorf("%d records are lost", lost)
			}
			r.close()
		})
	}
}

// Without a checkpoint nobody knows which output the bits in the frames meant: what is there goes where its route says, and never to an
// output that had nothing to do with it.
func TestWithoutACheckpoint(t *testing.T) {
	only := func(want string) func(string) bool { return func(tag string) bool { return tag == want } }
	now := time.Now()
	r := newRestarting(t, "gone", "audit", "web")
	for n := uint64(1); n <= 6; n++ {
		r.put("s", []string{"audit", "web"}[n%2], n, now, 1+int(n%2))
	}
	r.close()
	if err := os.Remove(filepath.Join(r.options.Dir, checkpointFile)); err != nil {
		t.Fatal(err)
	}
	r.outputs, r.routes = []string{"web", "audit"}, map[string]func(string) bool{"audit": only("audit"), "web": only("web")}
	r.open()
	for range 2 {
		r.wantBacklog("audit", 3, 3)
		r.wantRead("web", 1, 3, 5)
		r.wantRead("audit", 2, 4, 6)
		r.restart()
	}
	r.put("s", "web", 7, now, 0)
	for _, output := range r.outputs {
		_, at := r.read(output)
		for _, p := range at {
			r.done(output, p, 0, 1)
		}
		r.wantBacklog(output, 0, 0)
	}
	if stream, tenant := r.Stored("default", "s"); stream != 0 || tenant != 0 {
		t.Errorf("the stream has %d bytes of %d when all is done", stream, tenant)
	}
	r.close()
}

// A machine that stopped may have lost what was acked, where the log is not synced each time. Then the checkpoint knows of more than the
// log has; its streams begin anew, or what their producers still hold would be taken for stored.
func TestStreamsOfALogThatWasNotSynced(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			disk := crashfs.New()
			open := func() *Buffer {
				b, err := Open(Options{
					Dir: "d", FS: disk, SegmentSize: 16 << 10, Sync: seglog.SyncInterval, Interval: time.Hour, Checkpoint: time.Hour,
				}, []engine.BufferOutput{{Name: "a"}})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			b, mint := open(), enginetest.Mint{}
			stream := &engine.Stream{Tenant: "default", ID: "s", Tag: "t"}
			for n := uint64(1); n <= 20; n++ {
				if _, err := b.Append([]*engine.Chunk{mint.Chunk(stream, n, 1, "x")}, func() {}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if err := b.save(); err != nil {
				t.Fatal(err)
			}
			before := disk
			disk = disk.Crash(rand.New(rand.NewPCG(seed, 1)))
			before.Inject(crashfs.HaltAt(0))
			_ = b.Close()
			b = open()
			cur, err := b.Cursor("a")
			if err != nil {
				t.Fatal(err)
			}
			stored := uint64(0)
			for _, c, ok := cur.Next(); ok; _, c, ok = cur.Next() {
				stored = c.Last
				c.Release()
			}
			for _, s := range b.Resumable() {
				if s.Acked > stored {
					t.Errorf("history %d: the log has up to %d, and the stream goes on behind %d", seed, stored, s.Acked)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
