package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

func TestMountOf(t *testing.T) {
	t.Parallel()
	const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw
31 22 254:16 / /data rw - xfs /dev/vdb rw
32 22 254:32 / /data rw master:7 - btrfs /dev/vdc rw
33 22 254:48 / /with\040space rw - ext4 /dev/vdd rw
what is no mount
`
	for path, want := range map[string]string{
		"/":             "ext4 /dev/vda",
		"/home/x":       "ext4 /dev/vda",
		"/tmp":          "tmpfs tmpfs",
		"/tmp/x":        "tmpfs tmpfs",
		"/tmpfile":      "ext4 /dev/vda", // not under /tmp
		"/data/log":     "btrfs /dev/vdc",
		"/with space/x": "ext4 /dev/vdd",
	} {
		if kind, device := mountOf(mounts, path); kind+" "+device != want {
			t.Errorf("%s: %s %s, want %s", path, kind, device, want)
		}
	}
	if kind, _ := mountOf("", "/"); kind != "" {
		t.Errorf("of no mounts: %s", kind)
	}
}

func TestWrittenBytesAreOfFiles(t *testing.T) {
	before, err := writtenBytes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "f"), make([]byte, 1<<20), 0o640); err != nil {
		t.Fatal(err)
	}
	after, err := writtenBytes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < 1<<20 {
		t.Errorf("a file of a MiB took %d bytes", after-before)
	}
}

func TestCommitsAreCounted(t *testing.T) {
	t.Parallel()
	const appends, size, file = 50, 64 << 10, 1 << 20 // more than two files: heads and seals are no commits
	files := &countedFS{FS: seglog.OS()}
	buffer, _, err := openBuffer(disk.Options{Dir: t.TempDir(), FS: files, SegmentSize: file, Checkpoint: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := openBareLog(t.TempDir(), file)
	if err != nil {
		t.Fatal(err)
	}
	for name, log := range map[string]diskLog{
		logBuffer: &bufferLog{buffer: buffer, files: files, streams: diskStreams(1)}, logBare: bare,
	} {
		safe, payload := make(chan struct{}), make([]byte, size)
		for range appends {
			if err := log.append(0, payload, func() { safe <- struct{}{} }); err != nil {
				t.Fatal(err)
			}
			<-safe // so that none waits with another
		}
		if n := log.commits(); n != appends {
			t.Errorf("%s: %d commits, want %d", name, n, appends)
		}
	}
	if err := buffer.Close(); err != nil {
		t.Error(err)
	}
	if n := files.commits.Load(); n != appends {
		t.Errorf("%d commits when it is closed, want %d", n, appends)
	}
	if err := bare.close(); err != nil {
		t.Error(err)
	}
}

func TestBareLogWritesAllThatWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := openBareLog(dir, 64)
	if err != nil {
		t.Fatal(err)
	}
	safe, going, hold := make(chan struct{}, 8), make(chan struct{}), make(chan struct{})
	add := func(payload string, told func()) {
		if err := log.append(0, []byte(payload), told); err != nil {
			t.Fatal(err)
		}
	}
	add("first.", func() { close(going); <-hold })
	<-going // the committer is held up while the others come
	for range 8 {
		add("another.", func() { safe <- struct{}{} })
	}
	close(hold)
	for range 8 {
		<-safe
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	if n := log.commits(); n != 2 {
		t.Errorf("%d commits, want 2", n)
	}
	for name, want := range map[string]string{"bare-0": "first.", "bare-1": strings.Repeat("another.", 8)} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != 64 || strings.TrimRight(string(b), "\x00") != want {
			t.Errorf("%s: %q, want %q", name, b, want)
		}
	}
}

func TestDeliverIsDoneWithAll(t *testing.T) {
	t.Parallel()
	buffer, cursor, err := openBuffer(disk.Options{Dir: t.TempDir(), Memory: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	const appends, size = 3*deliverChunks + 1, 8 << 10
	stream, safe := diskStreams(1)[0], make(chan struct{}, appends)
	for range appends {
		if err := appendChunk(buffer, stream, make([]byte, size), func() { safe <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
	}
	for range appends {
		<-safe
	}
	var bytes int64
	for more := true; more; {
		var n int64
		if n, more, err = deliver(t.Context(), cursor); err != nil {
			t.Fatal(err)
		}
		bytes += n
	}
	if bytes != appends*size || cursor.Backlog().Chunks != 0 {
		t.Errorf("%d bytes, want %d; %+v is left", bytes, appends*size, cursor.Backlog())
	}
	if err := buffer.Close(); err != nil {
		t.Error(err)
	}
}

func TestFillUpFillsTheLastSegment(t *testing.T) {
	t.Parallel()
	order := fillOrder{Dir: t.TempDir(), Chunk: 1 << 10, Bytes: 1 << 20}
	segment := order.Bytes / 4
	buffer, cursor, err := openBuffer(disk.Options{Dir: order.Dir, Room: 2 * order.Bytes, SegmentSize: segment, Sync: seglog.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := fillUp(buffer, order)
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(cursor.Backlog().Chunks); n != answer.Chunks || answer.Bytes != n*int64(order.Chunk) {
		t.Errorf("%+v, and %d chunks are in it", answer, n)
	}
	names, err := segmentFiles(order.Dir)
	if err != nil || int64(len(names)) != order.Bytes/segment {
		t.Errorf("segments %v (%v), want %d", names, err, order.Bytes/segment)
	}
	if used, _ := buffer.Storage(); used > order.Bytes || used < order.Bytes-segment/10 {
		t.Errorf("%d of %d bytes are used", used, order.Bytes)
	}
	if err := buffer.Close(); err != nil {
		t.Error(err)
	}
}
