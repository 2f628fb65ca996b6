package file

import (
	"time"

	"golang.org/x/sys/unix"
)

// birth is when the file at a path was made; zero where the file system does not keep that.
func birth(path string) time.Time {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &stat); err != nil || stat.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(stat.Btime.Sec, int64(stat.Btime.Nsec))
}
