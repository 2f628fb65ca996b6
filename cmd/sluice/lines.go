package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A lineReader cuts input into lines. A line ends at \n, or at \r\n; the last one needs no end. It holds no more than max
// bytes of a line.
type lineReader struct {
	r    *bufio.Reader
	max  int
	line []byte // of one that did not fit into r's buffer
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), max: limit}
}

// next gives the next line without its end, valid until the call after, and how many bytes were read for it. Of a line over
// max it gives nothing, and whole is false. After the last line the error is io.EOF.
func (l *lineReader) next() (line []byte, read int, whole bool, err error) {
	l.line, whole = l.line[:0], true
	for {
		part, err := l.r.ReadSlice('\n')
		read += len(part)
		if err == nil && len(l.line) == 0 && whole { // nearly always
			line = trimEnd(part)
			return l.fit(line, read, whole)
		}
		if whole = whole && len(l.line)+len(part) <= l.max+len("\r\n"); whole {
			l.line = append(l.line, part...)
		} else {
			l.line = l.line[:0]
		}
		switch {
		case err == nil:
			return l.fit(trimEnd(l.line), read, whole)
		case errors.Is(err, io.EOF) && read > 0:
			return l.fit(l.line, read, whole)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, read, false, err
		}
	}
}

func (l *lineReader) fit(line []byte, read int, whole bool) ([]byte, int, bool, error) {
	if !whole || len(line) > l.max {
		return nil, read, false, nil
	}
	return line, read, true, nil
}

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
}
