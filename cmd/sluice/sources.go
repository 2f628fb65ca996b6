package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// sources are what send reads, one after the other.
type sources struct {
	all  []source
	size int64 // in bytes, of all together; -1: not known
}

type source struct {
	io.Reader
	name string
}

// openSources opens the files, or takes standard input where there are none.
func openSources(files []string, stdin io.Reader) (*sources, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	s := &sources{}
	for _, name := range files {
		if name == "-" {
			s.add(source{stdin, "stdin"})
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			s.close()
			return nil, &exitError{exitUsage, err}
		}
		s.add(source{f, name})
		if info, err := f.Stat(); err == nil && info.IsDir() {
			s.close()
			return nil, &exitError{exitUsage, fmt.Errorf("open %s: %w", name, errors.New("is a directory"))}
		}
	}
	return s, nil
}

// add appends a source and what it adds to the size. Only that of a regular file is known.
func (s *sources) add(from source) {
	s.all = append(s.all, from)
	f, ok := from.Reader.(*os.File)
	if !ok || s.size < 0 {
		s.size = -1
		return
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		s.size = -1
		return
	}
	s.size += info.Size()
}

// close closes the files; standard input is not ours.
func (s *sources) close() {
	for _, from := range s.all {
		if f, ok := from.Reader.(*os.File); ok && from.name != "stdin" {
			_ = f.Close() // it was only read
		}
	}
}
