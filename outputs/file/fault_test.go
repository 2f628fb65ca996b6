package file

import (
	"io/fs"
	"slices"
	"sync"
	"syscall"
)

// A disk is a file system with faults: it has room for so many bytes, and its calls fail on demand.
type disk struct {
	mu       sync.Mutex // guards what follows
	limited  bool
	room     int
	truncate error
	sync     error
	syncs    int
	syncDirs error
	synced   []string // directories, sorted
}

// limit leaves room for n bytes; a negative n lifts the limit.
func (d *disk) limit(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limited, d.room = n >= 0, n
}

func (d *disk) fail(truncate, fsync error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.truncate, d.sync = truncate, fsync
}

func (d *disk) open(path string, mode fs.FileMode) (handle, error) {
	f, err := openFile(path, mode)
	if err != nil {
		return nil, err
	}
	return faulty{f, d}, nil
}

func (d *disk) syncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.syncDirs != nil {
		return d.syncDirs
	}
	if at, found := slices.BinarySearch(d.synced, path); !found {
		d.synced = slices.Insert(d.synced, at, path)
	}
	return syncDir(path)
}

type faulty struct {
	handle
	disk *disk
}

func (f faulty) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if !f.disk.limited || len(p) <= f.disk.room {
		f.disk.room -= len(p)
		return f.handle.Write(p)
	}
	n, err := f.handle.Write(p[:f.disk.room])
	f.disk.room -= n
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f faulty) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.truncate != nil {
		return f.disk.truncate
	}
	return f.handle.Truncate(size)
}

func (f faulty) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.syncs++
	if f.disk.sync != nil {
		return f.disk.sync
	}
	return f.handle.Sync()
}
