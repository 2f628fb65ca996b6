package seglog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// A dry file system reads, and says yes to what would change something without doing it. So what Open does is a look, on it.
type dry struct {
	FS
	claim bool         // the lock is taken for real
	read  atomic.Int64 // bytes
}

// A readOpener opens a file to read alone: then the system sees to it that nothing is changed, and the right to is not
// needed.
type readOpener interface {
	OpenToRead(name string) (File, error)
}

// OpenToRead opens a file that is there, to read.
func (osFS) OpenToRead(name string) (File, error) { return openFile(name, os.O_RDONLY) }

var errDry = errors.New("this is a look, no file is made")

// Open implements [FS].
func (d *dry) Open(name string) (File, error) {
	open := d.FS.Open
	if r, ok := d.FS.(readOpener); ok {
		open = r.OpenToRead
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	return &dryFile{f, d}, nil
}

// Lock implements [FS]. For a mere look no file is made: where there is none, nobody has the directory.
func (d *dry) Lock(name string) (io.Closer, error) {
	names, err := d.List(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	if !d.claim && !slices.Contains(names, filepath.Base(name)) {
		return unlocked{}, nil
	}
	return d.FS.Lock(name)
}

type unlocked struct{}

func (unlocked) Close() error { return nil }

// MkdirAll implements [FS]. It fails where there is no such directory.
func (d *dry) MkdirAll(dir string) error {
	_, err := d.List(dir)
	return err
}

// Create implements [FS]. It fails.
func (*dry) Create(string) (File, error) { return nil, errDry }

// Rename implements [FS].
func (*dry) Rename(string, string) error { return nil }

// Remove implements [FS].
func (*dry) Remove(string) error { return nil }

// SyncDir implements [FS].
func (*dry) SyncDir(string) error { return nil }

// A dryFile is a file of a dry file system.
type dryFile struct {
	File
	dry *dry
}

// ReadAt implements [io.ReaderAt].
func (f *dryFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.dry.read.Add(int64(n))
	return n, err
}

// WriteAt implements [io.WriterAt].
func (*dryFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Allocate implements [File].
func (*dryFile) Allocate(int64) error { return nil }

// Truncate implements [File].
func (*dryFile) Truncate(int64) error { return nil }

// Sync implements [File].
func (*dryFile) Sync() error { return nil }
