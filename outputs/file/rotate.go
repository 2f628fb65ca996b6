package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
)

// rotate puts the file aside under the time.
func (t *target) rotate() error {
	aside := rotated{active: t.path, at: time.Now()}
	for taken(aside.path()) || taken(aside.path()+gzipSuffix) {
		aside.at = aside.at.Add(1) // a nanosecond
	}
	if err := os.Rename(t.path, aside.path()); err != nil {
		return err
	}
	t.close()
	return nil
}

func taken(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// tidy compresses what was rotated away from the paths of one directory, removes what is no longer kept, and finishes what
// a crash left. It may be repeated at any time; one goroutine calls it.
func (s *settings) tidy(ctx context.Context, dir string, paths map[string]bool) error {
	names, err := os.ReadDir(dir)
	if err = ignoreGone(err); err != nil {
		return fmt.Errorf("list rotated files: %w", err)
	}
	byPath := make(map[string][]rotated)
	for _, name := range names {
		if r, ok := parseRotated(filepath.Join(dir, name.Name())); ok && paths[r.active] {
			byPath[r.active] = append(byPath[r.active], r)
		}
	}
	var errs []error
	for _, files := range byPath {
		errs = append(errs, s.tidyOne(ctx, files))
	}
	return errors.Join(errs...)
}

// tidyOne is tidy for the files of one path.
func (s *settings) tidyOne(ctx context.Context, files []rotated) error {
	// The newest first; of one time the plain file, the compressed one, then the unfinished one.
	slices.SortFunc(files, func(a, b rotated) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.suffix, b.suffix))
	})
	var errs []error
	kept, last := 0, time.Time{}
	for _, r := range files {
		if !r.at.Equal(last) {
			kept, last = kept+1, r.at
		}
		keep := &s.Rotate
		tooMany := keep.Keep > 0 && kept > keep.Keep
		tooOld := keep.KeepFor > 0 && time.Since(r.at) > keep.KeepFor
		switch {
		case tooMany || tooOld || r.suffix == gzipSuffix+tempSuffix:
			errs = append(errs, ignoreGone(os.Remove(r.path())))
		case r.suffix == "" && keep.Gzip:
			errs = append(errs, s.compress(ctx, r.path()))
		}
	}
	return errors.Join(errs...)
}

// compress turns a file into a compressed one. Whenever it is cut off, one of the two is whole; an unfinished file is not
// taken for one that is.
func (s *settings) compress(ctx context.Context, path string) error {
	done, temp := path+gzipSuffix, path+gzipSuffix+tempSuffix
	if !taken(done) { // else only the original is left to be removed
		if err := s.writeGzip(ctx, temp, path); err != nil {
			return errors.Join(fmt.Errorf("compress %s: %w", path, err), ignoreGone(os.Remove(temp)))
		}
		if err := os.Rename(temp, done); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

func (s *settings) writeGzip(ctx context.Context, to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, s.fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z := gzip.NewWriter(out)
	z.Name = filepath.Base(from)
	if _, err := io.Copy(z, cancelReader{ctx, in}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}

// A cancelReader reads until ctx ends.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
