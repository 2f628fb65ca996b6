package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

// snapshot is all that is in a directory, by name.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = "a directory"
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// diskOf makes a directory with a buffer in it that holds some records, and gives a config for it.
func diskOf(t *testing.T) (dir, yaml string) {
	t.Helper()
	h := newHook(t)
	h.will(isDown)
	dir = filepath.Join(t.TempDir(), "buffer")
	yaml = onDisk(dir) + "outputs: [" + h.to("hook") + "]\n"
	m := start(t, yaml)
	logs(t, m.Addr.String(), 100)
	if kept := halt(t, m, time.Millisecond); kept["hook"] != 100 {
		t.Fatalf("kept %v", kept)
	}
	return dir, yaml
}

// A directory that the gateway cannot have is refused at the start, in one line that names it and says why, and nothing in it is
// changed.
func TestDiskWrongDirectory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off")
	patch := func(t *testing.T, dir, pattern string, change func([]byte) []byte) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			write(t, name, string(change(content)))
		}
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T) (dir, yaml string)
		want  []string
	}{
		"a file": {func(t *testing.T) (string, string) {
			dir := filepath.Join(t.TempDir(), "buffer")
			write(t, dir, "x")
			return dir, onDisk(dir) + "outputs: [{name: n, type: 'null'}]\n"
		}, []string{"not a directory"}},
		"in a file": {func(t *testing.T) (string, string) {
			file := filepath.Join(t.TempDir(), "file")
			write(t, file, "x")
			return file, onDisk(filepath.Join(file, "buffer")) + "outputs: [{name: n, type: 'null'}]\n"
		}, []string{"not a directory"}},
		"segments of a newer version": {func(t *testing.T) (string, string) {
			dir, yaml := diskOf(t)
			patch(t, dir, "*.seg", func(b []byte) []byte {
				b[8] = 9
				binary.LittleEndian.PutUint32(b[48:], checksum(b[:48]))
				return b
			})
			return dir, yaml
		}, []string{".seg", "version", "9"}},
		"segments of a newer version, and no store": {func(t *testing.T) (string, string) {
			dir, yaml := diskOf(t)
			patch(t, dir, "*.seg", func(b []byte) []byte {
				b[8] = 9
				binary.LittleEndian.PutUint32(b[48:], checksum(b[:48]))
				return b
			})
			if err := os.RemoveAll(filepath.Join(dir, config.StoreName)); err != nil {
				t.Fatal(err)
			}
			return dir, yaml
		}, []string{".seg", "version", "9"}},
		"cursors of a newer version": {func(t *testing.T) (string, string) {
			dir, yaml := diskOf(t)
			patch(t, dir, "cursors*", func(b []byte) []byte {
				_, body, _ := strings.Cut(string(b), "\n")
				body = strings.Replace(body, `"version":1`, `"version":9`, 1)
				return fmt.Appendf(nil, "sluice cursors %08x\n%s", checksum([]byte(body)), body)
			})
			return dir, yaml
		}, []string{"cursors", "version", "9"}},
		"of another gateway": {func(t *testing.T) (string, string) {
			dir, yaml := diskOf(t)
			m := start(t, yaml)
			t.Cleanup(func() { halt(t, m, time.Millisecond) })
			return dir, yaml
		}, []string{"another"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, yaml := c.spoil(t)
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			write(t, file, "server: {listen: '127.0.0.1:0', admin: ''}\n"+yaml)
			before := snapshot(t, dir)
			code, _, said := command(t.Context(), nil, "serve", "--config", file)
			if code != exitFailure || strings.Count(said, "\n") != 1 {
				t.Errorf("exit %d, said %q", code, said)
			}
			for _, want := range append(c.want, dir) {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in %q", want, said)
				}
			}
			after := snapshot(t, dir)
			for name := range after {
				if before[name] != after[name] {
					t.Errorf("%s was changed", name)
				}
			}
			if len(after) != len(before) {
				t.Errorf("%d files became %d", len(before), len(after))
			}
		})
	}
}
