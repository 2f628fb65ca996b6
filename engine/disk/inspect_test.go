package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
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

// state is all that can be seen of a directory.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			all[path] = fmt.Sprint(info.Mode(), info.ModTime())
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%v %v %x", info.Mode(), info.ModTime(), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// inspect looks at the directory, and sees that nothing of it is changed.
func inspect(t *testing.T, dir string, verify bool) *Report {
	t.Helper()
	before := state(t, dir)
	r, err := Inspect(nil, dir, verify)
	if err != nil {
		t.Fatal(err)
	}
	if after := state(t, dir); !maps.Equal(after, before) {
		t.Errorf("something was changed:\n%v\n%v", before, after)
	}
	return r
}

// wantSame says that a buffer that was opened knows of its outputs what was reported.
func wantSame(t *testing.T, r *Report, b *Buffer, outputs []string) {
	t.Helper()
	for _, name := range outputs {
		c, err := b.Cursor(name)
		if err != nil {
			t.Fatal(err)
		}
		o := OutputReport{}
		if i := slices.IndexFunc(r.Outputs, func(o OutputReport) bool { return o.Name == name }); i >= 0 {
			o = r.Outputs[i]
		}
		got := c.Backlog()
		if o.Chunks != got.Chunks || o.Records != got.Records || o.Bytes != got.Bytes {
			t.Errorf("output %s: reported %+v, opened %+v", name, o, got)
		}
		if o.Oldest.IsZero() != (o.Chunks == 0) || !got.Oldest.IsZero() && !got.Oldest.Equal(o.Oldest) {
			t.Errorf("output %s: the oldest of %d is reported as of %v, opened as of %v", name, o.Chunks, o.Oldest, got.Oldest)
		}
	}
	for _, s := range r.Streams {
		if got, _ := b.Stored(s.Tenant, s.ID); got != s.Stored() {
			t.Errorf("stream %s: reported %+v, opened with %d bytes", s.ID, s, got)
		}
	}
}

// What was appended, read and done is reported, and the segments that each output needs.
func TestInspect(t *testing.T) {
	r := newRestarting(t, "a", "b")
	var firsts []uint64
	for range 100 {
		firsts = append(firsts, r.next)
		r.append(50, 0, 1)
	}
	at := r.wantRead("a", firsts...)
	for _, first := range firsts[1:] {
		r.done("a", at[first], 0, 50)
	}
	r.done("a", at[1], 10, 20)
	if _, err := Inspect(nil, r.options.Dir, false); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	want := r.log.Segments()
	r.close()
	for _, verify := range []bool{false, true} {
		got := inspect(t, r.options.Dir, verify)
		if !got.Good() || got.Verified != verify || got.Checkpoint == 0 || got.Written.IsZero() {
			t.Errorf("verify %v: %+v", verify, got)
		}
		var all []uint64
		for i, s := range got.Segments {
			w := want[i]
			all = append(all, s.Number)
			size := int64(64 << 10)
			if verify && i == len(want)-1 { // it was opened, and the segment had ended early
				size = 52 << 10
			}
			if s.Number != w.Number || s.First != w.First || s.Next != w.Next || s.Entries != int64(w.Next-w.First) ||
				s.Bytes != w.End || s.Size != size || !s.Sealed || s.Name != filepath.Base(w.Name) {
				t.Errorf("segment %+v, want %+v", s, w)
			}
		}
		if len(all) != len(want) || len(all) < 3 {
			t.Fatalf("segments %v, want %d", all, len(want))
		}
		a, b := got.Outputs[0], got.Outputs[1]
		if a.Name != "a" || a.Chunks != 1 || a.Records != 40 || a.Given != 1 || !slices.Equal(a.Segments, all[:1]) || a.Read.LSN != 101 {
			t.Errorf("%+v", a)
		}
		if b.Name != "b" || b.Chunks != 100 || b.Records != 5000 || b.Given != 0 || !slices.Equal(b.Segments, all) || b.Read.LSN != 1 {
			t.Errorf("%+v", b)
		}
		if names := got.NeededBy(all[0]); !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("needed by %v", names)
		}
		s := got.Streams[0]
		if len(got.Streams) != 1 || s.Tenant != "default" || s.ID != "s" || s.Tag != "t" || s.Needed["b"] != b.Bytes || s.Stored() != b.Bytes {
			t.Errorf("%+v", got.Streams)
		}
		if b.Oldest.IsZero() || time.Since(b.Oldest) > time.Hour || !a.Oldest.Equal(b.Oldest) {
			t.Errorf("oldest %v, %v", a.Oldest, b.Oldest)
		}
		r.open()
		wantSame(t, got, r.Buffer, r.outputs)
		r.close()
	}
}

// An output that is not configured any more is reported like the others.
func TestInspectRemovedOutput(t *testing.T) {
	r := newRestarting(t, "a", "b")
	r.append(3, 0, 1)
	r.close()
	r.outputs = []string{"c", "b"}
	r.open()
	r.append(2, 0)
	r.close()
	var got []string
	for _, o := range inspect(t, r.options.Dir, false).Outputs {
		got = append(got, fmt.Sprint(o.Name, o.ID, " ", o.Records))
	}
	if !slices.Equal(got, []string{"a0 3", "b1 3", "c2 2"}) {
		t.Errorf("%q", got)
	}
}

// Which of what is older an output takes is in its routes, which are not here.
func TestInspectOutputThatStartsWithTheOldest(t *testing.T) {
	r := newRestarting(t, "a")
	r.append(3, 0)
	r.append(4, 0)
	r.close()
	b, err := Open(r.options, []engine.BufferOutput{{Name: "a"}, {Name: "b", StartOldest: true, Takes: func(string) bool { return false }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	got := inspect(t, r.options.Dir, true).Outputs
	if a, b := got[0], got[1]; a.AtMost() || !b.AtMost() || b.Since != 3 || b.Chunks != 2 || b.Records != 7 || !b.Oldest.Equal(a.Oldest) {
		t.Errorf("%+v", got)
	}
}

// What was in the last checkpoint, and what was committed since, is reported as it is opened, after any history of stops
// and crashes.
func TestInspectAfterCrashes(t *testing.T) {
	for seed := range uint64(60) {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { inspectHistory(t, rand.New(rand.NewPCG(seed, 2))) })
		})
		if !ok {
			break
		}
	}
}

func inspectHistory(t *testing.T, rng *rand.Rand) {
	disk, mint, next := crashfs.New(), &enginetest.Mint{}, uint64(1)
	outputs := []string{"a", "b", "c"}
	o := Options{Dir: "d", SegmentSize: 16 << 10, Checkpoint: 10 * time.Second, Sync: seglog.SyncPolicy(rng.IntN(3))}
	var report *Report
	for range 5 {
		var configured []engine.BufferOutput
		for _, name := range outputs {
			configured = append(configured, engine.BufferOutput{Name: name})
		}
		o.FS = disk
		b, err := Open(o, configured)
		if err != nil {
			t.Fatal(err)
		}
		if report != nil {
			wantSame(t, report, b, outputs)
		}
		for range rng.IntN(60) {
			inspectStep(t, rng, b, mint, &next)
		}
		switch rng.IntN(3) {
		case 0:
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		case 1:
			was := disk
			disk = was.Kill()
			_ = b.Close()
		case 2:
			was := disk
			disk = was.Crash(rng)
			_ = b.Close()
		}
		report = inspectFake(t, disk, rng.IntN(2) == 0)
		if o.Sync == seglog.SyncAlways && !report.Good() {
			t.Errorf("%+v", report)
		}
	}
}

func inspectStep(t *testing.T, rng *rand.Rand, b *Buffer, mint *enginetest.Mint, next *uint64) {
	switch rng.IntN(3) {
	case 0:
		time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
	case 1:
		s := &engine.Stream{Tenant: "default", ID: fmt.Sprint("s", rng.IntN(3)), Tag: "t"}
		bodies := make([]string, 1+rng.IntN(30))
		c := mint.Chunk(s, *next, engine.OutputSet(1+rng.IntN(7)), bodies...)
		*next += uint64(len(bodies))
		if _, err := b.Append([]*engine.Chunk{c}, func() {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	case 2:
		c := b.cursors[rng.IntN(3)]
		part, chunk, ok := c.Next()
		if !ok {
			return
		}
		chunk.Release()
		if n := part.Records.Len(); rng.IntN(2) == 0 {
			var some []uint32
			for i := range part.Records.All() {
				if rng.IntN(2) == 0 || n < 3 {
					some = append(some, uint32(i))
				}
			}
			if err := c.Done([]engine.Part{{Pos: part.Pos, Records: engine.SelectList(some)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// inspectFake is inspect on a fake disk.
func inspectFake(t *testing.T, disk *crashfs.FS, verify bool) *Report {
	t.Helper()
	disk.Inject(func(op crashfs.Op) crashfs.Fault {
		if !slices.Contains([]crashfs.Kind{crashfs.List, crashfs.Open, crashfs.Read, crashfs.Size, crashfs.Lock}, op.Kind) {
			t.Errorf("%s of %s", op.Kind, op.Name)
		}
		return crashfs.Fault{}
	})
	defer disk.Inject(nil)
	files := func() (all []string) {
		for _, name := range disk.Files() {
			all = append(all, fmt.Sprintf("%s %x", name, sha256.Sum256(disk.Content(name))))
		}
		return all
	}
	before := files()
	r, err := Inspect(disk, "d", verify)
	if err != nil {
		t.Fatal(err)
	}
	if after := files(); !slices.Equal(after, before) {
		t.Errorf("%q, was %q", after, before)
	}
	if n := disk.Opened(); n > 0 {
		t.Errorf("%d files are still open", n)
	}
	return r
}

// Damage is told with its place, and stays as it is.
func TestInspectDamage(t *testing.T) {
	r := newRestarting(t, "a")
	for range 60 {
		r.append(50, 0)
	}
	r.close()
	good := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(r.options.Dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if good[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		sequence := uint64(1 + rng.IntN(int(r.next)-1))
		r.spoil(sequence)
		if got := inspect(t, r.options.Dir, false); len(got.Damage) > 0 && got.Read > 1<<20 {
			t.Errorf("without a check: %v, %d bytes are read", got.Damage, got.Read)
		}
		got := inspect(t, r.options.Dir, true)
		lsn := seglog.LSN((sequence-1)/50 + 1)
		i := slices.IndexFunc(got.Segments, func(s SegmentReport) bool { return s.First <= lsn && lsn < s.Next })
		if len(got.Damage) != 1 || got.Good() || got.Damage[0].From != lsn || got.Damage[0].To != lsn+1 ||
			got.Damage[0].Segment != got.Segments[i].Number || got.Damage[0].Offset < 8192 {
			t.Errorf("record %d, entry %d: %v", sequence, lsn, got.Damage)
		}
		for name, content := range good {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := inspect(t, r.options.Dir, true); !got.Good() {
		t.Errorf("%+v", got)
	}
}

// A segment that is gone takes what outputs had been given with it. Where they had not come to it, that may be as it should
// be.
func TestInspectLostSegment(t *testing.T) {
	r := newRestarting(t, "a", "b")
	for range 100 {
		r.append(50, 0, 1)
	}
	_, at := r.read("a")
	for first, p := range at {
		if first != 1 {
			r.done("a", p, 0, 50)
		}
	}
	segments := r.log.Segments()
	r.close()
	if err := os.Remove(segments[1].Name); err != nil {
		t.Fatal(err)
	}
	got := inspect(t, r.options.Dir, true)
	if len(got.Missing) != 1 || got.Missing[0].From != segments[1].First || got.Missing[0].To != segments[1].Next || !got.Good() {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(segments[0].Name); err != nil {
		t.Fatal(err)
	}
	got = inspect(t, r.options.Dir, true)
	if got.Good() || got.Outputs[0].Lost != 50 || got.Outputs[1].Lost != 0 || len(got.Missing) != 0 {
		t.Errorf("%+v", got)
	}
}

// What was freed in the middle of the log is nobody's business once all have read on.
func TestInspectFreedSegment(t *testing.T) {
	r := newRestarting(t, "a")
	for range 100 {
		r.append(50, 0)
	}
	_, at := r.read("a")
	for first, p := range at {
		if first != 1 {
			r.done("a", p, 0, 50)
		}
	}
	segments := len(r.log.Segments())
	r.close()
	if got := inspect(t, r.options.Dir, true); len(got.Segments) >= segments || len(got.Segments) < 2 || len(got.Missing) > 0 || !got.Good() {
		t.Errorf("%+v, were %d segments", got, segments)
	}
}

// A process that was killed leaves a tail, a segment without a seal, and maybe a checkpoint that is half written.
func TestInspectAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New()
		b, err := Open(Options{Dir: "d", FS: disk, SegmentSize: 16 << 10}, []engine.BufferOutput{{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		var mint enginetest.Mint
		for i := range uint64(3) {
			if _, err := b.Append([]*engine.Chunk{mint.Chunk(&engine.Stream{}, i+1, 1, "x")}, func() {}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		name := b.log.Segments()[0].Name
		killed := disk.Kill()
		_ = b.Close()
		content := killed.Content(name)
		end := inspectFake(t, killed, false).Segments[0].Bytes
		copy(content[end:], content[8192:8192+100]) // a frame of an LSN that is behind, torn
		killed.Put(name, content)
		if r := inspectFake(t, killed, true); !r.Good() || r.Outputs[0].Chunks != 3 || r.Segments[0].Sealed {
			t.Errorf("%+v", r)
		}
		whole := killed.Content("d/" + checkpointFile)
		killed.Put("d/"+checkpointFile, whole[:len(whole)-1])
		if r := inspectFake(t, killed, false); r.Good() || r.Checkpoint != 0 || len(r.Outputs) > 0 {
			t.Errorf("without a checkpoint: %+v", r)
		}
	})
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, files ...string) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(path, f), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	for _, path := range []string{put("empty"), put("lock alone", "lock"), put("other", "README")} {
		before := state(t, path)
		if _, err := Inspect(nil, path, true); !errors.Is(err, ErrNoBuffer) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		if !maps.Equal(state(t, path), before) {
			t.Errorf("%s was changed", path)
		}
	}
	if _, err := Inspect(nil, filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	later := put("later")
	content, err := (&checkpoint{Version: checkpointVersion + 1}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(later, checkpointFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(nil, later, false); err == nil || !strings.Contains(err.Error(), "cursors: checkpoint of version 2, this is for 1") {
		t.Errorf("a later version: %v", err)
	}
}

// The lists of a report are there when they are empty, for those who read it as JSON.
func TestReportHasNoNilLists(t *testing.T) {
	r := newRestarting(t, "a")
	r.close()
	v := reflect.ValueOf(*inspect(t, r.options.Dir, true))
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.IsNil() {
			t.Errorf("%s is nil", v.Type().Field(i).Name)
		}
	}
}
