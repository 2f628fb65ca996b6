package seglog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// openFuzzed opens a log whose appends are waited for.
func openFuzzed(t testing.TB, d *crashfs.FS) (*seglog.Log, chan *seglog.Entry) {
	committed := make(chan *seglog.Entry, 100)
	l, _, err := seglog.Open(seglog.Options{FS: d, Dir: dir, SegmentSize: small, Committed: func(es []*seglog.Entry) {
		for _, e := range es {
			committed <- e
		}
	}})
	if err != nil {
		if strings.Contains(err.Error(), "unknown version of the format") {
			return nil, nil
		}
		t.Fatal(err)
	}
	return l, committed
}

func closeFuzzed(t testing.TB, l *seglog.Log) {
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// fuzzSpecimen gives the files of a log of three segments, the last of which was not closed.
func fuzzSpecimen(t testing.TB) *crashfs.FS {
	d := crashfs.New()
	l, committed := openFuzzed(t, d)
	for i := range 20 {
		if err := l.Append(entry(2*i, 30+i), entry(2*i+1, 600)); err != nil {
			t.Fatal(err)
		}
		<-committed
		<-committed
	}
	killed := d.Kill()
	_ = l.Close()
	return killed
}

// exercise opens a log of these files, whatever is in them, reads all of it, and uses it.
func exercise(t *testing.T, files map[string][]byte) {
	d := crashfs.New()
	for name, content := range files {
		d.Put(name, content)
	}
	l, committed := openFuzzed(t, d)
	if l == nil {
		return
	}
	first := readFuzzed(t, l)
	e := entry(1000, 500)
	if err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	<-committed
	if e.Place.LSN != first.LSN {
		t.Fatalf("appended at %v, the log ended at %v", e.Place, first)
	}
	for range 2 {
		step, ok, err := l.Next(seglog.Place{LSN: e.Place.LSN}, 1<<everyone, func(d seglog.Damage) { t.Error(d) })
		if !ok || err != nil || step.Place != e.Place || step.Label != e.Label {
			t.Fatalf("%+v, %v, %v; appended at %v", step, ok, err, e.Place)
		}
		if b, err := l.Read(step.Place, func(n int) []byte { return make([]byte, n) }); err != nil || idOf(b) != 1000 {
			t.Fatal(err)
		}
		closeFuzzed(t, l)
		if l, _ = openFuzzed(t, d); l == nil {
			t.Fatal("it cannot be opened any more")
		}
	}
	readFuzzed(t, l)
	for _, s := range l.Segments() {
		if err := l.Free(s.Number); err != nil {
			t.Fatal(err)
		}
	}
	closeFuzzed(t, l)
}

// readFuzzed reads all that there is for some readers, and gives the end.
func readFuzzed(t *testing.T, l *seglog.Log) seglog.Place {
	for _, reader := range []int{0, 1, 40, everyone} {
		for p := l.Start(); ; {
			step, ok, err := l.Next(p, 1<<reader, func(seglog.Damage) {})
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if step.After.LSN < l.End().LSN {
					t.Fatalf("reader %d ends at %v, the log at %v", reader, step.After, l.End())
				}
				break
			}
			if step.LSN < p.LSN || step.After.LSN != step.LSN+1 {
				t.Fatalf("from %v on: %+v", p, step)
			}
			var damage *seglog.DamageError
			if _, err := l.Read(step.Place, func(n int) []byte { return make([]byte, n) }); err != nil && !errors.As(err, &damage) {
				t.Fatal(err)
			}
			p = step.After
		}
	}
	return l.End()
}

// repair puts the right checksums into a segment, so that a fuzzer gets behind them: of heads and seal, and of frames.
func repair(b []byte, heads, headers, payloads bool) {
	le := binary.LittleEndian
	if heads && len(b) >= frames {
		sum(b, 48)
		sum(b[copyOffset:], 48)
		sum(b[sealOffset:], 44)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for at := frames; at+frameBytes <= len(b); at += 8 {
		f := b[at:]
		if !bytes.Equal(f[8:16], b[24:32]) {
			continue
		}
		if length := int(le.Uint32(f[4:])); payloads && length <= len(f)-frameBytes {
			le.PutUint32(f[48:], crc32.Checksum(f[frameBytes:frameBytes+length], castagnoli))
		}
		if headers {
			le.PutUint32(f, crc32.Checksum(f[4:frameBytes], castagnoli))
		}
	}
}

// A log opens whatever is in a segment, and works.
func FuzzSegment(f *testing.F) {
	d := fuzzSpecimen(f)
	for number := range 3 {
		f.Add(d.Content(segment(number + 1))[:12<<10], byte(0))
		f.Add(d.Content(segment(number+1)), byte(7))
	}
	f.Add([]byte(nil), byte(0))
	f.Fuzz(func(t *testing.T, content []byte, repaired byte) {
		content = bytes.Clone(content[:min(len(content), 4*small)])
		repair(content, repaired&1 > 0, repaired&2 > 0, repaired&4 > 0)
		exercise(t, map[string][]byte{segment(1): content})
	})
}

// A log opens, whatever happens to its files, and works. An edit is 8 bytes: which segment, what, where, and with what.
func FuzzEdits(f *testing.F) {
	d := fuzzSpecimen(f)
	edit := func(number, what byte, at uint16, with uint32) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16([]byte{number, what}, at), with)
	}
	f.Add(edit(0, 0, 8192+4, 1<<31), byte(7))                                                   // a frame's length
	f.Add(edit(1, 1, 8192+16, 1000), byte(7))                                                   // an LSN
	f.Add(append(edit(0, 2, 9000, 64), edit(2, 3, 100, 0)...), byte(0))                         // zeros, and a file cut short
	f.Add(append(edit(0, 0, 4112, 1<<20), edit(1, 0, 32, 1)...), byte(1))                       // a seal and a head that lie
	f.Add(append(edit(2, 0, 8192+24, 9), edit(1, 4, 8192, 3<<16|600)...), byte(2))              // a commit's number, and a frame moved
	f.Add(append(edit(0, 5, 0, 0), append(edit(1, 5, 0, 1), edit(1, 0, 40, 1)...)...), byte(1)) // files swapped, and gone
	f.Fuzz(func(t *testing.T, edits []byte, repaired byte) {
		var segments [3][]byte
		for i := range segments {
			segments[i] = d.Content(segment(i + 1))
		}
		for ; len(edits) >= 8; edits = edits[8:] {
			apply(&segments, edits[:8])
		}
		files := map[string][]byte{}
		for i, b := range segments {
			if b != nil {
				repair(b, repaired&1 > 0, repaired&2 > 0, repaired&4 > 0)
				files[segment(i+1)] = b
			}
		}
		exercise(t, files)
	})
}

// apply does an edit.
func apply(segments *[3][]byte, edit []byte) {
	s := &segments[edit[0]%3]
	at, with := int(binary.LittleEndian.Uint16(edit[2:])), binary.LittleEndian.Uint32(edit[4:])
	rest := (*s)[min(at, len(*s)):]
	switch edit[1] % 6 {
	case 0:
		if len(rest) >= 4 {
			binary.LittleEndian.PutUint32(rest, with)
		}
	case 1:
		if len(rest) > 0 {
			rest[0] += byte(with)
		}
	case 2:
		clear(rest[:min(len(rest), int(with))])
	case 3:
		*s = (*s)[:len(*s)-len(rest)]
	case 4:
		copy(rest, (*s)[min(len(*s), int(with>>16)&^7):][:min(int(with&0xffff), len(*s)-min(len(*s), int(with>>16)&^7))])
	case 5:
		other := &segments[with%3]
		*s, *other = *other, *s
		if with&8 > 0 {
			*s = nil
		}
	}
}
