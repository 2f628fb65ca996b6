package disk

import (
	"errors"
	"path/filepath"
	"syscall"
)

// A disk that others have filled must not keep the buffer from giving up what nobody needs: that takes a checkpoint, which takes
// space. So some is kept in a file of its own, and given up for it.
const (
	reserveFile = "reserve"
	reserveSize = 4 << 20 // a checkpoint of 10,000 streams has less than 2 MiB
)

// keepReserve makes the file, where it is not there. Without space for it there is none for now.
func (b *Buffer) keepReserve() {
	if b.reserved {
		return
	}
	name := filepath.Join(b.Dir, reserveFile)
	f, err := b.FS.Create(name)
	if err != nil {
		return
	}
	if err = errors.Join(f.Allocate(reserveSize), f.Close()); err != nil {
		_ = b.FS.Remove(name) // it would be of no use
		return
	}
	b.reserved = true
}

// spendReserve gives the space up, if that is what was missing, and reports whether it did.
func (b *Buffer) spendReserve(err error) bool {
	if !b.reserved || !errors.Is(err, syscall.ENOSPC) {
		return false
	}
	b.reserved = false
	return b.FS.Remove(filepath.Join(b.Dir, reserveFile)) == nil
}
