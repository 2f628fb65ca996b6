package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/mem"
)

// runSize is how long the name of a run is. A numbered body begins with it, a space, and numberSize digits.
const runSize = 4

// numberedBody is a line of a web server's log, which gzip makes a fifth of.
func numberedBody(run string, number uint64, random *rand.Rand) string {
	line := fmt.Sprintf("%s %0*d INFO http request served method=GET path=/shop/%s/items/%d status=200 bytes=%d duration=%dus "+
		"client=10.%d.%d.%d trace=%016x span=%016x user=%08x agent=Mozilla/5.0 (X11; Linux x86_64) ", run, numberSize, number,
		[]string{"cart", "search", "checkout"}[random.IntN(3)], random.IntN(10_000), random.IntN(100_000), random.IntN(1_000_000),
		random.IntN(256), random.IntN(256), random.IntN(256), random.Uint64(), random.Uint64(), random.Uint32())
	return (line + strings.Repeat(".", bodySize))[:bodySize]
}

// readNumber reads run and number from a body: it is a cwfake.Sequence.
func readNumber(body string) (run string, number uint64, ok bool) {
	const end = runSize + 1 + numberSize
	if len(body) < end || body[runSize] != ' ' {
		return "", 0, false
	}
	for _, digit := range []byte(body[runSize+1 : end]) {
		if digit < '0' || digit > '9' {
			return "", 0, false
		}
		number = 10*number + uint64(digit-'0')
	}
	return body[:runSize], number, true
}

// A template is the records of one append, encoded. All appends are made of it. It is safe for concurrent use.
type template struct {
	records []byte

	// What follows is of numbered records, which are all of one size: where in each its time and its number lie.
	size, time, number int
	pool               mem.BufferPool
}

// template encodes the workload's records.
func (w workload) template() (*template, error) {
	records, err := w.records()
	if err != nil || w.Run == "" {
		return &template{records: records}, err
	}
	t := &template{
		records: records,
		size:    len(records) / w.Append,
		time:    bytes.Index(records, binary.LittleEndian.AppendUint64(nil, firstTime)),
		number:  bytes.Index(records, []byte(w.Run+" ")) + runSize + 1,
		pool:    mem.NewTieredBufferPool(len(records)),
	}
	if last := len(records) - t.size; t.time < 0 || !bytes.HasPrefix(records[last+t.number-runSize-1:], []byte(w.Run+" ")) {
		return nil, errors.New("records are not of one size")
	}
	return t, nil
}

// at gives the records of the append that begins with that number. Whoever gets them frees them.
func (t *template) at(first uint64) mem.Buffer {
	if t.size == 0 {
		return mem.SliceBuffer(t.records)
	}
	b := t.pool.Get(len(t.records))
	copy(*b, t.records)
	now := uint64(time.Now().UnixNano())
	for rest := *b; len(rest) > 0; rest = rest[t.size:] {
		binary.LittleEndian.PutUint64(rest[t.time:], now)
		putNumber(rest[t.number:t.number+numberSize], first)
		first++
	}
	return mem.NewBuffer(b, t.pool)
}

// putNumber writes a number with leading zeros over all of dst.
func putNumber(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// runName is the name of the n-th run.
func runName(n int) string { return fmt.Sprintf("%0*d", runSize, n) }
