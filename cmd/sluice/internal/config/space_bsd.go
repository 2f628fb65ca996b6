//go:build darwin || freebsd

package config

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// free is statfs(2): blocks that users have who are not root.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
