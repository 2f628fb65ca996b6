package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Space is what a directory's file system has, in bytes.
type Space struct {
	Free int64 // for the user that this process runs as
	Used int64 // by the files that are in the directory
}

// spaceDepth is how far below its directory a buffer has files: in the store of dead letters, in quarantine.
const spaceDepth = 2

// SpaceOf looks at the file system of a buffer's directory or, where there is none yet, at that in which it would be made. It fails
// where it may not look into the directory, and on systems where it does not know how.
func SpaceOf(dir string) (s Space, err error) {
	dir = filepath.Clean(dir)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // there is no directory, or somebody just removed a file
			return nil
		case err != nil && path != dir: // that is nothing of the buffer's, such as lost+found
			return fs.SkipDir
		case err != nil:
			return err
		case d.IsDir() && strings.Count(path[len(dir):], string(filepath.Separator)) > spaceDepth:
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		if info, err := d.Info(); err == nil { // it may be gone by now
			s.Used += info.Size()
		}
		return nil
	})
	if err != nil {
		return Space{}, err
	}
	s.Free, err = free(existing(dir))
	return s, err
}

// existing is the directory, or the nearest one around it that is there.
func existing(dir string) string {
	for {
		_, err := os.Stat(dir)
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return dir
		}
		dir = parent
	}
}
