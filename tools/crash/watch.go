package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// glance is how often the files are looked at: how exactly the age of a record is known.
const glance = 5 * time.Millisecond

// A watch looks at the files of a directory while they grow, from newWatch to close. It is safe for concurrent use.
type watch struct {
	dir     string
	bodies  bodies
	stop    context.CancelFunc
	looking sync.WaitGroup

	mu    sync.Mutex // guards what follows
	judge *judge
	tails map[string]*tail
	err   error
}

func newWatch(dir string, w window, b bodies) *watch {
	v := &watch{dir: dir, bodies: b, judge: newJudge(w), tails: map[string]*tail{}}
	ctx, stop := context.WithCancel(context.Background())
	v.stop = stop
	v.looking.Go(func() {
		tick := time.NewTicker(glance)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				v.mu.Lock()
				v.look()
				v.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	return v
}

// look is called with the lock held.
func (v *watch) look() {
	paths, err := filepath.Glob(filepath.Join(v.dir, "*.ndjson"))
	v.err = errors.Join(v.err, err)
	for _, path := range paths {
		t := v.tails[path]
		if t == nil {
			if t, err = openTail(path, v.judge, v.bodies); err != nil {
				v.err = errors.Join(v.err, err)
				return
			}
			v.tails[path] = t
		}
		v.err = errors.Join(v.err, t.look())
	}
}

// end judges all that a life wrote, once its gateway is gone, and before the next is there.
func (v *watch) end(l life) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.look()
	for _, t := range v.tails {
		t.end()
	}
	v.judge.end(l)
}

// A verdict is what the judge has come to.
type verdict struct {
	counts
	bytes  int64 // of the files
	faults []string
}

// verdict gives it as it stands.
func (v *watch) verdict() verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := verdict{counts: v.judge.counts, faults: slices.Clone(v.judge.faults)}
	for _, t := range v.tails {
		r.bytes += t.read
	}
	return r
}

// account judges what is missing of what was logged, once all lives are over.
func (v *watch) account(logged map[string]uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.judge.account(logged)
}

// close ends it. The error says what could not be read.
func (v *watch) close() error {
	v.stop()
	v.looking.Wait()
	for _, t := range v.tails {
		v.err = errors.Join(v.err, t.file.Close())
	}
	return v.err
}
