package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// spoil changes a byte of the record with that sequence where it lies on the disk.
func (r *restarting) spoil(sequence uint64) {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.options.Dir, "*.seg"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			r.t.Fatal(err)
		}
		at := bytes.Index(content, fmt.Appendf(nil, "record %d", sequence))
		if at < 0 {
			continue
		}
		content[at] ^= 1
		if err := os.WriteFile(name, content, 0o600); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	r.t.Fatalf("record %d is not on the disk", sequence)
}

// What is damaged is lost, and counted: its chunk, and no other. The outputs go on behind it, and the segment is kept apart.
func TestDamagedChunk(t *testing.T) {
	r := newRestarting(t, "a", "b")
	for range 4 {
		r.append(100, 0, 1) // 1, 101, 201, 301
	}
	r.close()
	r.spoil(142)
	r.open()
	for i, output := range r.outputs {
		at := r.wantRead(output, 1, 201, 301)
		r.wantBacklog(output, 3, 300)
		for _, p := range at {
			r.done(output, p, 0, 100)
		}
		r.wantBacklog(output, 0, 0)
		if lost := int64(100 * (i + 1)); lostBy(r.Buffer) != lost {
			t.Errorf("%d records are lost, want %d", lostBy(r.Buffer), lost)
		}
	}
	r.restart()
	r.append(1, 0) // in a segment of its own, or the newest would be kept
	r.wantRead("a", 401)
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if kept, _ := filepath.Glob(filepath.Join(r.options.Dir, "quarantine", "*.seg")); len(kept) != 1 {
		t.Errorf("kept apart: %v", kept)
	}
	r.close()
}

// A chunk may be damaged after it was given out.
func TestDamagedWhereItIsLoaded(t *testing.T) {
	r := newRestarting(t, "a")
	r.options.Memory = 1
	r.restart()
	r.append(10, 0)
	r.append(10, 0)
	at := r.wantRead("a", 1, 11)
	r.spoil(3)
	c, err := r.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(t.Context(), at[1].Pos); !errors.Is(err, engine.ErrLost) {
		t.Errorf("load: %v, want ErrLost", err)
	}
	chunk, err := c.Load(t.Context(), at[11].Pos)
	if err != nil {
		t.Fatal(err)
	}
	chunk.Release()
	r.close()
}

// Behind a chunk that is not done nothing piles up in memory.
func TestParkedChunkKeepsNothingElse(t *testing.T) {
	r := newRestarting(t, "a")
	r.options.Sync, r.options.SegmentSize = seglog.SyncNever, 8<<20
	r.restart()
	r.append(1, 0)
	r.wantRead("a", 1)
	for range 2 * maxRecent {
		first := r.next
		r.append(1, 0)
		r.done("a", r.wantRead("a", first)[first], 0, 1)
	}
	if n := len(r.recent.queue); n > maxRecent+1 {
		t.Errorf("%d entries are kept", n)
	}
	c, err := r.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	if b := c.Backlog(); b.Chunks != 1 {
		t.Errorf("backlog %+v", b)
	}
	r.close()
}

// The room that is in use is told, and what is done makes it free.
func TestStorage(t *testing.T) {
	r := newRestarting(t, "a")
	r.options.Room, r.options.SegmentSize = 1<<20, 64<<10
	r.restart()
	var firsts []uint64
	for used, limit := r.Storage(); used < limit; used, limit = r.Storage() {
		if limit != 1<<20-64<<10 {
			t.Fatalf("%d of %d bytes", used, limit)
		}
		firsts = append(firsts, r.next)
		r.append(100, 0)
	}
	at := r.wantRead("a", firsts...)
	for _, first := range firsts {
		r.done("a", at[first], 0, 100)
	}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if used, _ := r.Storage(); used > 128<<10 {
		t.Errorf("%d bytes are in use when all is done", used)
	}
	r.close()
}

// lostBy is how many records all cursors lost.
func lostBy(b *Buffer) (lost int64) {
	for _, c := range b.cursors {
		lost += c.Lost()
	}
	return lost
}

// A segment that is gone is told of where somebody needed it; one that nobody needs any more is nobody's business, whatever is older.
func TestSegmentIsGone(t *testing.T) {
	for name, steal := range map[string]bool{"needed": true, "not needed": false} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			r := newRestarting(t, "a", "b")
			r.append(50, 0) // stays at the front of the log
			for range 100 {
				r.append(50, 1)
			}
			r.append(50, 0)
			if steal {
				r.close()
				names, err := filepath.Glob(filepath.Join(r.options.Dir, "*.seg"))
				if err != nil || len(names) < 3 {
					t.Fatalf("segments %s, %v", names, err)
				}
				if err := os.Remove(names[1]); err != nil {
					t.Fatal(err)
				}
			} else {
				_, at := r.read("b")
				for _, p := range at {
					r.done("b", p, 0, 50)
				}
				r.close()
			}
			r.options.Log = slog.New(slog.NewTextHandler(&log, nil))
			r.open()
			if told := strings.Contains(log.String(), "a segment that outputs still needed is gone"); told != steal {
				t.Errorf("told of it: %t\n%s", told, &log)
			}
			if !steal && strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("damage where there is none:\n%s", &log)
			}
			r.wantRead("a", 1, 5051)
			r.close()
		})
	}
}

// What an output that is not configured any more still needs is told at the start.
func TestAbsentOutputIsTold(t *testing.T) {
	var log strings.Builder
	r := newRestarting(t, "a", "b")
	r.append(50, 0, 1)
	r.outputs, r.options.Log = []string{"a"}, slog.New(slog.NewTextHandler(&log, nil))
	r.restart()
	if !strings.Contains(log.String(), "sluice buffer forget") || !strings.Contains(log.String(), "output=b records=50") {
		t.Errorf("log:\n%s", &log)
	}
	r.close()
}
