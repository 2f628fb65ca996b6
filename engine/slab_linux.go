//go:build !race

package engine

import (
	"os"
	"syscall"
)

// mapMemory gives n bytes that the garbage collector does not know of. They are never unmapped: a bug that reads what was
// given back reads zeros or other records, and does not fault.
func mapMemory(n int) []byte {
	if n < os.Getpagesize() {
		return make([]byte, n)
	}
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	return b
}

// coolMemory gives the pages of b back to the system, and reports whether b is worth keeping.
func coolMemory(b []byte) bool {
	return len(b) >= os.Getpagesize() && syscall.Madvise(b, syscall.MADV_DONTNEED) == nil
}
