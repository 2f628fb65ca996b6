package file

import (
	"container/list"
	"context"
	"io/fs"
	"sync"
	"time"
)

// use is who is at a target; guarded by its targets.
type use struct {
	users int           // who writes or waits for the turn
	last  time.Time     // when the last of them was done
	place *list.Element // in the order of use
}

// targets are the files of an output, as many of them open as it may have. They are safe for concurrent use.
type targets struct {
	set     *settings
	open    func(path string, mode fs.FileMode) (handle, error)
	syncDir func(path string) error

	mu     sync.Mutex // guards what follows
	byPath map[string]*target
	recent list.List // of *target, the last used in front
}

// take gives the target of a path once it is nobody else's turn. It is given back with give.
func (ts *targets) take(ctx context.Context, path string) (*target, error) {
	ts.mu.Lock()
	t := ts.byPath[path]
	if t == nil {
		t = &target{path: path, set: ts.set, open: ts.open, syncDir: ts.syncDir, turn: make(chan struct{}, 1)}
		t.place = ts.recent.PushFront(t)
		ts.byPath[path] = t
	}
	ts.recent.MoveToFront(t.place)
	t.users++
	spare := ts.spare(len(ts.byPath)-ts.set.MaxOpen, time.Time{})
	ts.mu.Unlock()
	closeAll(spare)

	select {
	case t.turn <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		ts.leave(t)
		return nil, ctx.Err()
	}
}

func (ts *targets) give(t *target) {
	<-t.turn
	ts.leave(t)
}

func (ts *targets) leave(t *target) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.users--
	t.last = time.Now()
}

// closeIdle closes the files that were not used since.
func (ts *targets) closeIdle(since time.Time) {
	ts.mu.Lock()
	spare := ts.spare(len(ts.byPath), since)
	ts.mu.Unlock()
	closeAll(spare)
}

// closeAll closes every file. Nobody may be writing.
func (ts *targets) closeAll() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.byPath {
		t.close()
	}
	clear(ts.byPath)
	ts.recent.Init()
}

// spare takes up to n targets out, least recently used first, of those that nobody is at and that need no mending; where
// since is set, only those that were not used since then. The caller holds mu.
func (ts *targets) spare(n int, since time.Time) []*target {
	var out []*target
	for e := ts.recent.Back(); e != nil && len(out) < n; {
		t := e.Value.(*target)
		e = e.Prev()
		if !since.IsZero() && t.last.After(since) {
			break
		}
		if t.users > 0 || t.torn {
			continue
		}
		ts.recent.Remove(t.place)
		delete(ts.byPath, t.path)
		out = append(out, t)
	}
	return out
}

func closeAll(ts []*target) {
	for _, t := range ts {
		t.close()
	}
}
