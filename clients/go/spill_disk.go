package sluice

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// A disk is what a spill needs of a file system. Names are paths. Its methods may be called concurrently.
type disk interface {
	// MkdirAll makes a directory and those that it is in, which survive a crash of the machine at once.
	MkdirAll(dir string) error
	// List gives the names in a directory, sorted, without the directory.
	List(dir string) ([]string, error)
	// Create makes a file, or empties it.
	Create(name string) (diskFile, error)
	// Open opens a file that is there, to read and to write.
	Open(name string) (diskFile, error)
	Remove(name string) error
	SyncDir(dir string) error
	// Lock locks a file, which it makes, until it is closed. It answers ErrSpillLocked where somebody else has it.
	Lock(name string) (io.Closer, error)
}

// A diskFile is read and written anywhere. Its methods may be called concurrently.
type diskFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// osDisk is the system's. Files and directories that it makes are for their owner, and the group to read.
type osDisk struct{}

func (d osDisk) MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := d.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}

func (osDisk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osDisk) Create(name string) (diskFile, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (osDisk) Open(name string) (diskFile, error) { return openFile(name, os.O_RDWR) }

func openFile(name string, flag int) (diskFile, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) Remove(name string) error { return os.Remove(name) }

func (osDisk) SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // it cannot, and needs not
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osDisk) Lock(name string) (io.Closer, error) {
	l := flock.New(name)
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, ErrSpillLocked)
	}
	return l, nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
