package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// Lines come out as a plain split has them, whatever the input, the limit and the sizes of the reads.
func TestLineReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{
			"\n", "\r\n", "\r", "", "a", "bcd", string(bytes.Repeat([]byte("x"), 64<<10-1)), string(bytes.Repeat([]byte("y"), 70_000)),
		})).Draw(t, "pieces")
		limit := rapid.SampledFrom([]int{0, 1, 3, 64<<10 - 1, 64 << 10, 1 << 20}).Draw(t, "limit")
		input := []byte{}
		for _, p := range pieces {
			input = append(input, p...)
		}
		var source io.Reader = bytes.NewReader(input)
		if rapid.Bool().Draw(t, "in halves") {
			source = iotest.HalfReader(source)
		}

		var want [][]byte // nil: over the limit
		for text := range bytes.Lines(input) {
			line, ended := bytes.CutSuffix(text, []byte{'\n'})
			if ended {
				line = bytes.TrimSuffix(line, []byte{'\r'})
			}
			if len(line) > limit {
				line = nil
			} else {
				line = append([]byte{}, line...)
			}
			want = append(want, line)
		}

		var got [][]byte
		lines, total := newLineReader(source, limit), 0
		for {
			line, read, whole, err := lines.next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			total += read
			if !whole {
				got = append(got, nil)
				continue
			}
			got = append(got, append([]byte{}, line...))
		}
		same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
		if !slices.EqualFunc(want, got, same) || total != len(input) {
			t.Fatalf("%d lines of %d bytes, want %d of %d", len(got), total, len(want), len(input))
		}
		if cap(lines.line) > 2*(limit+64<<10) {
			t.Fatalf("holds %d bytes with a limit of %d", cap(lines.line), limit)
		}
	})
}

func TestLineReaderFails(t *testing.T) {
	broken := errors.New("broken")
	lines := newLineReader(io.MultiReader(bytes.NewReader([]byte("a\nb")), iotest.ErrReader(broken)), 10)
	if line, _, whole, err := lines.next(); string(line) != "a" || !whole || err != nil {
		t.Errorf("first %q, %v, %v", line, whole, err)
	}
	if _, _, _, err := lines.next(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
