package seglog_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// On a real directory, that is made.
func TestOS(t *testing.T) {
	o := seglog.Options{Dir: filepath.Join(t.TempDir(), "a", "b", "c"), SegmentSize: small}
	committed := make(chan int, 100)
	o.Committed = func(es []*seglog.Entry) {
		for _, e := range es {
			committed <- e.Owner.(int) //nolint:forcetypeassert // it is ours
		}
	}
	appended := 0
	for range 3 {
		l, r, err := seglog.Open(o)
		if err != nil || len(r.Cut)+len(r.Damage)+len(r.Missing) > 0 {
			t.Fatal(err, r)
		}
		if _, _, err := seglog.Open(o); !errors.Is(err, seglog.ErrLocked) {
			t.Error(err)
		}
		for range 3 * perSmall {
			if err := l.Append(entry(appended, kilobyte)); err != nil {
				t.Fatal(err)
			}
			if got := <-committed; got != appended {
				t.Fatalf("told of %d after %d were appended", got, appended)
			}
			appended++
		}
		tr := &trial{T: t, Log: l}
		first := l.Start().LSN - 1
		tr.wantAll(between(int(first), appended)...)
		tr.free(tr.numbers()[:2]...)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := seglog.OS().List(o.Dir)
	if err != nil || !slices.Contains(names, "lock") || len(names) > 10 {
		t.Error(names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || info.Mode()&0o027 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestOSRefuses(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(root, "strange")
	if err := os.MkdirAll(filepath.Join(strange, "00000000000000000001.seg"), 0o750); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		dir  string
		want error
	}{
		"a file":               {file, syscall.ENOTDIR},
		"under a file":         {filepath.Join(file, "x"), syscall.ENOTDIR},
		"a segment is a dir":   {strange, syscall.EISDIR},
		"no name of directory": {filepath.Join(root, string(make([]byte, 3))), syscall.EINVAL},
	} {
		if _, _, err := seglog.Open(seglog.Options{Dir: c.dir}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestOSReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	readOnly := filepath.Join(t.TempDir(), "read-only")
	if err := os.Mkdir(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{readOnly, filepath.Join(readOnly, "x")} {
		if _, _, err := seglog.Open(seglog.Options{Dir: dir}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// The files do as seglog.FS says.
func TestOSFiles(t *testing.T) {
	d, dir := seglog.OS(), t.TempDir()
	name := filepath.Join(dir, "f")
	f, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Allocate(1<<20), f.Sync(), d.SyncDir(dir)); err != nil {
		t.Error(err)
	}
	if size, err := f.Size(); size != 1<<20 || err != nil {
		t.Error(size, err)
	}
	if err := errors.Join(f.Truncate(100), f.Sync(), f.Close()); err != nil {
		t.Error(err)
	}
	if err := f.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if err := f.Allocate(1); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if _, err := f.Size(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if f, err = d.Open(name); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); size != 100 || err != nil || f.Close() != nil {
		t.Error(size, err)
	}
	if f, err = d.Create(name); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); size != 0 || err != nil || f.Close() != nil {
		t.Error(size, err)
	}
	if _, err := d.List(filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := d.Open(filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := d.SyncDir(filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Many pieces are written as one, also more than the system takes at once.
func TestWriteVector(t *testing.T) {
	f, err := seglog.OS().Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	v, ok := f.(seglog.VectorWriter)
	if !ok {
		t.Skip("this system has no such call")
	}
	var pieces [][]byte
	var want []byte
	for i := range 2500 {
		p := bytes.Repeat([]byte{byte(i)}, 1+i%97)
		pieces, want = append(pieces, p), append(want, p...)
	}
	if err := v.WriteVector(pieces, 10); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 10); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what is read differs, %v", err)
	}
}
