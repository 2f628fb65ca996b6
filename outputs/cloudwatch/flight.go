package cloudwatch

import (
	"context"
	"sync"
)

// flights have what several ask for at once done by one of them, while the others wait for its outcome. Nothing is kept of
// what is over. It is safe for concurrent use; no lock is held while anything is done.
type flights struct {
	mu    sync.Mutex // guards what follows
	aloft map[string]*flight
}

type flight struct {
	over chan struct{} // closed when what follows is there
	err  error
	left bool // its pilot's context ended on the way: that says nothing to the others
}

// do does what is asked for under that key, or waits until somebody else has, up to the context's end.
func (f *flights) do(ctx context.Context, key string, work func() error) error {
	for {
		mine, theirs := f.board(key)
		if mine != nil {
			return f.fly(ctx, key, mine, work)
		}
		select {
		case <-theirs.over:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !theirs.left {
			return theirs.err
		}
	}
}

// board gives a flight to pilot, or one that is under way.
func (f *flights) board(key string) (mine, theirs *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if under := f.aloft[key]; under != nil {
		return nil, under
	}
	if f.aloft == nil {
		f.aloft = map[string]*flight{}
	}
	mine = &flight{over: make(chan struct{})}
	f.aloft[key] = mine
	return mine, nil
}

func (f *flights) fly(ctx context.Context, key string, mine *flight, work func() error) error {
	defer f.land(key, mine)
	mine.left = true // should the work panic
	mine.err = work()
	mine.left = mine.err != nil && ctx.Err() != nil
	return mine.err
}

func (f *flights) land(key string, mine *flight) {
	f.mu.Lock()
	delete(f.aloft, key)
	f.mu.Unlock()
	close(mine.over)
}
