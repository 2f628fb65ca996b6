// Package file is an output that appends records to files, one a line.
//
// A file is a key, so a scheduler that keeps order per key keeps it per file. What counts as delivered is in the file once,
// whole: a write that fails half-way, on a full disk for instance, is cut back to the last whole record, which is where the
// retry goes on. A line that a crash has torn is left as it is, and the next record begins a line of its own.
//
// A value from a record is one part of a name, whatever it contains: separators and control characters become _, as does a
// dot in front, and a value over 96 bytes is cut and ends in its hash.
//
// A rotated file has the path, a dot and the time in UTC, as in app.ndjson.20260102T030405.000000000Z, and .gz behind it
// once it is compressed. Such files are tended in the background: when a path is first written since the start, which
// finishes what a crash has left; after a rotation; and from then on each hour, or each tenth of the time that they are kept
// for. Paths that were not written since the start are left alone, and no more than about 10,000 are remembered.
package file

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/engine"
)

var (
	_ engine.Output  = (*Output)(nil)
	_ engine.Keyer   = (*Output)(nil)
	_ engine.Batcher = (*Output)(nil)
)

// An Output appends batches to files. It opens nothing before its first Write.
type Output struct {
	set  *settings
	pace pacer
	targets

	start  sync.Once
	stop   context.CancelFunc
	tender sync.WaitGroup // the one goroutine that tends closes idle files and rotated ones
	due    due
}

// New makes an output. All that is wrong with the options is said at once, each by its key.
func New(o Options) (*Output, error) {
	set, err := o.settle()
	if err != nil {
		return nil, err
	}
	return &Output{
		set:     set,
		pace:    pacer{rate: o.Rate},
		targets: targets{set: set, open: openFile, syncDir: syncDir, byPath: make(map[string]*target)},
		due:     newDue(),
	}, nil
}

// PerRecord implements [engine.Keyer].
func (o *Output) PerRecord(*engine.Chunk) bool { return o.set.path.PerRecord() }

// AppendKey implements [engine.Keyer]: the key is the file's path.
func (o *Output) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	return o.set.path.Append(dst, c, r)
}

// Batching implements [engine.Batcher]. There is no linger: a file takes small writes well.
func (o *Output) Batching() engine.BatchLimits { return engine.BatchLimits{MaxBytes: 1 << 20} }

// Write appends the batch to the file that its key names. All failures but those of the path itself are retryable.
func (o *Output) Write(ctx context.Context, b *engine.Batch) error {
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	o.start.Do(o.tend)
	t, err := o.take(ctx, b.Key)
	if err != nil {
		return engine.Retryable(err)
	}
	defer o.give(t)
	if t.f == nil && o.set.rotates() {
		o.due.opened(t.path)
	}
	block := o.set.renderer.Render(b)
	defer block.Free()
	n, err := t.append(ctx, block, &o.pace, o.due.rotated)
	switch {
	case err == nil:
		return nil
	case n == 0:
		return kind(err)
	}
	partial := &engine.Partial{Delivered: []engine.Range{{From: 0, To: n}}}
	if ctx.Err() == nil { // else nothing but the rate held it up: go on at once
		partial.Err = kind(err)
	}
	return partial
}

// kind parks a path that somebody must mend, and has everything else tried again.
func kind(err error) error {
	for _, e := range []error{
		syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG,
		errRotatedName,
	} {
		if errors.Is(err, e) {
			return engine.Denied(err)
		}
	}
	return engine.Retryable(err)
}

// Close closes the files and stops tending them; a file that is being compressed is left for the next start.
func (o *Output) Close() error {
	o.start.Do(func() {})
	if o.stop != nil {
		o.stop()
	}
	o.tender.Wait()
	o.closeAll()
	return nil
}

func (s *settings) rotates() bool { return s.Rotate.Size > 0 || s.Rotate.Age > 0 }

func (o *Output) tend() {
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.tender.Go(func() {
		tick := time.NewTicker(max(o.set.IdleClose/2, time.Millisecond))
		defer tick.Stop()
		sweep := time.NewTicker(o.set.sweepEvery())
		defer sweep.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				o.closeIdle(time.Now().Add(-o.set.IdleClose))
			case <-sweep.C:
				o.tidyAll(ctx, o.due.all())
			case <-o.due.wake:
				o.tidyAll(ctx, o.due.take())
			}
		}
	})
}

// The bounds of how often the rotated files of all paths that are known are looked at.
const (
	sweepShortest = time.Second
	sweepLongest  = time.Hour
)

// sweepEvery makes a file that is no longer kept outlive that by a tenth at most, or by a second.
func (s *settings) sweepEvery() time.Duration {
	if s.Rotate.KeepFor == 0 {
		return sweepLongest
	}
	return min(max(s.Rotate.KeepFor/10, sweepShortest), sweepLongest)
}

func (o *Output) tidyAll(ctx context.Context, due []string) {
	dirs := make(map[string]map[string]bool)
	for _, path := range due {
		path = filepath.Clean(path)
		dir := filepath.Dir(path)
		if dirs[dir] == nil {
			dirs[dir] = make(map[string]bool)
		}
		dirs[dir][path] = true
	}
	for dir, paths := range dirs {
		if err := o.set.tidy(ctx, dir, paths); err != nil && ctx.Err() == nil {
			o.set.Log.Warn("rotated files are not in order", "dir", dir, "error", err)
		}
	}
}
