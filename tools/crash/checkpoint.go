package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lastCheckpoint is when the checkpoint in a buffer's directory was taken; zero: there is none. It is read as engine/disk/FORMAT.md
// says: a gateway that starts now goes on from there.
func lastCheckpoint(dir string) (time.Time, error) {
	content, err := os.ReadFile(filepath.Join(dir, "cursors"))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, err
	}
	line, body, _ := bytes.Cut(content, []byte("\n"))
	if string(line) != fmt.Sprintf("sluice cursors %08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))) {
		return time.Time{}, errors.New("cursors: its checksum is wrong")
	}
	var last struct{ Written time.Time }
	if err := json.Unmarshal(body, &last); err != nil {
		return time.Time{}, fmt.Errorf("cursors: %w", err)
	}
	return last.Written, nil
}
