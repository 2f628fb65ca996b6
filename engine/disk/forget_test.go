package disk

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// What is forgotten is told, and its segments are freed; the other outputs go on where they were.
func TestForget(t *testing.T) {
	r := newRestarting(t, "a", "b")
	var firsts []uint64
	for range 100 {
		firsts = append(firsts, r.next)
		r.append(50, 0, 1)
	}
	at := r.wantRead("a", firsts...)
	for _, first := range firsts[:60] {
		r.done("a", at[first], 0, 50)
	}
	if _, err := Forget(nil, r.options.Dir, "b"); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	r.close()
	before, files := inspect(t, r.options.Dir, false), state(t, r.options.Dir)
	if _, err := Forget(nil, r.options.Dir, "x"); !errors.Is(err, ErrNoOutput) || !strings.Contains(err.Error(), "known are a, b") {
		t.Errorf("an output that there is not: %v", err)
	}
	if !maps.Equal(state(t, r.options.Dir), files) {
		t.Error("something was changed for an output that there is not")
	}
	f, err := Forget(nil, r.options.Dir, "b")
	if err != nil {
		t.Fatal(err)
	}
	if f.Chunks != 100 || f.Records != 5000 || f.Bytes != before.Outputs[1].Bytes || f.Bytes == 0 {
		t.Errorf("forgotten %+v", f)
	}
	for _, s := range f.Freed {
		if s.Next > 61 {
			t.Errorf("segment %+v is needed by a", s)
		}
	}
	after := inspect(t, r.options.Dir, true)
	if len(f.Freed) == 0 || len(after.Outputs) != 1 || after.Outputs[0].Name != "a" || after.Outputs[0].Records != 2000 || !after.Good() {
		t.Errorf("freed %v, left %+v", f.Freed, after)
	}
	if s := after.Streams[0]; len(s.Needed) != 1 || s.Needed["a"] == 0 || after.Checkpoint != before.Checkpoint+1 {
		t.Errorf("%+v", after)
	}
	content, err := seglog.ReadFile(seglog.OS(), filepath.Join(r.options.Dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := decodeCheckpoint(content); err != nil || len(c.Cursors) != 1 || len(c.Streams) != 1 || len(c.Streams[0].Need) != 1 {
		t.Errorf("checkpoint %+v, %v", c, err)
	}
	changed := []string{}
	for name, now := range state(t, r.options.Dir) {
		if files[name] != now && name != r.options.Dir { // a name in it was replaced
			changed = append(changed, filepath.Base(name))
		}
	}
	if !slices.Equal(changed, []string{checkpointFile}) {
		t.Errorf("changed are %v", changed)
	}
	if _, err := Forget(nil, r.options.Dir, "b"); !errors.Is(err, ErrNoOutput) {
		t.Errorf("twice: %v", err)
	}

	r.outputs = []string{"a"}
	r.open()
	left := []string{}
	for _, s := range r.log.Segments() {
		left = append(left, filepath.Base(s.Name))
	}
	for _, s := range f.Freed {
		if slices.Contains(left, s.Name) {
			t.Errorf("segment %s is still there", s.Name)
		}
	}
	r.wantRead("a", firsts[60:]...)
	r.wantBacklog("a", 40, 2000)
	r.close()
}

// While something is in the log that was for the forgotten output, nobody else gets its bit: what was committed since the
// last checkpoint would count as his.
func TestForgottenIDIsNotGivenToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, mint := crashfs.New(), &enginetest.Mint{}
		o := Options{Dir: "d", SegmentSize: 16 << 10, Checkpoint: time.Hour}
		open := func(names ...string) *Buffer {
			var outputs []engine.BufferOutput
			for _, name := range names {
				outputs = append(outputs, engine.BufferOutput{Name: name})
			}
			o.FS = disk
			b, err := Open(o, outputs)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		b := open("a", "b")
		old := b.cursors[1].id
		if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{ID: "s"}, 1, 3, "x", "y")}, func() {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		killed := disk.Kill()
		_ = b.Close()
		disk = killed
		if f, err := Forget(disk, "d", "b"); err != nil || f.Records != 2 {
			t.Fatalf("%+v, %v", f, err)
		}

		b = open("c", "a", "b")
		a, c, again := b.cursors[1], b.cursors[0], b.cursors[2]
		if c.id == old || again.id == old || c.id == a.id || c.id == again.id {
			t.Errorf("c has the bit %d, b again %d; a %d, b had %d", c.id, again.id, a.id, old)
		}
		for _, cur := range []*cursor{c, again} {
			if _, _, ok := cur.Next(); ok || cur.Backlog() != (engine.Backlog{}) {
				t.Errorf("output %s has a backlog of %+v", cur.Name, cur.Backlog())
			}
		}
		for _, s := range b.roster.save(b.cursors) {
			if s.Need[c.id]+s.Need[again.id] != 0 {
				t.Errorf("%+v", s)
			}
		}
		part, chunk, ok := a.Next()
		if !ok {
			t.Fatal("a reads nothing")
		}
		if chunk.Outputs != engine.OutputSet(0).With(a.index) {
			t.Errorf("a reads what is for %#b", chunk.Outputs)
		}
		chunk.Release()
		if err := a.Done([]engine.Part{part}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{ID: "s"}, 3, 1, "z")}, func() {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}

		b = open("c", "a", "b", "d") // nothing of the old output is in the log any more
		if got := b.cursors[3].id; got != old {
			t.Errorf("d has the bit %d, and %d is free", got, old)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if i, err := Inspect(disk, "d", true); err != nil || !i.Good() || len(i.Outputs) != 4 {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

// Whenever the machine stops meanwhile, the cursor is there or not, and the others are as they were.
func TestForgetIsInterrupted(t *testing.T) {
	forgotten, there, ops := 0, 0, 0 // that it takes
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng, disk, mint := rand.New(rand.NewPCG(seed, 3)), crashfs.New(), &enginetest.Mint{}
			b, err := Open(Options{Dir: "d", FS: disk, SegmentSize: 16 << 10}, []engine.BufferOutput{{Name: "a"}, {Name: "b"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{}, 1, 3, "x", "y")}, func() {}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			before := disk.Ops()
			if seed > 0 {
				disk.Inject(crashfs.HaltAt(before + ops - rng.IntN(4)))
			}
			_, failed := Forget(disk, "d", "b")
			if seed == 0 {
				ops = disk.Ops() - before
			}
			disk = disk.Crash(rng)
			r, err := Inspect(disk, "d", true)
			if err != nil || !r.Good() {
				t.Fatalf("%d: %+v, %v", seed, r, err)
			}
			var names []string
			for _, o := range r.Outputs {
				if names = append(names, o.Name); o.Chunks != 1 || o.Records != 2 {
					t.Errorf("%d: %+v", seed, o)
				}
			}
			switch {
			case slices.Equal(names, []string{"a"}):
				forgotten++
			case slices.Equal(names, []string{"a", "b"}) && failed != nil:
				there++
			default:
				t.Errorf("%d: %v, %v", seed, names, failed)
			}
		})
	}
	if forgotten < 10 || there < 10 {
		t.Errorf("%d times it is forgotten, %d times there: the test shows little", forgotten, there)
	}
}

func TestForgetRefuses(t *testing.T) {
	disk := crashfs.New()
	disk.Put("d/README", nil)
	if _, err := Forget(disk, "d", "a"); !errors.Is(err, ErrNoBuffer) {
		t.Errorf("no buffer: %v", err)
	}
	disk.Put("e/cursors", []byte("x"))
	if _, err := Forget(disk, "e", "a"); err == nil || !strings.Contains(err.Error(), "no checkpoint can be read") {
		t.Errorf("no checkpoint: %v", err)
	}
	if content := disk.Content("e/cursors"); string(content) != "x" {
		t.Errorf("%q", content)
	}
	only := checkpoint{Version: checkpointVersion, Number: 7, Cursors: []savedCursor{{Output: "b"}}}
	for _, want := range []string{"known are b", "", "none is known"} {
		content, err := only.encode()
		if err != nil {
			t.Fatal(err)
		}
		if want == "known are b" {
			disk.Put("f/cursors", content)
		}
		output := "a"
		if want == "" {
			output = "b"
		}
		if _, err := Forget(disk, "f", output); fmt.Sprint(err) == "<nil>" && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", output, err)
		}
	}
	// There was no file to lock, and it had to be locked.
	if !slices.Contains(disk.Files(), "f/lock") || disk.Opened() > 0 {
		t.Errorf("%v, %d are open", disk.Files(), disk.Opened())
	}
}
