package disk

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// A darkDisk does not give some pages, and tears what is written as the process is killed.
type darkDisk struct {
	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	pages map[string]map[int64]bool // by file, that are not given
	tears bool                      // one of the next writes of frames is the last, and half done
	halts bool                      // nothing is done any more
}

func (d *darkDisk) fault(op crashfs.Op) crashfs.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.halts:
		return crashfs.Fault{Err: crashfs.ErrKilled}
	case d.tears && op.Kind == crashfs.Write && strings.HasSuffix(op.Name, ".seg") && op.Offset >= 8192: // behind the heads
		if d.rng.IntN(2) == 0 {
			return crashfs.Fault{}
		}
		d.halts = true
		return crashfs.Fault{Err: crashfs.ErrKilled, Through: d.rng.IntN(max(1, int(op.Size)))}
	case op.Kind == crashfs.Read:
		for page := range d.pages[op.Name] {
			if op.Offset < (page+1)*4096 && page*4096 < op.Offset+op.Size {
				return crashfs.Fault{Err: syscall.EIO}
			}
		}
	}
	return crashfs.Fault{}
}

// darken has some pages of some segments not be given, and no others. It says which.
func (d *darkDisk) darken(files []string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pages = map[string]map[int64]bool{}
	var segments []string
	for _, f := range files {
		if strings.HasSuffix(f, ".seg") {
			segments = append(segments, f)
		}
	}
	if len(segments) == 0 {
		return "none"
	}
	for range 1 + d.rng.IntN(2) {
		name := segments[d.rng.IntN(len(segments))]
		if d.rng.IntN(2) == 0 { // the end of the log is of most interest
			name = segments[len(segments)-1]
		}
		if d.pages[name] == nil {
			d.pages[name] = map[int64]bool{}
		}
		for range 1 + d.rng.IntN(2) {
			page := int64(1 + d.rng.IntN(7))
			if page == 1 && d.rng.IntN(3) > 0 { // with a head
				page = 2
			}
			d.pages[name][page] = true
		}
	}
	return fmt.Sprint(d.pages)
}

// light has it give all.
func (d *darkDisk) light() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pages = nil
}

func (d *darkDisk) isDark() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages != nil
}

// tear has it tear one of the next writes, and do nothing from then on.
func (d *darkDisk) tear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tears = true
}

func (d *darkDisk) mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tears, d.halts = false, false
}
