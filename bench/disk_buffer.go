package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A bufferLog is the disk buffer with an output that keeps up.
type bufferLog struct {
	buffer  *disk.Buffer
	files   *countedFS
	streams []*engine.Stream // by producer
	stop    context.CancelFunc
	read    chan error // the reader's, when it has ended
}

// diskOutput is the one output's name.
const diskOutput = "nowhere"

// diskRoom is the buffer's room where it matters to nobody: the example's.
const diskRoom = 10 << 30

// diskMemory is what a gateway gives the buffer where it may have 16 GiB: a sixteenth. The output finds there what it is to have.
const diskMemory = 1 << 30

func openBufferLog(ctx context.Context, dir string, producers int) (*bufferLog, error) {
	l := &bufferLog{files: &countedFS{FS: seglog.OS()}, streams: diskStreams(producers), read: make(chan error, 1)}
	var cursor engine.Cursor
	var err error
	if l.buffer, cursor, err = openBuffer(disk.Options{Dir: dir, FS: l.files, Room: diskRoom, Memory: diskMemory}); err != nil {
		return nil, err
	}
	reading, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() { l.read <- keepUp(reading, cursor) }()
	if err := l.prime(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// prime has the buffer write to files that were used before, as it does once it has run for a while: producers that are slow
// would see nothing but its first file. Three segments are filled and freed, then the one after them, which is new as well.
func (l *bufferLog) prime(ctx context.Context) error {
	const perSegment, size = 64, 1 << 20
	safe, payload := make(chan struct{}, 1), make([]byte, size)
	for _, chunks := range []int{3*perSegment + 1, perSegment} {
		for range chunks {
			if err := l.append(0, payload, func() { safe <- struct{}{} }); err != nil {
				return err
			}
			select {
			case <-safe:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
	}
	return nil
}

// openBuffer opens a buffer for one output.
func openBuffer(o disk.Options) (*disk.Buffer, engine.Cursor, error) {
	buffer, err := disk.Open(o, []engine.BufferOutput{{Name: diskOutput}})
	if err != nil {
		return nil, nil, err
	}
	cursor, err := buffer.Cursor(diskOutput)
	if err != nil {
		return nil, nil, errors.Join(err, buffer.Close())
	}
	return buffer, cursor, nil
}

func diskStreams(n int) []*engine.Stream {
	streams := make([]*engine.Stream, n)
	for i := range streams {
		streams[i] = &engine.Stream{Tenant: "default", ID: fmt.Sprintf("producer-%d", i), Tag: "bench"}
	}
	return streams
}

func (l *bufferLog) append(producer int, payload []byte, safe func()) error {
	return appendChunk(l.buffer, l.streams[producer], payload, safe)
}

// appendChunk appends a payload as a chunk that is as long.
func appendChunk(buffer *disk.Buffer, stream *engine.Stream, payload []byte, safe func()) error {
	records := max(len(payload)/bodySize, 1)
	_, err := buffer.Append([]*engine.Chunk{{
		Stream: stream, Epoch: 1, First: 1, Last: uint64(records), Count: records,
		Outputs: engine.OutputSet(0).With(0), Data: payload, Arrived: time.Now(),
	}}, safe)
	return err
}

func (l *bufferLog) commits() int64 { return l.files.commits.Load() }

func (l *bufferLog) close() error {
	l.stop()
	return errors.Join(<-l.read, l.buffer.Close())
}

// keepUp reads and is done, as an output's loop does, until ctx ends.
func keepUp(ctx context.Context, cursor engine.Cursor) error {
	for {
		_, more, err := deliver(ctx, cursor)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-cursor.Wake():
		case <-ctx.Done():
			return nil
		}
	}
}

// deliverChunks is how many chunks make a batch.
const deliverChunks = 16

// deliver does what the engine does with a batch: it looks at all its chunks, puts them down, loads them when they fly, and is
// done with them at once. It gives their bytes, and whether there were any.
func deliver(ctx context.Context, cursor engine.Cursor) (bytes int64, found bool, err error) {
	parts := make([]engine.Part, 0, deliverChunks)
	for len(parts) < deliverChunks {
		part, chunk, ok := cursor.Next()
		if !ok {
			break
		}
		chunk.Release()
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return 0, false, nil
	}
	chunks := make([]*engine.Chunk, 0, deliverChunks)
	for _, part := range parts {
		chunk, err := cursor.Load(ctx, part.Pos)
		if err != nil {
			return 0, false, err
		}
		bytes += int64(len(chunk.Data))
		chunks = append(chunks, chunk)
	}
	for _, chunk := range chunks {
		chunk.Release()
	}
	return bytes, true, cursor.Done(parts)
}

// A countedFS counts commits: the syncs of a segment, but for those of its head and of its seal, which lie in its first two pages.
type countedFS struct {
	seglog.FS
	commits atomic.Int64
}

const segmentPages = 8192 // FORMAT.md

// Create implements [seglog.FS].
func (f *countedFS) Create(name string) (seglog.File, error) {
	file, err := f.FS.Create(name)
	if err != nil || !strings.Contains(name, ".seg") {
		return file, err
	}
	return &countedFile{File: file, commits: &f.commits}, nil
}

// A countedFile is a segment. One goroutine writes it at a time.
type countedFile struct {
	seglog.File
	commits *atomic.Int64
	pages   bool // one of the first two was written since the last sync
}

// WriteAt implements [io.WriterAt].
func (f *countedFile) WriteAt(b []byte, at int64) (int, error) {
	f.pages = f.pages || at < segmentPages
	return f.File.WriteAt(b, at)
}

// WriteVector implements [seglog.VectorWriter], as far as the file does.
func (f *countedFile) WriteVector(pieces [][]byte, at int64) error {
	f.pages = f.pages || at < segmentPages
	if v, ok := f.File.(seglog.VectorWriter); ok {
		return v.WriteVector(pieces, at)
	}
	for _, p := range pieces {
		if _, err := f.File.WriteAt(p, at); err != nil {
			return err
		}
		at += int64(len(p))
	}
	return nil
}

// Sync implements [seglog.File].
func (f *countedFile) Sync() error {
	if !f.pages {
		f.commits.Add(1)
	}
	f.pages = false
	return f.File.Sync()
}
