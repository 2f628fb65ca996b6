package crashfs

import (
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var _ seglog.File = (*file)(nil)

// sectorSize is what a disk writes whole or not at all, in bytes.
const sectorSize = 512

// A node is a file, by whatever name. The file system's lock guards it.
type node struct {
	name  string   // empty: it was removed
	names []naming // that it had since its directory was synced: the first is safe

	cache []byte // what is read
	safe  []byte // what was synced
	sizes []int  // since it was synced
	dirty map[int64]bool
	later map[int64][][]byte // what dirty sectors held since they were synced, and those that a failed sync forgot
}

// A naming is a change of a name, and who took it where somebody did.
type naming struct {
	seq  int
	name string
	by   *node
}

func (n *node) write(p []byte, at int64) {
	if end := int(at) + len(p); end > len(n.cache) {
		n.resize(end)
	}
	copy(n.cache[at:], p)
	n.touch(at, at+int64(len(p)))
}

// touch notes that sectors were written.
func (n *node) touch(from, to int64) {
	if n.dirty == nil {
		n.dirty, n.later = map[int64]bool{}, map[int64][][]byte{}
	}
	for s := from / sectorSize; s*sectorSize < to; s++ {
		n.dirty[s] = true
		n.later[s] = append(n.later[s], slices.Clone(sector(n.cache, s)))
	}
}

// sector is what of a sector is in the file.
func sector(b []byte, s int64) []byte {
	at := min(s*sectorSize, int64(len(b)))
	return b[at:min(at+sectorSize, int64(len(b)))]
}

func (n *node) resize(size int) {
	was := len(n.cache)
	n.sizes = append(n.sizes, size)
	n.cache = resized(n.cache, size)
	if known := min(size, len(n.safe)); known > was { // what was cut off before does not come back
		n.touch(int64(was), int64(known))
	}
}

func resized(b []byte, size int) []byte {
	if size <= len(b) {
		return slices.Clone(b[:size])
	}
	return append(b, make([]byte, size-len(b))...)
}

func (n *node) sync() {
	n.safe = resized(n.safe, len(n.cache))
	for s := range n.dirty {
		copy(sector(n.safe, s), sector(n.cache, s))
		delete(n.later, s)
	}
	n.sizes, n.dirty = nil, nil
	if len(n.later) == 0 {
		n.later = nil
	} else {
		n.dirty = map[int64]bool{}
	}
}

// forget is a sync that fails: what is in memory counts as written from now on, whether it was or not.
func (n *node) forget() { clear(n.dirty) }

// crash gives what is found after a crash.
func (n *node) crash(pick func(n int) int) []byte {
	size := len(n.safe)
	if i := pick(len(n.sizes) + 1); i > 0 {
		size = n.sizes[i-1]
	}
	content := resized(slices.Clone(n.safe), max(size, len(n.safe)))
	for _, s := range slices.Sorted(maps.Keys(n.later)) {
		versions := n.later[s]
		if i := pick(len(versions) + 1); i > 0 {
			copy(sector(content, s), versions[i-1])
		}
	}
	return content[:size]
}

// A file is a node that somebody has open.
type file struct {
	fs     *FS
	node   *node
	closed bool // guarded by the file system's lock
}

func (f *file) do(kind Kind, offset, size int64, work func(through int64) error) error {
	return f.fs.do(Op{Kind: kind, Offset: offset, Size: size, file: f}, work)
}

// ReadAt implements [io.ReaderAt].
func (f *file) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, fs.ErrInvalid
	}
	err = f.do(Read, at, int64(len(p)), func(through int64) error {
		if at < int64(len(f.node.cache)) {
			n = copy(p[:through], f.node.cache[at:])
		}
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteAt implements [io.WriterAt].
func (f *file) WriteAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, fs.ErrInvalid
	}
	err = f.do(Write, at, int64(len(p)), func(through int64) error {
		f.node.write(p[:through], at)
		n = int(through)
		return nil
	})
	return n, err
}

// Size implements [seglog.File].
func (f *file) Size() (size int64, err error) {
	err = f.do(Size, 0, 0, func(int64) error {
		size = int64(len(f.node.cache))
		return nil
	})
	return size, err
}

// Allocate implements [seglog.File].
func (f *file) Allocate(size int64) error {
	return f.do(Allocate, 0, size, func(through int64) error {
		if int(through) > len(f.node.cache) {
			f.node.resize(int(through))
		}
		return nil
	})
}

// Truncate implements [seglog.File].
func (f *file) Truncate(size int64) error {
	return f.do(Truncate, 0, size, func(int64) error {
		f.node.resize(int(size))
		return nil
	})
}

// Sync implements [seglog.File]. One that fails is like Linux's: what was to be synced can be read, and will not be written.
func (f *file) Sync() error {
	synced := false
	err := f.do(Sync, 0, 0, func(int64) error {
		f.node.sync()
		synced = true
		return nil
	})
	if err != nil && !synced {
		f.fs.mu.Lock()
		defer f.fs.mu.Unlock()
		if f.fs.gone == nil {
			f.node.forget()
		}
	}
	return err
}

// Close implements [io.Closer]. It does not sync.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.fs.opened--
	return nil
}
