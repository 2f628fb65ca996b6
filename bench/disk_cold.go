package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// readCold is readFiles when nothing is in the system's memory, and leaves nothing there. The first time does not count: a disk
// may have a memory of its own, or its host.
func readCold(dir string, bytes int64) (rate float64, err error) {
	for range 2 {
		if err := chill(dir); err != nil {
			return 0, err
		}
		if rate, err = readFiles(dir, bytes); err != nil {
			return 0, err
		}
	}
	return rate, chill(dir)
}

// segmentFiles are a log's segments, the oldest first.
func segmentFiles(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*.seg"))
}

// readFiles reads so many bytes of a log's files, one piece after the other, and gives the MB a second.
func readFiles(dir string, bytes int64) (rate float64, err error) {
	names, err := segmentFiles(dir)
	if err != nil {
		return 0, err
	}
	piece, total, start := make([]byte, 1<<20), int64(0), time.Now()
	for _, name := range names {
		if total >= bytes {
			break
		}
		n, err := readFile(name, piece)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return float64(total) / time.Since(start).Seconds() / 1e6, nil
}

func readFile(name string, piece []byte) (total int64, err error) {
	f, err := seglog.OS().Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	for total < size {
		n, err := f.ReadAt(piece[:min(int64(len(piece)), size-total)], total)
		if err != nil {
			return 0, err
		}
		total += int64(n)
	}
	return total, nil
}

// chill has the system forget what it keeps in memory of a log's files, as if the machine had been started anew.
func chill(dir string) error {
	names, err := segmentFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := chillFile(name); err != nil {
			return fmt.Errorf("chill %s: %w", name, err)
		}
	}
	return nil
}

func chillFile(name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil { // what is not on the disk is kept
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
