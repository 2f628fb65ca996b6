package seglog

import (
	"errors"
	"io"
)

// An FS is what the log needs of a file system. Names are paths. Its methods may be called concurrently.
//
// What is written survives a crash once the file's Sync has returned, and a name once its directory's has.
type FS interface {
	// MkdirAll makes a directory, and those that it is in, which survive a crash at once.
	MkdirAll(dir string) error
	// List gives the names in a directory, sorted, without the directory. It fails with fs.ErrNotExist where there is none.
	List(dir string) ([]string, error)
	// Create makes a file, or empties it.
	Create(name string) (File, error)
	// Open opens a file that is there, to read and to write.
	Open(name string) (File, error)
	// Rename renames a file, and replaces one of the new name.
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
	// Lock locks a file, which it makes, against other processes, until it is closed. It answers ErrLocked where somebody
	// else has it.
	Lock(name string) (io.Closer, error)
}

// ErrLocked is answered where another process has the directory.
var ErrLocked = errors.New("locked by another process")

// A File is read and written anywhere. Its methods may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Allocate gives the file space for so many bytes, as far as the system can.
	Allocate(size int64) error
	Truncate(size int64) error
	// Sync makes what was written outlive a crash, and what it takes to read it.
	Sync() error
}
