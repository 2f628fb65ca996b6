package config

import (
	"cmp"
	"fmt"

	"golang.org/x/sys/unix"
)

// free is statfs(2): blocks that users have who are not root. They are counted in fragments, where the file system has those: with
// FUSE a block is larger.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(cmp.Or(st.Frsize, st.Bsize)), nil //nolint:unconvert // with 32 bits they are int32
}
