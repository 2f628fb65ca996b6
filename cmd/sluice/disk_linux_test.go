package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A real disk that is really full. Mounting one takes privileges; package e2e has the same case on a disk that is made to fail.
// Its producer is paused, nothing it was acked for is lost, and as soon as somebody makes room all goes on.
func TestDiskFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 18<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHook(t)
	h.will(isDown)
	m, said := startLogged(t, onDisk(filepath.Join(dir, "buffer"))+
		"limits: {stream: {memory: 256KiB}}\noutputs: ["+h.to("hook")+"]\n")
	client, stream := logTo(t, m.Addr.String())
	const n, size = 16_000, 1_000
	logged := make(chan error, 1)
	go func() {
		for i := range n {
			if err := stream.Log(t.Context(), fmt.Sprintf("%0*d", size, i+1)); err != nil {
				logged <- err
				return
			}
		}
		logged <- nil
	}()
	eventually(t, "the disk is full", func() bool {
		return strings.Contains(said.String(), "no space left on device") && stream.Stats().State == sluice.Paused
	})
	acked := stream.Stats().Acked
	if acked == 0 || acked > 14<<20/size {
		t.Errorf("%d records are acked on a disk that has room for 14 MiB", acked)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := <-logged; err != nil {
		t.Fatal(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept := halt(t, m, time.Millisecond); kept["hook"] != n {
		t.Errorf("kept %v", kept)
	}
	h.will(nil)
	m, _ = startLogged(t, onDisk(filepath.Join(dir, "buffer"))+"outputs: ["+h.to("hook")+"]\n")
	eventually(t, "all is delivered", func() bool { return len(h.lines()) >= n })
	stop(t, m)
	for i, l := range h.lines() {
		if want := fmt.Sprintf("%0*d", size, i+1); l.Body != want || l.Sequence != uint64(i+1) {
			t.Fatalf("record %d is %.20v, sequence %d", i+1, l.Body, l.Sequence)
		}
	}
	if len(h.lines()) != n || !strings.Contains(said.String(), "the disk buffer works again") {
		t.Errorf("%d records came; the log:\n%s", len(h.lines()), said)
	}
}
