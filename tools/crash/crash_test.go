package main

import (
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// More of the short form, as in -crash.kills=100.
var kills = flag.Int("crash.kills", 10, "kills of TestKills")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The short form of the trials: a real gateway, killed at random moments.
func TestKills(t *testing.T) {
	set, _, err := parse([]string{"-binary", buildGateway(t), "-kills", fmt.Sprint(*kills), "-rate", "400", "-telling", "1s"})
	if err != nil {
		t.Fatal(err)
	}
	set.tell = t.Logf
	r, err := newTrial(set, "full-disk", t.TempDir()).run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range r.wrongs() {
		t.Error(wrong)
	}
	r.print(t.Output())
	if r.kills != *kills || r.starts != *kills+1 || r.logged == 0 || uint64(r.written-r.duplicates) != r.logged {
		t.Errorf("report %+v, seed %d", r, set.seed)
	}
}

// buildGateway builds it as make build does, without the race detector: the test is of a real one.
func buildGateway(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-trimpath", "-buildvcs=false", "-o", path, "./cmd/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, said)
	}
	return path
}

func TestLastCheckpoint(t *testing.T) {
	dir := t.TempDir()
	checkpoint := func(name string, number int, written time.Time) {
		t.Helper()
		body := fmt.Sprintf(`{"version":1,"number":%d,"written":%q}`, number, written.Format(time.RFC3339Nano))
		sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "sluice cursors %08x\n%s", sum, body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want time.Time) {
		t.Helper()
		if got, err := lastCheckpoint(dir); err != nil || !got.Equal(want) {
			t.Errorf("last checkpoint %s, %v, want %s", got, err, want)
		}
	}
	check(time.Time{})
	checkpoint("cursors", 9, at(1))
	check(at(1))
	checkpoint("cursors", 10, at(2))
	checkpoint("cursors.new", 11, at(3)) // it was being written
	check(at(2))
	if err := os.Truncate(filepath.Join(dir, "cursors"), 40); err != nil {
		t.Fatal(err)
	}
	if last, err := lastCheckpoint(dir); err == nil {
		t.Errorf("damaged: %s", last)
	}
}

// Every number has a body of its own, that is told from all others.
func TestBodies(t *testing.T) {
	b := newBodies()
	longest := 0
	for number := uint64(1); number <= 20_000; number++ {
		body := b.body("s", number)
		longest = max(longest, len(body))
		if got, ok := b.number("s", body); !ok || got != number {
			t.Fatalf("body %d reads as %d, %v", number, got, ok)
		}
		if _, ok := b.number("s", body[:len(body)-1]); ok {
			t.Fatalf("body %d reads although it is cut", number)
		}
		if _, ok := b.number("other", body); ok {
			t.Fatalf("body %d reads as another stream's", number)
		}
	}
	if longest < maxPadding/2 {
		t.Errorf("the longest body is of %d bytes", longest)
	}
}
