//go:build !linux

package seglog

import "runtime"

// Allocate makes the file as long, which need not mean that there is space for it.
func (f osFile) Allocate(size int64) error { return f.Truncate(size) }

func (osFS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // it cannot, and needs not
		return nil
	}
	return syncDir(dir)
}
