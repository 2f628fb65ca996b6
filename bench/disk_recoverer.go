package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
)

// A recoverOrder says which log is to be opened.
type recoverOrder struct {
	Dir string `json:"dir"`
}

// A recoverStep is to open the log, or to read so many bytes.
type recoverStep struct {
	Read int64 `json:"read"`
}

// A recoverAnswer says what a step did.
type recoverAnswer struct {
	Seconds float64 `json:"seconds"`
	Backlog int64   `json:"backlog"` // chunks, before it
	Bytes   int64   `json:"bytes"`   // that were read
}

// beRecoverer is the process that opens a log that another left. It says that it is ready, and then takes one step after the other.
func beRecoverer(ctx context.Context, text string) (err error) {
	var order recoverOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	if err := reply(true); err != nil {
		return err
	}
	var buffer *disk.Buffer
	var cursor engine.Cursor
	defer func() {
		if buffer != nil {
			err = errors.Join(err, buffer.Close())
		}
	}()
	return obey(func(step recoverStep) (a recoverAnswer, err error) {
		start := time.Now()
		if buffer == nil {
			if buffer, cursor, err = openBuffer(disk.Options{Dir: order.Dir}); err != nil {
				return a, err
			}
			a.Seconds, a.Backlog = time.Since(start).Seconds(), int64(cursor.Backlog().Chunks)
			return a, nil
		}
		a.Backlog = int64(cursor.Backlog().Chunks)
		for more := true; a.Bytes < step.Read && more; {
			var n int64
			if n, more, err = deliver(ctx, cursor); err != nil {
				return a, err
			}
			a.Bytes += n
		}
		a.Seconds = time.Since(start).Seconds()
		return a, nil
	})
}
