package seglog_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A hooked file system calls a hook in front of every reading of a file.
type hooked struct {
	seglog.FS
	hook *func()
}

func (h hooked) Create(name string) (seglog.File, error) {
	f, err := h.FS.Create(name)
	return hookedFile{f, h.hook}, err
}

func (h hooked) Open(name string) (seglog.File, error) {
	f, err := h.FS.Open(name)
	return hookedFile{f, h.hook}, err
}

type hookedFile struct {
	seglog.File
	hook *func()
}

func (f hookedFile) ReadAt(p []byte, at int64) (int, error) {
	if hook := *f.hook; hook != nil {
		*f.hook = nil // once
		hook()
	}
	return f.File.ReadAt(p, at)
}

// inHooked runs a test with a log of three segments in which the hook is called when somebody reads.
func inHooked(t *testing.T, run func(t *trial, hook *func())) {
	inTrial(t, nil, func(t *trial) {
		t.stop()
		var hook func()
		o := t.options
		o.FS = hooked{t.fs, &hook}
		l, _, err := seglog.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Log = l
		t.fill(2*perSmall + 1)
		run(t, &hook)
	})
}

// Somebody who reads a segment as it is freed, and its file is used again, is told that it is gone, and not that it is damaged.
func TestFreedWhileRead(t *testing.T) {
	recycle := func(t *trial) func() {
		return func() {
			t.free(1)
			t.fill(2 * perSmall)
		}
	}
	inHooked(t, func(t *trial, hook *func()) {
		place := t.told[2].Place
		*hook = recycle(t)
		for range 2 {
			if _, err := t.read(place); !errors.Is(err, seglog.ErrGone) {
				t.Error(err)
			}
		}
	})
	inHooked(t, func(t *trial, hook *func()) {
		*hook = recycle(t)
		all, damage, _ := t.scan(t.told[2].Place, everyone)
		if got := ids(all); len(damage) > 0 || !slices.Equal(got, between(perSmall, t.appended)) {
			t.Errorf("found %v, damage %v", got, damage)
		}
	})
}

func TestClosedWhileRead(t *testing.T) {
	inHooked(t, func(t *trial, hook *func()) {
		*hook = t.stop
		if _, err := t.read(t.told[2].Place); !errors.Is(err, seglog.ErrClosed) {
			t.Error(err)
		}
	})
	inHooked(t, func(t *trial, hook *func()) {
		*hook = t.stop
		if _, ok, err := t.Next(t.Start(), 1<<everyone, nil); ok || !errors.Is(err, seglog.ErrClosed) {
			t.Error(ok, err)
		}
	})
}

// A place where another entry lies, or none, is damage.
func TestReadElsewhere(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3)
		right := t.told[1].Place
		for _, p := range []seglog.Place{
			{LSN: right.LSN + 1, Segment: 1, Offset: right.Offset}, {LSN: right.LSN, Segment: 1, Offset: right.Offset + 8},
			{LSN: right.LSN, Segment: 1}, {LSN: right.LSN, Segment: 1, Offset: -8}, {LSN: right.LSN, Segment: 1, Offset: 1 << 62},
		} {
			_, err := t.read(p)
			if d, ok := errors.AsType[*seglog.DamageError](err); !ok || d.Offset != p.Offset || d.From != p.LSN {
				t.Errorf("%v: %v", p, err)
			}
		}
		if _, err := t.read(seglog.Place{LSN: right.LSN, Segment: 2, Offset: right.Offset}); !errors.Is(err, seglog.ErrGone) {
			t.Error(err)
		}
	})
}

// Segments that have nothing for a reader are not read for it.
func TestNothingForAReader(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(5 * perSmall)
		reads := 0
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Read {
				reads++
			}
			return crashfs.Fault{}
		})
		if all, _, end := t.scan(t.Start(), 40); len(all) > 0 || end.LSN != t.End().LSN || reads > perSmall {
			t.Errorf("found %v, up to %v, with %d reads", all, end, reads)
		}
	})
}
