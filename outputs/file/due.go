package file

import (
	"maps"
	"slices"
	"sync"
)

// maxKnown bounds the paths that are remembered, some 100 bytes each. One beyond it takes the place of another.
const maxKnown = 10_000

// due are the paths whose rotated files are to be looked at. It is safe for concurrent use.
type due struct {
	wake chan struct{} // capacity 1: there is something due

	mu    sync.Mutex // guards what follows
	now   map[string]bool
	known map[string]bool // what was due since the start
}

func newDue() due {
	return due{wake: make(chan struct{}, 1), now: make(map[string]bool), known: make(map[string]bool)}
}

// opened makes a path due that is not known: a crash may have left something.
func (d *due) opened(path string) {
	d.mu.Lock()
	known := d.known[path]
	d.mu.Unlock()
	if !known {
		d.rotated(path)
	}
}

// rotated makes a path due.
func (d *due) rotated(path string) {
	d.mu.Lock()
	if len(d.known) >= maxKnown && !d.known[path] {
		for other := range d.known {
			delete(d.known, other)
			break
		}
	}
	d.known[path], d.now[path] = true, true
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take gives the paths that are due, and none of them again.
func (d *due) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := slices.Collect(maps.Keys(d.now))
	clear(d.now)
	return paths
}

// all gives the paths that are known.
func (d *due) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.known))
}
