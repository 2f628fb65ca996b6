package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A diskResult is all that was measured on one file system.
type diskResult struct {
	FileSystem string        `json:"file_system"` // its type
	Device     string        `json:"device"`
	Append     []appendRow   `json:"append"`
	ThroughIt  []throughRow  `json:"through_it"`
	Recovery   []recoveryRow `json:"recovery"`
}

// The roles of the processes that it is measured with.
const (
	roleAppend  = "append"
	roleFill    = "fill"
	roleRecover = "recover"
)

// disk measures all that is of the disk buffer.
func (b bench) disk(ctx context.Context) (*diskResult, error) {
	r := &diskResult{}
	var err error
	if r.FileSystem, r.Device, err = fileSystem(b.dir); err != nil {
		return nil, err
	}
	if r.FileSystem == "tmpfs" || r.FileSystem == "ramfs" {
		return nil, fmt.Errorf("%s is memory (%s), where a sync costs nothing: choose another directory with -dir", b.dir, r.FileSystem)
	}
	progress("disk: %s on %s", r.FileSystem, r.Device)
	if r.Append, err = b.appends(ctx); err != nil {
		return nil, err
	}
	if r.ThroughIt, err = b.throughDisk(ctx); err != nil {
		return nil, err
	}
	r.Recovery, err = b.recoveries(ctx)
	return r, err
}

// buildJetStream builds the baseline that is a module of its own. It answers why that does not go.
func (b bench) buildJetStream(ctx context.Context) (path, problem string) {
	path = filepath.Join(b.dir, "bench-jetstream")
	build := exec.CommandContext(ctx, "go", "build", "-C", "bench/jetstream", "-buildvcs=false", "-o", path, ".")
	if text, err := build.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(string(text), "\n")
		return "", "not built: " + cmp.Or(first, err.Error())
	}
	return path, ""
}

// diskDir makes a directory for a log, and a function that removes it with all that is in it.
func (b bench) diskDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp(b.dir, "disk-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// fileSystem gives the type and the device of the file system that a directory is in.
func fileSystem(dir string) (kind, device string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	kind, device = mountOf(string(mounts), dir)
	if kind == "" {
		return "", "", errors.New("the directory is in no file system that is mounted")
	}
	return kind, device, nil
}

// mountOf finds it in the text of mountinfo, see proc_pid_mountinfo(5): the longest mount point that the path is under, and of
// several of one name the last, which hides the others.
func mountOf(mounts, path string) (kind, device string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		mount, source := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(source) < 2 {
			continue
		}
		point := unescapeMount(mount[4])
		if under := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/"); under && len(point) >= longest {
			longest, kind, device = len(point), source[0], source[1]
		}
	}
	return kind, device
}

// unescapeMount undoes how mountinfo writes what would end a field.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// freeSpace is how many bytes the file system of a directory has left for us.
func freeSpace(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("space of %s: %w", dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}
