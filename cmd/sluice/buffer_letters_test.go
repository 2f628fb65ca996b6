package main

import (
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
)

// What is said of a buffer's directory is said of the dead letters in it, too.
func TestBufferWithDeadLetters(t *testing.T) {
	dir := t.TempDir()
	b, err := disk.Open(disk.Options{Dir: dir, SegmentSize: 64 << 10}, []engine.BufferOutput{{Name: "aws"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := letterStore(t, dir, fourLetters()...).Close(); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"inspect", "verify"} {
		if code, out, said := command(t.Context(), nil, "buffer", what, dir); code != exitOK || !strings.Contains(out, "store of dead letters: 4 letters, ") {
			t.Errorf("%s: exit %d\n%s%s", what, code, out, said)
		}
	}
	damageLetter(t, dir)
	code, out, said := command(t.Context(), nil, "buffer", "verify", dir)
	if code != exitFailure || !strings.Contains(out, "damage: dead letters: segment 1 at offset 8192") {
		t.Errorf("damaged: exit %d\n%s%s", code, out, said)
	}
}
