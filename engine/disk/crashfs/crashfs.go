// Package crashfs is a file system in memory that crashes, for tests: what was not synced may be there afterwards, in parts, or
// not. Operations fail as the test wants.
package crashfs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var _ seglog.FS = (*FS)(nil)

// An FS is a file system. Make it with New. Directories survive a crash at once; files and their names do where they were
// synced. It is safe for concurrent use.
type FS struct {
	mu     sync.Mutex // guards what follows, and the files
	dirs   map[string]bool
	now    map[string]*node // by name
	nodes  []*node          // all that may be there after a crash
	locked map[string]bool
	seq    int // of changes of names
	ops    int
	opened int
	inject func(Op) Fault
	gone   error // why nothing can be done any more
}

// New gives an empty file system.
func New() *FS {
	return &FS{dirs: map[string]bool{}, now: map[string]*node{}, locked: map[string]bool{}}
}

var (
	// ErrCrashed is what a file system answers that has crashed.
	ErrCrashed = errors.New("the machine crashed")
	// ErrKilled is what a process is answered that was killed.
	ErrKilled = errors.New("the process was killed")
)

// Crash stops the machine, and gives the file system as it is found afterwards: with all that was synced, and of the rest some,
// by chance. Each sector holds what it held at some time since it was synced; each name that was changed is what it was at some
// time since its directory was. Nothing is locked. The old one fails from then on.
func (d *FS) Crash(rng *rand.Rand) *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = ErrCrashed
	after := New()
	maps.Copy(after.dirs, d.dirs)
	pick := chance(rng)
	named := make(map[*node]int, len(d.nodes))
	for _, n := range d.nodes {
		named[n] = pick(len(n.names))
	}
	winners := map[string]*node{}
	for _, n := range d.nodes {
		i := named[n]
		if by := n.names[i].by; by != nil && by.names[named[by]].seq < n.names[i].seq {
			i-- // what replaced it did not
			named[n] = i
		}
		name := n.names[i].name
		if other := winners[name]; name != "" && (other == nil || other.names[named[other]].seq < n.names[i].seq) {
			winners[name] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(winners)) {
		after.add(name, winners[name].crash(chance(rng)))
	}
	return after
}

// chance gives what picks one of n versions, the oldest being 0: always the oldest, always the newest, or any.
func chance(rng *rand.Rand) func(n int) int {
	switch rng.IntN(4) {
	case 0:
		return func(int) int { return 0 }
	case 1:
		return func(n int) int { return n - 1 }
	default:
		return rng.IntN
	}
}

// add puts a file there, synced.
func (d *FS) add(name string, content []byte) {
	n := &node{name: name, names: []naming{{name: name}}, cache: content, safe: slices.Clone(content)}
	d.now[name] = n
	d.nodes = append(d.nodes, n)
}

// Kill stops the process alone, and gives the file system to the next one: all is there, what was not synced neither. Nothing is
// locked. The old one fails from then on.
func (d *FS) Kill() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = ErrKilled
	return &FS{dirs: d.dirs, now: d.now, nodes: d.nodes, locked: map[string]bool{}, seq: d.seq}
}

// MkdirAll implements [seglog.FS].
func (d *FS) MkdirAll(dir string) error {
	return d.do(Op{Kind: MkdirAll, Name: dir}, func(int64) error {
		for ; !d.dirs[dir]; dir = filepath.Dir(dir) {
			if d.now[dir] != nil {
				return syscall.ENOTDIR
			}
			d.dirs[dir] = true
		}
		return nil
	})
}

// List implements [seglog.FS].
func (d *FS) List(dir string) (names []string, err error) {
	err = d.do(Op{Kind: List, Name: dir}, func(int64) error {
		if !d.dirs[dir] {
			return fs.ErrNotExist
		}
		for name := range d.now {
			if filepath.Dir(name) == dir {
				names = append(names, filepath.Base(name))
			}
		}
		for name := range d.dirs {
			if filepath.Dir(name) == dir && name != dir {
				names = append(names, filepath.Base(name))
			}
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

// Create implements [seglog.FS].
func (d *FS) Create(name string) (f seglog.File, err error) {
	err = d.do(Op{Kind: Create, Name: name}, func(int64) error {
		n, err := d.lookup(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && d.dirs[filepath.Dir(name)]:
			n = &node{names: []naming{{}}}
			d.nodes = append(d.nodes, n)
			d.call(n, name)
		case err != nil:
			return err
		}
		n.resize(0)
		f = d.open(n)
		return nil
	})
	return given(f, err)
}

// Open implements [seglog.FS].
func (d *FS) Open(name string) (f seglog.File, err error) {
	err = d.do(Op{Kind: Open, Name: name}, func(int64) error {
		n, err := d.lookup(name)
		if err == nil {
			f = d.open(n)
		}
		return err
	})
	return given(f, err)
}

// given closes a file that nobody gets, for opening it is said to have failed.
func given(f seglog.File, err error) (seglog.File, error) {
	if err == nil || f == nil {
		return f, err
	}
	return nil, errors.Join(err, f.Close())
}

func (d *FS) open(n *node) *file {
	d.opened++
	return &file{fs: d, node: n}
}

// Opened is how many files are open. Those that were when the process was killed do not count.
func (d *FS) Opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

func (d *FS) lookup(name string) (*node, error) {
	switch n := d.now[name]; {
	case d.dirs[name]:
		return nil, syscall.EISDIR
	case n == nil:
		return nil, fs.ErrNotExist
	default:
		return n, nil
	}
}

// call gives a file a name; the empty one is none. It replaces the file of that name.
func (d *FS) call(n *node, name string) {
	d.seq++
	if n.name != "" {
		delete(d.now, n.name)
	}
	if other := d.now[name]; other != nil {
		other.name = ""
		other.names = append(other.names, naming{d.seq, "", n})
	}
	n.name = name
	n.names = append(n.names, naming{d.seq, name, nil})
	if name != "" {
		d.now[name] = n
	}
}

// Rename implements [seglog.FS].
func (d *FS) Rename(from, to string) error {
	return d.do(Op{Kind: Rename, Name: from, To: to}, func(int64) error {
		n, err := d.lookup(from)
		switch {
		case err != nil:
			return err
		case !d.dirs[filepath.Dir(to)]:
			return fs.ErrNotExist
		case d.dirs[to]:
			return syscall.EISDIR
		case from != to:
			d.call(n, to)
		}
		return nil
	})
}

// Remove implements [seglog.FS].
func (d *FS) Remove(name string) error {
	return d.do(Op{Kind: Remove, Name: name}, func(int64) error {
		n, err := d.lookup(name)
		if err == nil {
			d.call(n, "")
		}
		return err
	})
}

// SyncDir implements [seglog.FS].
func (d *FS) SyncDir(dir string) error {
	return d.do(Op{Kind: SyncDir, Name: dir}, func(int64) error {
		if !d.dirs[dir] {
			return fs.ErrNotExist
		}
		in := func(n naming) bool { return n.name != "" && filepath.Dir(n.name) == dir }
		d.nodes = slices.DeleteFunc(d.nodes, func(n *node) bool {
			if slices.ContainsFunc(n.names, in) {
				n.names = []naming{{name: n.name}}
			}
			return len(n.names) == 1 && n.name == ""
		})
		return nil
	})
}

// Lock implements [seglog.FS].
func (d *FS) Lock(name string) (c io.Closer, err error) {
	err = d.do(Op{Kind: Lock, Name: name}, func(int64) error {
		switch {
		case !d.dirs[filepath.Dir(name)]:
			return fs.ErrNotExist
		case d.locked[name]:
			return seglog.ErrLocked
		case d.now[name] == nil:
			d.add(name, nil)
		}
		d.locked[name] = true
		c = unlocker{d, name}
		return nil
	})
	return c, err
}

type unlocker struct {
	fs   *FS
	name string
}

func (u unlocker) Close() error {
	u.fs.mu.Lock()
	defer u.fs.mu.Unlock()
	delete(u.fs.locked, u.name)
	return nil
}

// Files gives the names of all files, in order.
func (d *FS) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.now), cmp.Compare)
}

// Content gives what is in a file; nil: there is none.
func (d *FS) Content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[name]
	if n == nil {
		return nil
	}
	return append([]byte{}, n.cache...)
}

// Put makes a file with that content, or replaces it, synced, as if it had been so from the beginning.
func (d *FS) Put(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes = slices.DeleteFunc(d.nodes, func(n *node) bool { return n.name == name })
	for dir := filepath.Dir(name); !d.dirs[dir]; dir = filepath.Dir(dir) {
		d.dirs[dir] = true
	}
	d.add(name, slices.Clone(content))
}

// Flip flips bits of a file, on the disk and in memory.
func (d *FS) Flip(name string, offset int64, bits byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[name]
	for _, b := range [][]byte{n.cache, n.safe} {
		if offset < int64(len(b)) {
			b[offset] ^= bits
		}
	}
	for _, b := range n.later[offset/sectorSize] {
		if at := offset % sectorSize; at < int64(len(b)) {
			b[at] ^= bits
		}
	}
}
