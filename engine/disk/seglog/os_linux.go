package seglog

import (
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync(2): the size and the place of data are synced with it, its times are not.
func (f osFile) Sync() error { return f.call("fdatasync", unix.Fdatasync) }

// maxVector is how many pieces pwritev(2) takes: IOV_MAX of limits.h.
const maxVector = 1024

// WriteVector is pwritev(2).
func (f osFile) WriteVector(pieces [][]byte, offset int64) error {
	for pieces = slices.Clone(pieces); len(pieces) > 0; {
		var n int
		err := f.call("pwritev", func(fd int) (err error) {
			n, err = unix.Pwritev(fd, pieces[:min(len(pieces), maxVector)], offset)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: io.ErrShortWrite}
		}
		offset += int64(n)
		for ; len(pieces) > 0 && n >= len(pieces[0]); pieces = pieces[1:] {
			n -= len(pieces[0])
		}
		if n > 0 {
			pieces[0] = pieces[0][n:]
		}
	}
	return nil
}

// Allocate is fallocate(2), or makes the file as long where the file system has none.
func (f osFile) Allocate(size int64) error {
	err := f.call("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// call makes a system call, as often as it is interrupted. The descriptor stays open meanwhile.
func (f osFile) call(name string, call func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) {
		for {
			if failed = call(int(fd)); !errors.Is(failed, unix.EINTR) {
				return
			}
		}
	}); err != nil {
		failed = os.ErrClosed
	}
	if failed != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: failed}
	}
	return nil
}

func (osFS) SyncDir(dir string) error { return syncDir(dir) }
