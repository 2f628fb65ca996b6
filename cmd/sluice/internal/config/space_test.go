package config

import (
	"os"
	"path/filepath"
	"testing"
)

// What the files of a buffer take is counted, wherever they lie in its directory; of one that there is not yet, the file system around
// it is looked at.
func TestSpaceOf(t *testing.T) {
	if _, err := free(t.TempDir()); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "lib", "sluice")
	s, err := SpaceOf(dir)
	if err != nil || s.Used != 0 || s.Free <= 0 {
		t.Errorf("before it is there: %+v, %v", s, err)
	}
	for i, name := range []string{"1.seg", "dead-letters/1.seg", "dead-letters/quarantine/1.seg", "a/b/c/not ours"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, 1000<<i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = SpaceOf(dir + "/"); err != nil || s.Used != 7000 || s.Free <= 0 {
		t.Errorf("with files: %+v, %v", s, err)
	}
	if s, err = SpaceOf(filepath.Join(dir, "1.seg", "buffer")); err == nil {
		t.Errorf("in a file: %+v", s)
	}
}
