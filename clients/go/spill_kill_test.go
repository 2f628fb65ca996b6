package sluice_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// spillEnv names the spill of a process that the test below starts, and kills.
const spillEnv = "SLUICE_TEST_SPILL"

// A process is killed as it logs, with nobody to send to. The next one finds all that Log returned for.
func TestSpillOutlivesItsProcess(t *testing.T) {
	if dir := os.Getenv(spillEnv); dir != "" {
		logForEver(t, dir)
		return
	}
	dir := t.TempDir()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), spillEnv+"="+dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	logged := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if logged, err = strconv.Atoi(lines.Text()); err != nil {
			t.Errorf("the process says %q", lines.Text())
		}
		if logged == 2000 {
			_ = process.Process.Kill()
		}
	}
	_ = process.Wait() // it was killed

	g := newGateway(t)
	s, err := newClient(t, g).Stream(t.Context(), sluice.StreamOptions{ID: "s", Tag: "test", Spill: &sluice.SpillOptions{Path: dir}})
	if err != nil {
		t.Fatal(err)
	}
	log(t, s, -1, -1)
	closeClean(t, s)
	taken, dup := g.taken("s")
	n := len(taken) - 1
	if n < logged || n > logged+1 || logged < 2000 || dup != 0 || taken[n] != "-1" {
		t.Fatalf("%d were logged; %d taken, %d twice", logged, n, dup)
	}
	for i, r := range taken[:n] {
		if r != strconv.Itoa(i+1) {
			t.Fatalf("%s is number %d", r, i+1)
		}
	}
}

// logForEver says what it has logged.
func logForEver(t *testing.T, dir string) {
	client, err := sluice.New("passthrough:///127.0.0.1:0", sluice.WithPlaintext())
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.Stream(context.Background(), sluice.StreamOptions{
		ID: "s", Tag: "test", QueueRecords: 100, Spill: &sluice.SpillOptions{Path: dir, MaxBytes: 64 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; ; i++ {
		if err := s.Log(context.Background(), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Println(i); err != nil {
			t.Fatal(err) // nobody reads
		}
	}
}
