package crashfs

import (
	"errors"
	"io/fs"
)

// A Kind is a kind of operation.
type Kind string

// The kinds, by the methods of seglog.FS and seglog.File.
const (
	MkdirAll Kind = "mkdir"
	List     Kind = "list"
	Create   Kind = "create"
	Open     Kind = "open"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
	Read     Kind = "read"
	Write    Kind = "write"
	Size     Kind = "size"
	Allocate Kind = "allocate"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
)

// An Op is an operation that somebody asks for.
type Op struct {
	N      int // they are counted from 1; closing is none
	Kind   Kind
	Name   string // the file has now; with Rename it is the old one
	To     string // with Rename
	Offset int64  // with Read and Write
	Size   int64  // in bytes, with Read, Write, Allocate and Truncate
	file   *file  // that it is done to
}

// A Fault is what becomes of an operation. The zero Fault is none.
type Fault struct {
	Err     error // what it answers
	Through int   // bytes of a Read or a Write that go through before it fails
	Done    bool  // it goes through, and fails nevertheless
}

// Inject has f decide over every operation from now on; nil: all succeed. It is called by one operation at a time, and must not
// call the file system.
func (d *FS) Inject(f func(Op) Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inject = f
}

// Ops is how many operations there were.
func (d *FS) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// ErrHalted is what a file system answers that stands still.
var ErrHalted = errors.New("the machine stands still")

// HaltAt has the machine stand still from the n-th operation on: none goes through any more.
func HaltAt(n int) func(Op) Fault {
	return func(op Op) Fault {
		if op.N >= n {
			return Fault{Err: ErrHalted}
		}
		return Fault{}
	}
}

// do does an operation. work is told how many bytes go through; it is not called where nothing does.
func (d *FS) do(op Op, work func(through int64) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: d.gone}
	}
	if op.file != nil {
		if op.Name = op.file.node.name; op.file.closed {
			return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fs.ErrClosed}
		}
	}
	d.ops++
	op.N = d.ops
	var fault Fault
	if d.inject != nil {
		fault = d.inject(op)
	}
	through := op.Size
	if fault.Err != nil && !fault.Done {
		through = min(int64(fault.Through), op.Size)
	}
	if fault.Err == nil || fault.Done || through > 0 {
		if err := work(through); err != nil {
			return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}
		}
	}
	if fault.Err != nil {
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fault.Err}
	}
	return nil
}
