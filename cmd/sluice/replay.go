package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// replayOffline puts the chosen letters of a store into the disk buffer that lies in dir, for the gateway to deliver once it is
// started, and gives how many they were, also with an error. told is called with how many they are so far.
func replayOffline(
	ctx context.Context, dir string, store engine.LetterStore, f engine.LetterFilter, told func(n int64), log *slog.Logger,
) (n int64, err error) {
	buffer, names, err := openBuffer(dir, log)
	if errors.Is(err, seglog.ErrLocked) {
		return 0, fmt.Errorf("--dir %s: a gateway is using it; leave out --dir, and it is asked", dir)
	} else if err != nil {
		return 0, fmt.Errorf("--dir: %w", err)
	}
	defer func() { err = errors.Join(err, buffer.Close()) }()
	appendTo := func(_ context.Context, output string, c *engine.Chunk, safe func()) error {
		i := slices.Index(names, output)
		if i < 0 {
			return engine.ErrNoOutput
		}
		c.Outputs = c.Outputs.With(i)
		_, err := buffer.Append([]*engine.Chunk{c}, safe)
		return err
	}
	return engine.Replay(ctx, store, f, appendTo, told)
}

// leastSegment has room for the largest record that any config allows, with its resource.
const leastSegment = 256 << 20

// openBuffer opens a buffer that no gateway has, for the outputs that it knows.
func openBuffer(dir string, log *slog.Logger) (*disk.Buffer, []string, error) {
	found, err := disk.Inspect(nil, dir, false)
	if err != nil {
		return nil, nil, err
	}
	// No stream is forgotten: for how long they are remembered, and how many, the config says.
	options := disk.Options{Dir: dir, Log: log, StreamTTL: math.MaxInt64, Streams: math.MaxInt}
	for _, s := range found.Segments { // what the config says is not known here; those that ended early are shorter
		options.SegmentSize = max(options.SegmentSize, s.Size)
	}
	options.SegmentSize = max(options.SegmentSize, leastSegment)
	names := make([]string, len(found.Outputs))
	outputs := make([]engine.BufferOutput, len(found.Outputs))
	for i, o := range found.Outputs {
		names[i], outputs[i].Name = o.Name, o.Name
	}
	buffer, err := disk.Open(options, outputs)
	return buffer, names, err
}
