package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// newDiskBuffer makes a directory with 100 chunks of 10 records each for the outputs a and b, and the buffer in it, which
// is open. a is done with all but the first chunk.
func newDiskBuffer(t *testing.T) (dir string, b *disk.Buffer) {
	t.Helper()
	dir = t.TempDir()
	b, err := disk.Open(disk.Options{Dir: dir, SegmentSize: 32 << 10}, []engine.BufferOutput{{Name: "a"}, {Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	var mint enginetest.Mint
	s := &engine.Stream{Tenant: "default", ID: "web-1", Tag: "nginx.access"}
	safe := make(chan struct{})
	for i := range uint64(100) {
		bodies := make([]string, 10)
		for j := range bodies {
			bodies[j] = fmt.Sprintf("record %d of chunk %d", j, i)
		}
		if _, err := b.Append([]*engine.Chunk{mint.Chunk(s, 10*i+1, 3, bodies...)}, func() { safe <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
		<-safe
	}
	c, err := b.Cursor("a")
	if err != nil {
		t.Fatal(err)
	}
	for {
		part, chunk, ok := c.Next()
		if !ok {
			return dir, b
		}
		chunk.Release()
		if chunk.First == 1 {
			continue
		}
		if err := c.Done([]engine.Part{part}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBufferCommands(t *testing.T) {
	dir, b := newDiskBuffer(t)
	for _, args := range [][]string{{"inspect", dir}, {"verify", dir}, {"forget", dir, "b"}} {
		code, out, said := command(t.Context(), nil, append([]string{"buffer"}, args...)...)
		if code != exitFailure || out != "" || !strings.Contains(said, dir+": a gateway is using it") {
			t.Errorf("%v of one that is open: exit %d, said %q, %q", args, code, out, said)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	code, out, said := command(t.Context(), nil, "buffer", "inspect", dir)
	if code != exitOK || said != "" {
		t.Errorf("inspect: exit %d, said %q", code, said)
	}
	for _, want := range []string{"\na       0   1       10 ", "\nb       1   100     1000 ", "default  web-1   nginx.access  ", "a, b\n", "; 3 segments of 96.0 KiB\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect: %q is not in\n%s", want, out)
		}
	}

	code, out, _ = command(t.Context(), nil, "buffer", "inspect", "--json", dir)
	var r bufferView
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || r.Verified || r.Outputs[1].Records != 1000 || len(r.Segments) != 3 {
		t.Errorf("inspect --json: exit %d, %v\n%s", code, err, out)
	}

	code, out, said = command(t.Context(), nil, "buffer", "verify", dir)
	if code != exitOK || said != "" || !strings.HasPrefix(out, dir+": good; read ") || !strings.HasSuffix(out, " KiB, 100 entries in 3 segments\n") {
		t.Errorf("verify: exit %d, said %q, %q", code, out, said)
	}

	code, out, said = command(t.Context(), nil, "buffer", "forget", dir, "c")
	if code != exitUsage || out != "" || !strings.Contains(said, `forget output "c": no such output: known are a, b`) {
		t.Errorf("forget c: exit %d, said %q, %q", code, out, said)
	}
	oldest := r.Outputs[1].Oldest
	loss := fmt.Sprintf("1000 records of %s, the oldest of %s", bytesText(r.Outputs[1].Bytes), timeText(oldest))
	code, out, said = command(t.Context(), strings.NewReader("yes\n"), "buffer", "forget", dir, "b")
	if want := fmt.Sprintf("%s: output b has yet to deliver %s. To forget it is to lose that.\nsluice: error: nothing was done: ", dir,
		loss); code != exitUsage || out != "" || oldest.IsZero() || !strings.HasPrefix(said, want) || !strings.HasSuffix(said, "--yes says that it is\n") {
		t.Errorf("forget b without a terminal: exit %d, %q, said %q", code, out, said)
	}
	code, out, said = command(t.Context(), nil, "buffer", "forget", "--yes", dir, "b")
	if want := fmt.Sprintf("%s: gave up output b with %s; 2 segments of 64.0 KiB will be freed\n", dir, loss); code != exitOK ||
		out != want || said != "" {
		t.Errorf("forget b: exit %d, said %q, %q, want %q", code, out, said, want)
	}
	code, out, _ = command(t.Context(), nil, "buffer", "verify", "--json", dir)
	r = bufferView{}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || !r.Verified || len(r.Outputs) != 1 || r.Read == 0 {
		t.Errorf("verify --json: exit %d, %v\n%s", code, err, out)
	}
}

// Damage is told with its place, and is a failure.
func TestBufferVerifyFindsDamage(t *testing.T) {
	dir, b := newDiskBuffer(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "00000000000000000001.seg")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[bytes.Index(content, []byte("record 5 of chunk 7"))] ^= 4
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, said := command(t.Context(), nil, "buffer", "verify", dir)
	if code != exitFailure || said != "" || !strings.HasPrefix(out, "damage: segment 1 at offset ") ||
		!strings.Contains(out, "its checksum is wrong, entries 8 to 8 are lost\n"+dir+": damaged; read ") {
		t.Errorf("exit %d, said %q, %q", code, out, said)
	}
	code, out, said = command(t.Context(), nil, "buffer", "verify", "--json", dir)
	var r bufferView
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFailure || said != "" || len(r.Damage) != 1 || r.Damage[0].From != 8 {
		t.Errorf("exit %d, said %q, %v\n%s", code, said, err, out)
	}
}

func TestBufferRefuses(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	write(t, file, "x")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"inspect", empty}, empty + ": there is no buffer in it"},
		{[]string{"verify", empty}, empty + ": there is no buffer in it"},
		{[]string{"forget", empty, "a"}, empty + ": there is no buffer in it"},
		{[]string{"inspect", filepath.Join(empty, "x")}, "x: there is no such directory"},
		{[]string{"verify", file}, file + ": not a directory"},
		{[]string{"forget", filepath.Join(empty, "x"), "a"}, "x: there is no such directory"},
		{[]string{"forget", empty}, `"<output>"`},
		{[]string{"inspect"}, `"<dir>"`},
		{[]string{}, "inspect"},
		{[]string{"bogus"}, "bogus"},
	} {
		code, out, said := command(t.Context(), nil, append([]string{"buffer"}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(said, c.want) {
			t.Errorf("%v: exit %d, said %q, %q", c.args, code, out, said)
		}
	}
}

// The tables are aligned, and what others named is on its line.
func TestBufferTables(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	r := &disk.Report{
		Checkpoint: 812, Written: at,
		Outputs: []disk.OutputReport{
			{Name: "aws", ID: 0, Chunks: 120, Records: 12000, Bytes: 3 << 20, Given: 3, Read: seglog.Place{LSN: 401}, Oldest: at, Segments: []uint64{1, 2}},
			{Name: "screen", ID: 12, Read: seglog.Place{LSN: 413}, Since: 413, Lost: 7},
			{Name: "new", ID: 1, Chunks: 12, Records: 1200, Bytes: 2 << 10, Read: seglog.Place{LSN: 401}, Since: 410, Oldest: at, Segments: []uint64{2}},
		},
		Streams: []disk.StreamReport{
			{Tenant: "default", ID: "web-1", Tag: "nginx.access", Epoch: 1767323045, Last: 12000, Seen: at, Needed: map[string]int64{"aws": 3 << 20}},
			{Tenant: "default", ID: "a\n\x1b[31mb", Tag: "", Seen: at},
		},
		Segments: []disk.SegmentReport{
			{Number: 1, First: 1, Next: 401, Entries: 400, Bytes: 63 << 20, Size: 64 << 20, Sealed: true},
			{Number: 2, First: 401, Next: 413, Entries: 12, Bytes: 1 << 20, Size: 64 << 20},
			{Number: 4, First: 420, Next: 420, Bytes: 8 << 10, Size: 64 << 20},
		},
		Idle:       []seglog.Kept{{Name: "x", Size: 64 << 20}, {Name: "y", Size: 64 << 20}},
		Quarantine: []seglog.Kept{{Name: "z", Size: 1 << 20}},
		Damage:     []disk.Damage{{Segment: 1, Offset: 8192, From: 1, To: 3, Reason: "its checksum is wrong"}},
		Cut:        []disk.Damage{{Segment: 4, Offset: 8192, From: 420, To: 421, Reason: "a commit was under way"}},
		Missing:    []disk.Damage{{Segment: 2, Offset: 1 << 20, From: 413, To: 420, Reason: "what follows it is not there"}},
		Read:       1 << 20,
	}
	const notes = `damage: segment 1 at offset 8192: its checksum is wrong, entries 1 to 2 are lost
damage: 7 records that output screen had not delivered are lost with their segment
note: segment 4 at offset 8192: a commit was under way, and will be cut
note: entries 413 to 419 are not there: no output that is behind needed them, or a segment is lost
`
	const tables = `OUTPUT  ID  CHUNKS  RECORDS  BYTES      GIVEN OUT  READS NEXT  OLDEST                SEGMENTS
aws     0   120     12000    3.0 MiB    3          401         2026-01-02T03:04:05Z  2
screen  12  0       0        0 B        0          413         -                     0
new     1   ≤ 12    ≤ 1200   ≤ 2.0 KiB  0          401         2026-01-02T03:04:05Z  1

TENANT   STREAM    TAG           STORED   EPOCH       LAST   SEEN
default  web-1     nginx.access  3.0 MiB  1767323045  12000  2026-01-02T03:04:05Z
default  a �[31mb  -             0 B      0           0      2026-01-02T03:04:05Z

SEGMENT  ENTRIES  FROM  TO   FILLED    SIZE      SEALED  DAMAGED  NEEDED BY
1        400      1     400  63.0 MiB  64.0 MiB  yes     yes      aws
2        12       401   412  1.0 MiB   64.0 MiB  no      no       aws, new
4        0        -     -    8.0 KiB   64.0 MiB  no      no       -

checkpoint 812 of 2026-01-02T03:04:05Z; 3 segments of 192.0 MiB, 2 files of 128.0 MiB for use again, 1 file of 1.0 MiB in quarantine
`
	var out bytes.Buffer
	printReport(&out, r)
	if got := out.String(); got != tables+notes {
		t.Errorf("printed\n%s\nwant\n%s", got, tables+notes)
	}
	out.Reset()
	printVerdict(&out, "/d", r)
	if got, want := out.String(), notes+"/d: damaged; read 1.0 MiB, 412 entries in 3 segments\n"; got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

// What the store of dead letters has yet to take is no output of the config, and is not shown as one.
func TestBufferShowsTheStore(t *testing.T) {
	r := bufferReport{Report: &disk.Report{
		Outputs: []disk.OutputReport{
			{Name: "dead-letters", ID: 1, Chunks: 1, Records: 2, Bytes: 1 << 10, Read: seglog.Place{LSN: 2}, Segments: []uint64{1}, Lost: 3},
			{Name: "hook", Read: seglog.Place{LSN: 2}},
		},
		Segments: []disk.SegmentReport{{Number: 1, First: 1, Next: 2, Entries: 1}},
	}}
	var out bytes.Buffer
	printReport(&out, r.Report)
	if got := out.String(); strings.Count(got, "dead-letters (store)") != 3 || strings.Count(got, "dead-letters") != 3 {
		t.Error(got)
	}
	out.Reset()
	if err := printJSON(&out, r.view()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Outputs []struct {
			Name  string
			Store bool
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || fmt.Sprint(got.Outputs) != "[{dead-letters true} {hook false}]" {
		t.Errorf("%v, %v in\n%s", got, err, &out)
	}
}

// Some readers of JSON keep no number over 2^53, and an epoch is nanoseconds.
func TestBufferEpochKeepsItsDigits(t *testing.T) {
	r := bufferReport{Report: &disk.Report{Streams: []disk.StreamReport{{ID: "s", Epoch: 1767323045123456789, Last: 7}}}}
	var out bytes.Buffer
	if err := printJSON(&out, r.view()); err != nil {
		t.Fatal(err)
	}
	var got struct{ Streams []map[string]any }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Streams[0]["epoch"] != "1767323045123456789" || got.Streams[0]["last"] != 7.0 {
		t.Errorf("%v in\n%s", err, &out)
	}
}

// A long list of streams is cut, and none is passed over in silence.
func TestBufferOfManyStreams(t *testing.T) {
	r := &disk.Report{}
	for i := range 25 {
		r.Streams = append(r.Streams, disk.StreamReport{ID: fmt.Sprint("s", i), Needed: map[string]int64{"a": 2 << 10, "b": 1 << 10}})
	}
	var out bytes.Buffer
	printReport(&out, r)
	if got := out.String(); strings.Count(got, "2.0 KiB") != 20 || !strings.Contains(got, "\nand 5 more streams with 10.0 KiB stored\n\n") {
		t.Error(got)
	}
}
