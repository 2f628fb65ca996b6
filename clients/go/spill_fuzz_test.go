package sluice

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// fuzzed is a segment, the same each time.
func fuzzed(t testing.TB, epoch, first uint64, runs ...[]string) []byte {
	t.Helper()
	b, err := appendHead(nil, &sluicev1.Open{StreamId: "s", Tag: "t", Epoch: epoch, FirstSequence: first}, 0x5a17)
	if err != nil {
		t.Fatal(err)
	}
	for _, records := range runs {
		at := len(b)
		b = append(b, make([]byte, runHead)...)
		for _, r := range records {
			b = appendField(b, []byte(r))
		}
		sealRun(b[at:], 0x5a17, first, len(records))
		first += uint64(len(records))
	}
	return b
}

// Whatever is in a spill's files, it is opened or refused, each record comes once and in order, and the spill is of use.
func FuzzSegments(f *testing.F) {
	one := fuzzed(f, 7, 1, []string{"a", "bb"}, []string{strings.Repeat("c", 300)}, []string{"d"})
	two := fuzzed(f, 7, 5, []string{"e"}, []string{"f", "g"})
	f.Add(one, two, []byte{})
	f.Add(one[:len(one)-1], two, []byte{})
	f.Add(two, one, []byte(markMagic))
	f.Add(one, one, make([]byte, markSlot+markBytes))
	f.Add(append(bytes.Clone(one), one...), fuzzed(f, 6, 1, []string{"older"}), []byte{})
	f.Add(bytes.Replace(one, []byte(segmentMagic), []byte("sluicesp"), 1), fuzzed(f, 7, 9, []string{"after a gap"}), []byte{})
	f.Fuzz(func(t *testing.T, first, second, mark []byte) {
		d := crashfs.New()
		d.Put(segmentName(spillDir, 1), first)
		d.Put(segmentName(spillDir, 2), second)
		d.Put(spillDir+"/"+markName, mark)
		sp, err := openSpill(spillOptions(d))
		if err != nil {
			return // of another version, or another stream
		}
		if err := sp.release(); err != nil {
			t.Fatal(err)
		}
		s := unrun(t, d)
		readAll(t, s)
		var life *life
		var next uint64
		for _, b := range s.queue.blocks {
			if b.life != life {
				life, next = b.life, 0
			}
			if b.first < next || b.count == 0 {
				t.Fatalf("block %+v, and %d was next", b, next)
			}
			next = b.end()
		}
		leave(t, s)

		s = unrun(t, d)
		put(t, s, []string{"new", "records"})
		want := len(readAll(t, s))
		leave(t, s)
		if got, _ := reread(t, d); len(got) != want || !strings.HasSuffix(got[want-2], ":1:new") || !strings.HasSuffix(got[want-1], ":2:records") {
			t.Fatalf("reread %q, want %d", got, want)
		}
	})
}

// A run whose checksums are right is read if it holds the records that its head says, and nothing else.
func FuzzRun(f *testing.F) {
	f.Add([]byte("\x12\x01a\x12\x02bb"), 2, uint64(1))
	f.Add([]byte("\x12\x01a\x12\x02bb"), 3, uint64(1))
	f.Add([]byte("\x12\x7fa"), 1, uint64(1))
	f.Add([]byte("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1, uint64(maxSequence))
	f.Add([]byte("\x0a\x01a"), 1, uint64(0))
	f.Fuzz(func(t *testing.T, records []byte, count int, first uint64) {
		b := append(make([]byte, runHead), records...)
		sealRun(b, 1, first, int(uint32(count)))
		sc := scanner{src: bytes.NewReader(b), salt: 1, end: int64(len(b)), below: maxSequence}
		r, err := sc.scan()
		if err != nil {
			return
		}
		n := 0
		for data := r.data; len(data) > 0; data = data[fieldSize(data):] {
			n++
		}
		if n != r.count || !bytes.Equal(r.data, records) || r.first != first {
			t.Errorf("read %+v of %q", r, records)
		}
	})
}
