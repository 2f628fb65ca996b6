package main

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// barStep is after how many bytes of input the bar may move, so that it costs nothing per line.
	barStep = 64 << 10
	// barLook is how often it is drawn.
	barLook = 100 * time.Millisecond
)

// A bar shows how much of the input is acked: what was read alone may still have to wait for a gateway that is down. One
// goroutine reads, another one draws.
type bar struct {
	bar *progressbar.ProgressBar

	mu    sync.Mutex // guards what follows
	at    mark       // how far reading came
	last  int64      // the bytes of the newest mark
	marks []mark     // on the way there, oldest first, those that are not acked
}

// A mark says how many records so many bytes of input became.
type mark struct {
	records uint64
	bytes   int64
}

func newBar(w io.Writer, size int64) *bar {
	return &bar{bar: progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionSetPredictTime(true),
	)}
}

// read counts bytes of input, and the record that they became.
func (b *bar) read(bytes int, record bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at.bytes += int64(bytes)
	if record {
		b.at.records++
	}
	if b.at.bytes-b.last >= barStep {
		b.marks, b.last = append(b.marks, b.at), b.at.bytes
	}
}

// show draws how far the first acked records of the input reach.
func (b *bar) show(acked uint64) {
	if bytes := b.reach(acked); bytes > 0 {
		_ = b.bar.Set64(bytes) // a terminal that is gone has no answer
	}
	b.draw()
}

// reach is how many bytes the first acked records of the input took, or 0 where that has not changed.
func (b *bar) reach(acked uint64) (bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.marks) > 0 && b.marks[0].records <= acked {
		bytes, b.marks = b.marks[0].bytes, b.marks[1:]
	}
	return bytes
}

func (b *bar) draw() { _ = b.bar.RenderBlank() }

func (b *bar) clear() { _ = b.bar.Clear() }
