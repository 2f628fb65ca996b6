package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A bareLog is what is left of a log that keeps nothing: all that waits goes into one write and one sync, over files that are
// there. What it writes cannot be read again: there are no lengths, no checksums, and no order of files.
type bareLog struct {
	files  []seglog.File
	size   int64 // of a file
	bell   chan struct{}
	done   chan error // the committer's, when it has ended
	number atomic.Int64

	mu    sync.Mutex // guards what follows
	queue []bareAppend
}

type bareAppend struct {
	payload []byte
	safe    func()
}

// The bounds are those of the buffer: of a file, and of what goes into one write. As many files take turns as are in use at a
// time, about: they and their pages are written once before it begins.
const (
	bareFiles    = 4
	bareFileSize = 64 << 20
	bareCommit   = 8 << 20
)

func openBareLog(dir string, size int64) (*bareLog, error) {
	l := &bareLog{size: size, bell: make(chan struct{}, 1), done: make(chan error, 1)}
	zeros := make([]byte, min(bareCommit, size))
	for i := range bareFiles {
		f, err := seglog.OS().Create(filepath.Join(dir, fmt.Sprintf("bare-%d", i)))
		if err != nil {
			return nil, errors.Join(err, l.closeFiles())
		}
		l.files = append(l.files, f)
		for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
			_, err = f.WriteAt(zeros, at)
		}
		if err := errors.Join(err, f.Sync()); err != nil {
			return nil, errors.Join(err, l.closeFiles())
		}
	}
	go func() { l.done <- l.run() }()
	return l, nil
}

func (l *bareLog) append(_ int, payload []byte, safe func()) error {
	l.mu.Lock()
	l.queue = append(l.queue, bareAppend{payload, safe})
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
	return nil
}

// run commits until the bell is closed. Nobody is told of what came after a write or a sync that failed.
func (l *bareLog) run() error {
	var pending []bareAppend
	var buffer []byte
	file, at := 0, int64(0)
	for {
		l.mu.Lock()
		pending, l.queue = append(pending, l.queue...), l.queue[:0]
		l.mu.Unlock()
		if len(pending) == 0 {
			if _, ok := <-l.bell; !ok {
				return nil
			}
			continue
		}
		n := 0
		for buffer = buffer[:0]; n < len(pending) && (n == 0 || len(buffer)+len(pending[n].payload) <= bareCommit); n++ {
			buffer = append(buffer, pending[n].payload...)
		}
		if at+int64(len(buffer)) > l.size {
			file, at = (file+1)%bareFiles, 0
		}
		if _, err := l.files[file].WriteAt(buffer, at); err != nil {
			return err
		}
		if err := l.files[file].Sync(); err != nil {
			return err
		}
		at += int64(len(buffer))
		l.number.Add(1)
		for _, a := range pending[:n] {
			a.safe()
		}
		pending = slices.Delete(pending, 0, n)
	}
}

func (l *bareLog) commits() int64 { return l.number.Load() }

func (l *bareLog) close() error {
	close(l.bell)
	return errors.Join(<-l.done, l.closeFiles())
}

func (l *bareLog) closeFiles() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
