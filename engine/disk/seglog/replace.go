package seglog

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// ReadFile reads a small file. It fails with fs.ErrNotExist where there is none.
func ReadFile(files FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}

// newSuffix is behind the name of a file that is to take the place of another.
const newSuffix = ".new"

// ReplaceFile gives a small file other content, which survives a crash once it has returned. Where it is interrupted the file has what
// it had, or what it was to have: a new one is written beside it, and takes its name once it is synced.
func ReplaceFile(files FS, name string, content []byte) error {
	f, err := files.Create(name + newSuffix)
	if err != nil {
		return fmt.Errorf("create %s: %w", name+newSuffix, err)
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name+newSuffix, err)
	}
	if err := files.Rename(name+newSuffix, name); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(name))
}
