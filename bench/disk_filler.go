package main

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A fillOrder says how large a log a filler makes.
type fillOrder struct {
	Dir   string `json:"dir"`
	Chunk int    `json:"chunk"` // bytes
	Bytes int64  `json:"bytes"` // of its files
}

// A fillAnswer says what is in the log.
type fillAnswer struct {
	Seconds float64 `json:"seconds"`
	Chunks  int64   `json:"chunks"`
	Bytes   int64   `json:"bytes"` // of payload
}

// fillers append at a time. What they may have under way is what the last segment of a log is not filled with.
const fillers = 8

// beFiller is the filler's process: it fills a log whose one output never reads, and stays until it is killed.
func beFiller(text string) error {
	var order fillOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	buffer, _, err := openBuffer(disk.Options{Dir: order.Dir, Room: 2 * order.Bytes, Sync: seglog.SyncNever})
	if err != nil {
		return err
	}
	answer, err := fillUp(buffer, order)
	if err != nil {
		return errors.Join(err, buffer.Close())
	}
	if err := reply(answer); err != nil {
		return err
	}
	return errors.Join(dismissed(), buffer.Close())
}

// fillUp appends until the log's files are as large as they should be, and the last of them is about full: who opens it has as much
// to read as there can be.
func fillUp(buffer *disk.Buffer, order fillOrder) (fillAnswer, error) {
	streams, bytes, full := diskStreams(fillers), payloads(order.Chunk, fillers), order.Bytes-2*fillers*int64(order.Chunk)
	appended, errs := make([]int64, fillers), make([]error, fillers)
	start := time.Now()
	var running sync.WaitGroup
	for i := range fillers {
		running.Go(func() {
			safe := make(chan struct{}, 1)
			for used, _ := buffer.Storage(); used < full; used, _ = buffer.Storage() {
				if errs[i] = appendChunk(buffer, streams[i], bytes[i], func() { safe <- struct{}{} }); errs[i] != nil {
					return
				}
				<-safe
				appended[i]++
			}
		})
	}
	running.Wait()
	answer := fillAnswer{Seconds: time.Since(start).Seconds()}
	for _, n := range appended {
		answer.Chunks += n
	}
	answer.Bytes = answer.Chunks * int64(order.Chunk)
	return answer, errors.Join(errs...)
}
