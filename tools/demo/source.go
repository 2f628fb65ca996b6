package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"unicode/utf8"
)

// logs are where machines keep a log that anyone may read.
func logs() []string {
	return []string{
		"/var/log/dpkg.log", "/var/log/pacman.log", "/var/log/dnf.log", "/var/log/dnf.rpm.log", "/var/log/apk.log",
		"/var/log/apt/history.log", "/var/log/zypp/history", "/var/log/install.log", "/var/log/bootstrap.log",
	}
}

// writeSource writes whole lines of a log of this machine, repeated to about size bytes, and says whose and how many.
func writeSource(path string, size int) (from string, lines int, err error) {
	from, text := source()
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for written := 0; written < size; {
		for line := range bytes.Lines(text) {
			_, _ = w.Write(line) // Flush tells
			written += len(line)
			if lines++; written >= size {
				break
			}
		}
	}
	if err := w.Flush(); err != nil {
		return "", 0, err
	}
	return from, lines, f.Close()
}

// source is the first log that there is, or one made up where there is none.
func source() (name string, text []byte) {
	for _, name := range logs() {
		text, err := os.ReadFile(name)
		if err == nil && len(text) > 10_000 && utf8.Valid(text) {
			return name, append(bytes.TrimRight(text, "\n"), '\n')
		}
	}
	var made bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&made, "2026-01-01 00:%02d:%02d status installed package-%d:amd64 1.%d-%d\n", i/60%60, i%60, i%997, i%31, i%7)
	}
	return "a generated log", made.Bytes()
}
