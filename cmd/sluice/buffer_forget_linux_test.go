package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal gives both ends of a terminal: whoever types, and what reads it.
func openTerminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return keys, tty
}

// At a terminal forget asks, and takes yes for an answer.
func TestForgetAsks(t *testing.T) {
	dir, b := newDiskBuffer(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed     string
		code      int
		out, said string
	}{
		{"y\n", exitFailure, "", "Type yes to go on: sluice: error: nothing was done: the answer was not yes\n"},
		{"\n", exitFailure, "", "the answer was not yes\n"},
		{"\x04", exitFailure, "", "the answer was not yes\n"}, // the end of the input
		{"yes\n", exitOK, dir + ": gave up output b with 1000 records of ", "Type yes to go on: "},
		{"yes\n", exitUsage, "", `forget output "b": no such output: known are a` + "\n"},
	} {
		keys, tty := openTerminal(t)
		if _, err := keys.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		code, out, said := command(t.Context(), tty, "buffer", "forget", dir, "b")
		if code != c.code || !strings.HasPrefix(out, c.out) || c.out == "" && out != "" || !strings.HasSuffix(said, c.said) {
			t.Errorf("%q: exit %d, %q, said %q", c.typed, code, out, said)
		}
	}
}
