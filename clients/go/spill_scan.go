package sluice

import (
	"errors"
	"fmt"
	"io"
)

// scanChunk is how much of a segment is read at once, if a run does not need more.
const scanChunk = 256 << 10

// A scanner reads the runs of a segment from one place to another. It passes over what is none: torn, gone bad, or void.
type scanner struct {
	src     io.ReaderAt
	salt    uint32
	at, end int64
	next    uint64 // no sequence below it comes any more
	below   uint64 // sequences from here on are void

	buf  []byte // what was read, beginning at from; its memory is used again
	from int64
}

// scan gives the next run, whose data lives until the next call; io.EOF at the end. After any other error it may be called
// again.
func (sc *scanner) scan() (run, error) {
	for {
		head, err := sc.peek(runHead)
		if err != nil {
			return run{}, err
		}
		r, ok := parseRun(head, sc.salt)
		if !ok || int64(r.size) > sc.end-sc.at-runHead {
			sc.at++
			continue
		}
		if r.end() > sc.below {
			sc.at = sc.end
			return run{}, io.EOF
		}
		b, err := sc.peek(runHead + r.size)
		if errors.Is(err, io.EOF) { // the file ends before it should
			continue
		}
		if err != nil {
			return run{}, err
		}
		sc.at += int64(len(b))
		if r.first >= sc.next && r.holds(b[runHead:], sc.salt) {
			sc.next = r.end()
			return r, nil
		}
	}
}

// peek gives the n bytes that come next; io.EOF if there are not as many.
func (sc *scanner) peek(n int) ([]byte, error) {
	if sc.end-sc.at < int64(n) {
		if n == runHead {
			sc.at = sc.end
		}
		return nil, io.EOF
	}
	off := sc.at - sc.from
	if off >= 0 && off+int64(n) <= int64(len(sc.buf)) {
		return sc.buf[off : off+int64(n)], nil
	}
	want := int(min(int64(max(n, scanChunk)), sc.end-sc.at))
	if cap(sc.buf) < want {
		sc.buf = make([]byte, 0, want)
	}
	got, err := sc.src.ReadAt(sc.buf[:want], sc.at)
	sc.from, sc.buf = sc.at, sc.buf[:got]
	if got >= n {
		return sc.buf[:n], nil
	}
	if errors.Is(err, io.EOF) {
		sc.end = sc.at + int64(got)
		return sc.peek(n)
	}
	sc.buf = sc.buf[:0]
	return nil, fmt.Errorf("read at %d: %w", sc.at, err)
}
