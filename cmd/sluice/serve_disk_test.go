package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The start tells what it goes on with, in one line, and nothing where there is nothing.
func TestDiskStartTellsWhatIsThere(t *testing.T) {
	const n = 300
	a, b, dir := newHook(t), newHook(t), t.TempDir()
	a.will(isDown)
	b.will(isDown)
	yaml := onDisk(dir) + "outputs: [" + a.to("a") + ", " + b.to("b") + "]\n"
	m, said := startLogged(t, yaml)
	if strings.Contains(said.String(), "buffer recovered") {
		t.Errorf("of an empty directory it says:\n%s", said)
	}
	logs(t, m.Addr.String(), n)
	halt(t, m, time.Millisecond)

	m, said = startLogged(t, yaml)
	halt(t, m, time.Millisecond)
	if strings.Count(said.String(), "buffer recovered") != 1 {
		t.Fatalf("it says:\n%s", said)
	}
	_, line, _ := strings.Cut(said.String(), `msg="buffer recovered" `)
	line, _, _ = strings.Cut(line, "\n")
	for _, want := range []string{
		"dir=" + dir, " checkpoint=20", " chunks_behind_it=0", " segments=1", " stored=", " streams=1",
		fmt.Sprintf(" backlog.a.records=%d backlog.a.bytes=", n), fmt.Sprintf(" backlog.b.records=%d backlog.b.bytes=", n), " took=",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in: %s", want, line)
		}
	}
}

// What is kept for an output that is not configured any more is in the metrics, by its name, as long as it is kept.
func TestDiskAbsentOutputIsMeasured(t *testing.T) {
	const n = 100
	a, b, dir := newHook(t), newHook(t), t.TempDir()
	b.will(isDown)
	m := start(t, onDisk(dir)+"outputs: ["+a.to("a")+", "+b.to("b")+"]\n")
	logs(t, m.Addr.String(), n)
	halt(t, m, time.Millisecond)

	m = start(t, onDisk(dir)+"outputs: ["+a.to("a")+"]\n")
	if st := m.engine.Stats().Buffer; len(st.Absent) != 1 || st.Absent[0].Output != "b" || st.Absent[0].Records != n || st.Absent[0].Bytes == 0 {
		t.Errorf("%+v", st.Absent)
	}
	eventually(t, "the file is kept for b alone", func() bool { return m.engine.Stats().Buffer.AbsentStored > 0 })
	stop(t, m)

	m = start(t, onDisk(dir)+"outputs: ["+a.to("a")+", "+b.to("b")+"]\n")
	if st := m.engine.Stats().Buffer; len(st.Absent) > 0 {
		t.Errorf("where it is configured again: %+v", st.Absent)
	}
	b.will(nil)
	stop(t, m)
}

// A disk that is too small is told by check and by serve, and refused by neither.
func TestDiskTooSmall(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off")
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, "server: {listen: '127.0.0.1:0', admin: ''}\nbuffer: {type: disk, disk: {path: "+
		filepath.Join(dir, "buffer")+", storage: 1000000TiB}}\noutputs: [{name: n, type: 'null'}]\n")
	const want = "1000000TiB, and 1GiB of dead_letters.storage, are more than the file system of "
	if code, _, warned := command(t.Context(), nil, "check", file); code != exitOK || !strings.Contains(warned, ":2:") || !strings.Contains(warned, want) {
		t.Errorf("check: exit %d, warned %q", code, warned)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if code, _, said := command(ended, nil, "serve", "--config", file, "--log-format", "text"); code != exitOK ||
		!strings.Contains(said, "level=WARN msg=config") || !strings.Contains(said, want) {
		t.Errorf("serve: exit %d, said:\n%s", code, said)
	}
}
