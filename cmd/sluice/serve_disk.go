package main

import (
	"log/slog"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
)

// openDisk opens the disk buffer and says what was in it.
func openDisk(o disk.Options, outputs []engine.BufferOutput) (engine.Buffer, error) {
	start := time.Now()
	buffer, err := disk.Open(o, outputs)
	if err != nil {
		return nil, err
	}
	found := buffer.Found()
	if found.Unsynced > 0 {
		o.Log.Warn("the machine stopped before all was synced: what came last may be lost", "dir", o.Dir, "chunks", found.Unsynced)
	}
	if !found.Empty() {
		describeFound(o.Log.With("dir", o.Dir), found, time.Since(start))
	}
	return buffer, nil
}

// describeFound says in a line what a buffer goes on with. Chunks behind the checkpoint tell of a crash: after a stop there are none.
func describeFound(log *slog.Logger, found *disk.Summary, took time.Duration) {
	if !found.Checkpoint.IsZero() {
		log = log.With("checkpoint", found.Checkpoint, "chunks_behind_it", found.Behind)
	}
	backlog := make([]any, len(found.Outputs))
	for i, o := range found.Outputs {
		backlog[i] = slog.Group(o.Output, "records", o.Records, "bytes", o.Bytes)
	}
	log.Info("buffer recovered", "segments", found.Segments, "stored", found.Stored, "streams", found.Streams,
		slog.Group("backlog", backlog...), "took", took.Round(time.Millisecond).String())
}
