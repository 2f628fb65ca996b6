package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluicelog/sluice/engine/render"
)

// A handle is an open file; in tests one with faults.
type handle interface {
	io.WriteCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

func openFile(path string, mode fs.FileMode) (handle, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, mode)
}

// errRotatedName is of a path that rotation might compress or remove.
var errRotatedName = errors.New("it is named as a file that was rotated away")

// A target is a file that batches are appended to. Its turn guards all but path, users, used and place.
type target struct {
	path    string
	set     *settings
	open    func(path string, mode fs.FileMode) (handle, error)
	syncDir func(path string) error
	turn    chan struct{} // capacity 1: full while someone writes
	use

	f       handle // nil while the file is closed
	info    fs.FileInfo
	regular bool      // it has an end that can be cut
	size    int64     // bytes that are there and count as written
	torn    bool      // there may be more in the file than size, which is cut off before the next write
	broken  bool      // the last line has no end and cannot be cut off: the next write begins with a newline
	born    time.Time // what its age is counted from
}

// append writes the block's records and answers how many count as written; where that is not all, also why. Of the others
// nothing is left in the file, or it is cut off before anything else is written.
func (t *target) append(ctx context.Context, b *render.Block, pace *pacer, rotated func(path string)) (int, error) {
	for done := 0; ; {
		if err := t.ready(); err != nil {
			return done, err
		}
		n, err := t.fill(ctx, b, done, pace)
		done += n
		if err != nil || done == len(b.Ends) {
			return done, err
		}
		if err := t.rotate(); err != nil {
			return done, err
		}
		rotated(t.path)
	}
}

// ready sees to it that the file is open, is the one at its path, and ends in a whole line.
func (t *target) ready() error {
	if t.f != nil {
		switch now, err := os.Stat(t.path); {
		case errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, t.info):
			_ = t.mend() // it is somebody else's file now: the best that can be done for it
			t.close()
		case err != nil:
			return err
		case !t.torn || now.Size() < t.size: // also where somebody else cut it
			t.size, t.torn = now.Size(), false
		}
	}
	if t.f == nil {
		if err := t.reopen(); err != nil {
			return err
		}
	}
	if err := t.mend(); err != nil {
		return err
	}
	if t.broken {
		if _, err := t.f.Write([]byte{'\n'}); err != nil {
			return err
		}
		t.broken = false
		t.size++
	}
	return nil
}

func (t *target) reopen() error {
	if _, bad := parseRotated(t.path); bad {
		return fmt.Errorf("open %s: %w", t.path, errRotatedName)
	}
	if err := t.makeDir(filepath.Dir(t.path)); err != nil {
		return err
	}
	f, err := t.open(t.path, t.set.fileMode)
	if err != nil {
		return err
	}
	t.f, t.torn, t.broken = f, false, false
	if err := t.inspect(); err != nil {
		t.close()
		return err
	}
	return nil
}

// makeDir makes a directory with those above it. Where writes are synced, so is the name of each that is made.
func (t *target) makeDir(path string) error {
	if !t.set.sync {
		return os.MkdirAll(path, t.set.dirMode)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := t.makeDir(parent); err != nil {
		return err
	}
	// Where another target was faster, its sync may be still to come.
	if err := os.Mkdir(path, t.set.dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := t.syncDir(parent); err != nil {
		return errors.Join(err, os.Remove(path)) // to be made and synced again
	}
	return nil
}

// inspect learns what is in a file that was just opened.
func (t *target) inspect() (err error) {
	if t.info, err = t.f.Stat(); err != nil {
		return err
	}
	t.regular = t.info.Mode().IsRegular()
	t.size, t.born = 0, time.Now()
	if t.regular && t.info.Size() > 0 {
		t.size = t.info.Size()
		if t.born = birth(t.path); t.born.IsZero() {
			t.born = t.info.ModTime() // the best that is known
		}
		return t.findEnd()
	}
	if t.set.sync && t.regular {
		return t.syncDir(filepath.Dir(t.path))
	}
	return nil
}

// findEnd sees whether the last line has an end: a crash may have torn it.
func (t *target) findEnd() error {
	var last [1]byte
	if _, err := t.f.ReadAt(last[:], t.size-1); err != nil {
		return fmt.Errorf("read the end of %s: %w", t.path, err)
	}
	t.broken = last[0] != '\n'
	return nil
}

// fill writes records from index from on until there are no more, the file has had its size or its time, or there is an
// error. It answers how many count as written.
func (t *target) fill(ctx context.Context, b *render.Block, from int, pace *pacer) (int, error) {
	start, n := t.size, from
	var err error
	for err == nil {
		end := t.fits(b, n, pace.piece())
		if end == n {
			break
		}
		if err = pace.wait(ctx); err != nil {
			break
		}
		var wrote int
		wrote, err = t.write(b, n, end)
		pace.spend(b.Start(n+wrote) - b.Start(n))
		n += wrote
	}
	if unsettled := t.settle(start); unsettled != nil {
		return 0, errors.Join(err, unsettled)
	}
	return n - from, err
}

// fits is the end of the records from index from on that may be written at once, near piece bytes. It is from where there
// are no more or the file is to be rotated first.
func (t *target) fits(b *render.Block, from, piece int) int {
	rotate, start, end := &t.set.Rotate, b.Start(from), len(b.Ends)
	if from == end {
		return from
	}
	if piece < len(b.Bytes)-start {
		end = max(from+1, b.Whole(start+piece))
	}
	if !t.regular {
		return end
	}
	if rotate.Age > 0 && t.size > 0 && time.Since(t.born) >= rotate.Age {
		return from
	}
	if room := rotate.Size - t.size; rotate.Size > 0 && int64(len(b.Bytes)-start) > room {
		least := from
		if t.size == 0 {
			least++ // larger than any file may be: it gets one for itself
		}
		end = min(end, max(least, b.Whole(start+int(room))))
	}
	return end
}

// write writes the records from index from to end-1 in one call and answers how many of them are whole in the file.
func (t *target) write(b *render.Block, from, end int) (int, error) {
	start := b.Start(from)
	p := b.Bytes[start:b.Ends[end-1]]
	n, err := t.f.Write(p)
	if err == nil && n == len(p) {
		t.size += int64(n)
		return end - from, nil
	}
	if err == nil {
		err = io.ErrShortWrite
	}
	whole := b.Whole(start + n)
	good := b.Start(whole) - start
	t.size += int64(good)
	t.torn = t.regular
	t.broken = !t.regular && good < n
	_ = t.mend() // what cannot be cut off now is cut off before the next write
	return whole - from, fmt.Errorf("append to %s: %w", t.path, err)
}

// mend cuts off what does not count as written.
func (t *target) mend() error {
	if !t.torn {
		return nil
	}
	err := t.f.Truncate(t.size)
	if errors.Is(err, syscall.EPERM) { // an append-only file: all that can be done is to begin a line
		info, err := t.f.Stat()
		if err != nil {
			return err
		}
		t.size, t.torn = info.Size(), false
		return t.findEnd()
	}
	if err == nil {
		t.torn = false
	}
	return err
}

// settle makes what was written since the file had size start durable, where that is asked for. Where it fails nobody
// knows what of it is on disk, and a second fsync would not tell: it is cut off, to be written again.
func (t *target) settle(start int64) error {
	if !t.set.sync || !t.regular || t.size == start {
		return nil
	}
	err := t.f.Sync()
	if err == nil {
		return nil
	}
	t.size, t.torn = start, true
	_ = t.mend() // or before the next write
	return fmt.Errorf("sync %s: %w", t.path, err)
}

// close closes the file. What was written counts: there is nothing to be done about an error here.
func (t *target) close() {
	if t.f != nil {
		_ = t.f.Close()
		t.f = nil
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
