package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/render"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"one file":        {Path: "all.ndjson"},
		"a file a stream": {Path: "{tenant}/{stream}.ndjson", MaxOpen: 2},
		"synced":          {Path: "{stream}.ndjson", Fsync: fsyncBatch},
		"rotated":         {Path: "{stream}.ndjson", Rotate: Rotate{Size: 2000}, Fsync: fsyncBatch},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
				dir := t.TempDir()
				o := o
				o.Path = filepath.Join(dir, o.Path)
				var d disk
				out := newOutput(t, o, &d)
				return enginetest.OutputFixture{
					Output:    out,
					Delivered: func(t testing.TB) []string { return delivered(t, dir) },
					Fail:      func(n int) { d.limit(n * 150) }, // bytes: about that many records, the last one torn
				}
			})
		})
	}
}

func newOutput(t testing.TB, o Options, d *disk) *Output {
	t.Helper()
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if d != nil {
		out.open, out.syncDir = d.open, d.syncDir
	}
	return out
}

// delivered reads the bodies of all NDJSON under dir, file by file, rotated ones first and the oldest of them first.
func delivered(t testing.TB, dir string) []string {
	t.Helper()
	var paths []string
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(order(a), order(b)) })
	var bodies []string
	for _, path := range paths {
		bodies = append(bodies, readBodies(t, path)...)
	}
	return bodies
}

func order(path string) string {
	if r, ok := parseRotated(path); ok {
		return r.active + "\x00" + r.at.Format(stamp)
	}
	return path + "\x01"
}

func readBodies(t testing.TB, path string) []string {
	t.Helper()
	var bodies []string
	text := read(t, path)
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Errorf("%s ends in a torn line: %q", path, text[strings.LastIndexByte(text, '\n')+1:])
	}
	for line := range strings.Lines(text) {
		var r struct{ Body any }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("%s has a torn line %.80q: %v", path, line, err)
		}
		bodies = append(bodies, fmt.Sprint(r.Body))
	}
	return bodies
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// batch makes a batch of bodies under a key.
func batch(t testing.TB, key string, bodies ...string) *engine.Batch {
	t.Helper()
	var mint enginetest.Mint
	c := mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "t"}, 1, 0, bodies...)
	t.Cleanup(c.Release)
	b := engine.NewBatch(engine.Span{Key: key, Stream: c.Stream, Records: engine.SelectRange(0, c.Count), Bytes: len(c.Data)})
	b.Pin([]*engine.Chunk{c})
	return b
}

// text is an output of plain bodies, closed with the test.
func text(t testing.TB, o Options, d *disk) *Output {
	t.Helper()
	o.Options = render.Options{Format: render.FormatText}
	out := newOutput(t, o, d)
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}

func write(t testing.TB, o *Output, path string, bodies ...string) {
	t.Helper()
	if err := o.Write(t.Context(), batch(t, path, bodies...)); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

// taken is how many records an answer says were delivered, from the first on.
func takenOf(t testing.TB, err error) int {
	t.Helper()
	var p *engine.Partial
	if !errors.As(err, &p) {
		return 0
	}
	if len(p.Delivered) != 1 || p.Delivered[0].From != 0 || len(p.Rejected) != 0 {
		t.Fatalf("an odd Partial: %+v", p)
	}
	return p.Delivered[0].To
}

// However many bytes of a batch the disk takes, the file holds whole lines only, all that are answered for, and the retry
// goes on where it was.
func TestFullDiskAtEveryByte(t *testing.T) {
	bodies := []string{"one", "two", "three", "", "five"}
	all := "one\ntwo\nthree\n\nfive\n"
	for _, truncate := range []error{nil, syscall.EIO} {
		for room := range len(all) {
			path := filepath.Join(t.TempDir(), "f")
			var d disk
			o := text(t, Options{Path: path}, &d)
			write(t, o, path, "zero")
			d.limit(room)
			d.fail(truncate, nil)
			err := o.Write(t.Context(), batch(t, path, bodies...))
			if !errors.Is(err, syscall.ENOSPC) || engine.AsWriteError(err).Kind != engine.KindRetryable {
				t.Fatalf("room for %d: %v", room, err)
			}
			n := takenOf(t, err)
			want := "zero\n" + strings.Join(append(slices.Clone(bodies[:n]), ""), "\n")
			if got := read(t, path); truncate == nil && got != want {
				t.Fatalf("room for %d: %d records are answered for, the file holds %q, want %q", room, n, got, want)
			}
			d.limit(-1)
			d.fail(nil, nil)
			write(t, o, path, bodies[n:]...)
			if got := read(t, path); got != "zero\n"+all {
				t.Fatalf("room for %d: after the retry the file holds %q, want %q", room, got, "zero\n"+all)
			}
		}
	}
}

func TestStillTornIsStillARetry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var d disk
	o := text(t, Options{Path: path}, &d)
	d.limit(5)
	d.fail(syscall.EIO, nil)
	if n := takenOf(t, o.Write(t.Context(), batch(t, path, "one", "two"))); n != 1 {
		t.Fatalf("%d records taken, want 1", n)
	}
	d.limit(-1)
	if err := o.Write(t.Context(), batch(t, path, "two")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("nothing may be written behind a torn line: %v", err)
	}
	d.fail(nil, nil)
	write(t, o, path, "two")
	if got := read(t, path); got != "one\ntwo\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestAppendOnlyFileBeginsALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var d disk
	o := text(t, Options{Path: path}, &d)
	d.limit(5)
	d.fail(syscall.EPERM, nil)
	if n := takenOf(t, o.Write(t.Context(), batch(t, path, "one", "two"))); n != 1 {
		t.Fatalf("%d records taken, want 1", n)
	}
	d.limit(-1)
	write(t, o, path, "two")
	if got := read(t, path); got != "one\nt\ntwo\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFailedSyncTakesAllBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var d disk
	o := text(t, Options{Path: path, Fsync: fsyncBatch}, &d)
	write(t, o, path, "zero")
	d.fail(nil, syscall.EIO)
	if err := o.Write(t.Context(), batch(t, path, "one", "two")); takenOf(t, err) != 0 || !errors.Is(err, syscall.EIO) {
		t.Fatalf("Write: %v", err)
	}
	if got := read(t, path); got != "zero\n" {
		t.Errorf("after the failure the file holds %q", got)
	}
	d.fail(nil, nil)
	write(t, o, path, "one", "two")
	if got := read(t, path); got != "zero\none\ntwo\n" {
		t.Errorf("after the retry the file holds %q", got)
	}
	if d.syncs != 3 {
		t.Errorf("%d syncs for 3 batches", d.syncs)
	}
}

// A new file is durable once the names of it and of all directories that were made for it are.
func TestNewDirectoriesAreSynced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "f")
	var d disk
	o := text(t, Options{Path: path, Fsync: fsyncBatch}, &d)
	for _, err := range []error{syscall.EIO, nil} {
		d.syncDirs = err
		if got := o.Write(t.Context(), batch(t, path, "one")); !errors.Is(got, err) {
			t.Fatalf("Write: %v, want %v", got, err)
		}
	}
	if want := []string{dir, filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")}; !slices.Equal(d.synced, want) {
		t.Errorf("synced are %q, want %q", d.synced, want)
	}
	if got := read(t, path); got != "one\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestDevFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skipf("this system has none: %v", err)
	}
	o := text(t, Options{Path: "/dev/full"}, nil)
	for range 3 {
		err := o.Write(t.Context(), batch(t, "/dev/full", "one"))
		if !errors.Is(err, syscall.ENOSPC) || engine.AsWriteError(err).Kind != engine.KindRetryable || takenOf(t, err) != 0 {
			t.Fatalf("Write: %v", err)
		}
	}
}

// A real disk that is really full. Mounting one takes privileges; the faulty disk above has the same cases without.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	o := text(t, Options{Path: path}, nil)
	var bodies []string
	for i := range 1000 {
		bodies = append(bodies, fmt.Sprintf("%04d %s", i, strings.Repeat("x", 40)))
	}
	err := o.Write(t.Context(), batch(t, path, bodies...))
	n := takenOf(t, err)
	if !errors.Is(err, syscall.ENOSPC) || n == 0 || n == len(bodies) {
		t.Fatalf("%d of %d records taken: %v", n, len(bodies), err)
	}
	if got := strings.Join(bodies[:n], "\n") + "\n"; read(t, path) != got {
		t.Errorf("the file does not hold the %d records, and they alone", n)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write(t, o, path, bodies[n:]...)
	if want := strings.Join(bodies, "\n") + "\n"; read(t, path) != want {
		t.Error("after the retry the file does not hold all records once")
	}
}

func TestTornLineOfACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("whole\nto"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, text(t, Options{Path: path}, nil), path, "next")
	if got := read(t, path); got != "whole\nto\nnext\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFileIsTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "f")
	o := text(t, Options{Path: path}, nil)
	write(t, o, path, "one")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	write(t, o, path, "two")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, o, path, "three")
	if got := read(t, path+".moved") + "|" + read(t, path); got != "one\n|three\n" {
		t.Errorf("the files hold %q", got)
	}
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, o, path, "ours")
	if got := read(t, path); got != "theirs\nours\n" {
		t.Errorf("the file that took its place holds %q", got)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	write(t, o, path, "four")
	if got := read(t, path); got != "four\n" {
		t.Errorf("the new file holds %q", got)
	}
}

func TestPathThatSomebodyMustMend(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a file as a directory": filepath.Join(dir, "file", "f"),
		"a directory":           dir,
		"a name too long":       filepath.Join(dir, strings.Repeat("x", 300)),
		"a rotated one's name":  rotated{active: filepath.Join(dir, "f"), at: time.Unix(0, 0)}.path(),
	} {
		t.Run(name, func(t *testing.T) {
			err := text(t, Options{Path: path}, nil).Write(t.Context(), batch(t, path, "x"))
			if engine.AsWriteError(err).Kind != engine.KindDenied {
				t.Errorf("Write: %v, want it denied", err)
			}
		})
	}
}

func TestPathsStayInTheirDirectory(t *testing.T) {
	o := text(t, Options{Path: "out/{tenant}/{tag}{stream}-{resource.a.b}.log", Missing: "none"}, nil)
	for _, c := range []struct{ tenant, tag, id, want string }{
		{"default", "shop.checkout", "s", "out/default/shop.checkouts-none.log"},
		{"..", ".", ".", "out/_./__-none.log"},
		{"../../etc", "/abs", `a\b`, "out/_._.._etc/_absa_b-none.log"},
		{"a\x00b\n", "", ".hidden", "out/a_b_/none_hidden-none.log"},
	} {
		chunk := &engine.Chunk{Stream: &engine.Stream{Tenant: c.tenant, Tag: c.tag, ID: c.id}}
		if got := string(o.AppendKey(nil, chunk, engine.Record{})); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// A value that is cut stays a value of its own, and text.
func TestLongValuesAreCut(t *testing.T) {
	seen := make(map[string]bool)
	for _, tail := range []string{"1", "2", "3"} {
		got := string(cleanName([]byte("out/"+strings.Repeat("ü", 100)+tail), len("out/")))
		if seen[got] || !utf8.ValidString(got) || len(got) > len("out/")+maxValue || !strings.HasPrefix(got, "out/üü") {
			t.Errorf("%q", got)
		}
		seen[got] = true
	}
	whole := strings.Repeat("x", maxValue)
	if got := string(cleanName([]byte(whole), 0)); got != whole {
		t.Errorf("%q was cut", got)
	}
}

func TestOptionsAreAllChecked(t *testing.T) {
	_, err := New(Options{
		Path: "a{b", Options: render.Options{Format: "xml"}, Fsync: "always", FileMode: "rw", DirMode: "99", Rate: -1,
		Rotate: Rotate{Size: -1, Age: -1, Keep: -1, KeepFor: -1}, MaxOpen: -1, IdleClose: -1,
	})
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for _, key := range []string{
		"path:", "position 2", "format:", "fsync:", "file_mode:", "dir_mode:", "rate:", "rotate.size:", "rotate.age:",
		"rotate.keep:", "rotate.keep_for:", "max_open:", "idle_close:",
	} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in: %v", key, err)
		}
	}
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "path:") {
		t.Errorf("without a path: %v", err)
	}
}
