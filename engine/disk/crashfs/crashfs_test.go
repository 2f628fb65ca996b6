package crashfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

const sector = 512

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d *crashfs.FS, name string, content []byte) seglog.File {
	t.Helper()
	f := must[seglog.File](t)(d.Create(name))
	write(t, f, content, 0)
	return f
}

func write(t *testing.T, f seglog.File, p []byte, at int64) {
	t.Helper()
	if n, err := f.WriteAt(p, at); err != nil || n != len(p) {
		t.Fatal(n, err)
	}
}

func newFS(t *testing.T) *crashfs.FS {
	d := crashfs.New()
	check(t, d.MkdirAll("/d/e"))
	return d
}

func filled(b byte, sectors int) []byte { return bytes.Repeat([]byte{b}, sectors*sector) }

// crashes crashes what make makes again and again, and gives how often look said what.
func crashes(t *testing.T, build func(*crashfs.FS), look func(*crashfs.FS) string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(400) {
		d := newFS(t)
		build(d)
		seen[look(d.Crash(rand.New(rand.NewPCG(seed, 0))))]++
	}
	return seen
}

func wantSeen(t *testing.T, seen map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if seen[w] == 0 {
			t.Errorf("%q was never seen", w)
		}
		delete(seen, w)
	}
	if len(seen) > 0 {
		t.Errorf("seen: %v", seen)
	}
}

// letters says what a file holds, a letter a sector.
func letters(name string) func(*crashfs.FS) string {
	return func(d *crashfs.FS) string {
		content := d.Content(name)
		if content == nil {
			return "none"
		}
		var s []byte
		for c := range slices.Chunk(content, sector) {
			if len(bytes.Trim(c, string(c[:1]))) > 0 {
				return "torn sector"
			}
			s = append(s, max(c[0], '0'))
		}
		return string(s)
	}
}

func TestWhatWasSyncedIsThere(t *testing.T) {
	seen := crashes(t, func(d *crashfs.FS) {
		f := create(t, d, "/d/f", filled('a', 2))
		check(t, f.Sync(), d.SyncDir("/d"), f.Close())
	}, letters("/d/f"))
	wantSeen(t, seen, "aa")
}

func TestWhatWasNotSyncedIsThereInSectors(t *testing.T) {
	seen := crashes(t, func(d *crashfs.FS) {
		f := create(t, d, "/d/f", filled('a', 2))
		check(t, f.Sync(), d.SyncDir("/d"))
		write(t, f, filled('b', 2), 0)
		write(t, f, filled('c', 1), sector)
	}, letters("/d/f"))
	wantSeen(t, seen, "aa", "ab", "ac", "ba", "bb", "bc")
}

func TestLengthIsNotSynced(t *testing.T) {
	seen := crashes(t, func(d *crashfs.FS) {
		f := create(t, d, "/d/f", filled('a', 1))
		check(t, f.Sync(), d.SyncDir("/d"))
		write(t, f, filled('b', 1), sector)
	}, letters("/d/f"))
	wantSeen(t, seen, "a", "a0", "ab")
}

func TestWhatWasCutOffDoesNotComeBack(t *testing.T) {
	seen := crashes(t, func(d *crashfs.FS) {
		f := create(t, d, "/d/f", filled('a', 2))
		check(t, f.Sync(), d.SyncDir("/d"), f.Truncate(sector), f.Allocate(2*sector), f.Sync())
		if size := must[int64](t)(f.Size()); size != 2*sector {
			t.Errorf("%d bytes", size)
		}
	}, letters("/d/f"))
	wantSeen(t, seen, "a0")
}

func TestNames(t *testing.T) {
	two := func(d *crashfs.FS) {
		check(t, create(t, d, "/d/x", filled('x', 1)).Sync(), create(t, d, "/d/y", filled('y', 1)).Sync())
	}
	look := func(d *crashfs.FS) string {
		s := ""
		for _, name := range d.Files() {
			s += name + letters(name)(d)
		}
		return s
	}
	t.Run("new", func(t *testing.T) {
		wantSeen(t, crashes(t, two, look), "", "/d/xx", "/d/yy", "/d/xx/d/yy")
	})
	t.Run("renamed over another", func(t *testing.T) {
		wantSeen(t, crashes(t, func(d *crashfs.FS) {
			two(d)
			check(t, d.SyncDir("/d"), d.Rename("/d/x", "/d/y"))
		}, look), "/d/xx/d/yy", "/d/yx")
	})
	t.Run("renamed twice, into another directory", func(t *testing.T) {
		wantSeen(t, crashes(t, func(d *crashfs.FS) {
			two(d)
			check(t, d.SyncDir("/d"), d.Remove("/d/y"), d.SyncDir("/d"), d.Rename("/d/x", "/d/z"), d.Rename("/d/z", "/d/e/z"))
		}, look), "/d/xx", "/d/zx", "/d/e/zx")
	})
	t.Run("removed", func(t *testing.T) {
		wantSeen(t, crashes(t, func(d *crashfs.FS) {
			two(d)
			check(t, d.SyncDir("/d"), d.Remove("/d/x"))
		}, look), "/d/yy", "/d/xx/d/yy")
	})
	t.Run("removed and made again", func(t *testing.T) {
		wantSeen(t, crashes(t, func(d *crashfs.FS) {
			check(t, create(t, d, "/d/x", filled('x', 1)).Sync(), d.SyncDir("/d"), d.Remove("/d/x"))
			check(t, create(t, d, "/d/x", filled('y', 1)).Sync())
		}, look), "/d/xx", "", "/d/xy")
	})
}

// A sync that fails leaves what was written readable, and no later one writes it.
func TestFailedSync(t *testing.T) {
	build := func(d *crashfs.FS) {
		f := create(t, d, "/d/f", filled('a', 2))
		check(t, f.Sync(), d.SyncDir("/d"))
		write(t, f, filled('b', 1), 0)
		d.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Sync {
				return crashfs.Fault{Err: syscall.EIO}
			}
			return crashfs.Fault{}
		})
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		d.Inject(nil)
		write(t, f, filled('c', 1), sector)
		check(t, f.Sync())
		if got := letters("/d/f")(d); got != "bc" {
			t.Fatal(got)
		}
	}
	wantSeen(t, crashes(t, build, letters("/d/f")), "ac", "bc")
	// A process that was killed changes nothing about that; one that writes the same once more does.
	rewritten := map[string]int{}
	for seed := range uint64(100) {
		d := newFS(t)
		build(d)
		d = d.Kill()
		f := must[seglog.File](t)(d.Open("/d/f"))
		write(t, f, filled('b', 1), 0)
		check(t, f.Sync())
		rewritten[letters("/d/f")(d.Crash(rand.New(rand.NewPCG(seed, 0))))]++
	}
	wantSeen(t, rewritten, "bc")
}

func TestFaults(t *testing.T) {
	d := newFS(t)
	f := create(t, d, "/d/f", filled('a', 1))
	before := d.Ops()
	var seen []crashfs.Op
	fault := crashfs.Fault{Err: syscall.ENOSPC, Through: 3}
	d.Inject(func(op crashfs.Op) crashfs.Fault {
		seen = append(seen, op)
		return fault
	})
	if n, err := f.WriteAt([]byte("12345"), 1); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Error(n, err)
	}
	if n, err := f.ReadAt(make([]byte, 5), 0); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Error(n, err)
	}
	if err := d.Rename("/d/f", "/d/g"); !errors.Is(err, syscall.ENOSPC) || d.Content("/d/g") != nil {
		t.Error(err)
	}
	fault = crashfs.Fault{Err: syscall.EIO, Done: true}
	if err := d.Rename("/d/f", "/d/g"); !errors.Is(err, syscall.EIO) || !bytes.HasPrefix(d.Content("/d/g"), []byte("a123a")) {
		t.Error(err)
	}
	want := []crashfs.Kind{crashfs.Write, crashfs.Read, crashfs.Rename, crashfs.Rename}
	for i, op := range seen {
		if op.Kind != want[i] || op.N != before+1+i || op.Name != "/d/f" {
			t.Errorf("%+v", op)
		}
	}
	d.Inject(crashfs.HaltAt(d.Ops() + 2))
	check(t, f.Sync())
	for range 2 {
		if err := f.Sync(); !errors.Is(err, crashfs.ErrHalted) {
			t.Error(err)
		}
	}
}

func TestReading(t *testing.T) {
	d := newFS(t)
	f := create(t, d, "/d/f", []byte("12345"))
	b := make([]byte, 4)
	if n, err := f.ReadAt(b, 3); n != 2 || err != io.EOF || string(b[:2]) != "45" { //nolint:errorlint // as io.ReaderAt says
		t.Error(n, err)
	}
	if n, err := f.ReadAt(b, 9); n != 0 || err != io.EOF { //nolint:errorlint // as io.ReaderAt says
		t.Error(n, err)
	}
	if _, err := f.ReadAt(b, -1); err == nil {
		t.Error("read in front of the file")
	}
	d.Flip("/d/f", 2, 4)
	if got := string(d.Content("/d/f")); got != "12745" {
		t.Error(got)
	}
	d.Put("/d/new/g", []byte("x"))
	if got := letters("/d/new/g")(d.Crash(rand.New(rand.NewPCG(1, 1)))); got != "x" {
		t.Error(got)
	}
}

func TestFlipOutlivesACrash(t *testing.T) {
	d := newFS(t)
	f := create(t, d, "/d/f", filled('a', 3))
	check(t, f.Sync(), d.SyncDir("/d"))
	write(t, f, filled('a', 1), sector)
	d.Flip("/d/f", sector+7, 1)
	if got := d.Crash(rand.New(rand.NewPCG(1, 1))).Content("/d/f"); got[sector+7] != 'a'^1 || got[7] != 'a' {
		t.Error("not flipped")
	}
}

func TestLockAndKill(t *testing.T) {
	d := newFS(t)
	lock := must[io.Closer](t)(d.Lock("/d/lock"))
	if _, err := d.Lock("/d/lock"); !errors.Is(err, seglog.ErrLocked) {
		t.Error(err)
	}
	check(t, lock.Close())
	must[io.Closer](t)(d.Lock("/d/lock"))
	f := create(t, d, "/d/f", filled('a', 1))
	next := d.Kill()
	must[io.Closer](t)(next.Lock("/d/lock"))
	if got := letters("/d/f")(next); got != "a" {
		t.Error(got)
	}
	if _, err := f.WriteAt([]byte("b"), 0); !errors.Is(err, crashfs.ErrKilled) {
		t.Error(err)
	}
	if err := f.Sync(); !errors.Is(err, crashfs.ErrKilled) {
		t.Error(err)
	}
	after := next.Crash(rand.New(rand.NewPCG(1, 1)))
	must[io.Closer](t)(after.Lock("/d/lock"))
	if err := next.Remove("/d/f"); !errors.Is(err, crashfs.ErrCrashed) {
		t.Error(err)
	}
}

// What a real file system refuses is refused.
func TestRefused(t *testing.T) {
	d := newFS(t)
	f := create(t, d, "/d/f", nil)
	check(t, f.Close())
	file := func(_ seglog.File, err error) error { return err }
	closer := func(_ io.Closer, err error) error { return err }
	list := func(_ []string, err error) error { return err }
	for _, c := range []struct {
		what      string
		got, want error
	}{
		{"open what is not there", file(d.Open("/d/g")), fs.ErrNotExist},
		{"open a directory", file(d.Open("/d/e")), syscall.EISDIR},
		{"create where no directory is", file(d.Create("/x/f")), fs.ErrNotExist},
		{"create over a directory", file(d.Create("/d/e")), syscall.EISDIR},
		{"rename what is not there", d.Rename("/d/g", "/d/h"), fs.ErrNotExist},
		{"rename to where no directory is", d.Rename("/d/f", "/x/h"), fs.ErrNotExist},
		{"rename over a directory", d.Rename("/d/f", "/d/e"), syscall.EISDIR},
		{"remove what is not there", d.Remove("/d/g"), fs.ErrNotExist},
		{"list what is not there", list(d.List("/x")), fs.ErrNotExist},
		{"sync what is not there", d.SyncDir("/x"), fs.ErrNotExist},
		{"lock where no directory is", closer(d.Lock("/x/lock")), fs.ErrNotExist},
		{"a directory in a file", d.MkdirAll("/d/f/g"), syscall.ENOTDIR},
		{"close twice", f.Close(), fs.ErrClosed},
		{"sync what is closed", f.Sync(), fs.ErrClosed},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if got := must[[]string](t)(d.List("/d")); !slices.Equal(got, []string{"e", "f"}) {
		t.Error(got)
	}
}
