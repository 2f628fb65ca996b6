package seglog_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Whatever byte goes bad, Verify tells where, and what it costs; nothing is changed.
func TestVerifyFindsFlippedBytes(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for seed := range uint64(400) {
			t.Run(fmt.Sprintf("closed %v, %d", closed, seed), func(t *testing.T) { s.testVerify(t, rngOf(seed)) })
		}
	}
}

func (s *specimen) testVerify(t *testing.T, rng *rand.Rand) {
	id := rng.IntN(len(s.entries))
	number, from, to := s.frame(id)
	bad := map[string][]byte{segment(int(number)): slices.Clone(s.files[segment(int(number))])}
	bad[segment(int(number))][from+rng.Int64N(to-from)] ^= 1 << rng.IntN(8)
	disk := s.put()
	for name, content := range bad {
		disk.Put(name, content)
	}
	i := inspect(t, disk, true)
	damage := i.Damage()
	if slices.Contains(s.last(), id) && !s.sealed { // it cannot be told from one that was under way
		if len(damage) > 0 || len(i.Recovery.Cut) != 1 || i.Recovery.Cut[0].Segment != number || i.Recovery.Cut[0].Offset > from {
			t.Errorf("damage %v, cut %v", damage, i.Recovery.Cut)
		}
	} else if len(damage) != 1 || damage[0].Segment != number || damage[0].Offset != from || len(i.Recovery.Cut) > 0 ||
		damage[0].From != s.entries[id].LSN || damage[0].To != damage[0].From+1 {
		t.Errorf("entry %v: damage %v, cut %v", s.entries[id], damage, i.Recovery.Cut)
	}
	var ofSegments []seglog.Damage
	for _, s := range i.Segments() {
		ofSegments = append(ofSegments, s.Damage...)
	}
	if !slices.Equal(ofSegments, damage) {
		t.Errorf("damage %v, of the segments %v", damage, ofSegments)
	}
	s.try(t, bad, func(t *trial) { t.wantSameAsOpened(i) })
}

// put gives a disk with the specimen's files.
func (s *specimen) put() *crashfs.FS {
	disk := crashfs.New()
	for name, content := range s.files {
		disk.Put(name, content)
	}
	return disk
}

// What is good is told to be.
func TestVerifyOfWhatIsGood(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		s.try(t, nil, func(t *trial) {
			t.stop()
			if i := inspect(t.T, t.fs, true); len(i.Damage()) > 0 {
				t.Errorf("%v", i.Damage())
			}
			t.open()
		})
	}
}

// Heads, seals and indexes are looked at without reading the rest.
func TestInspectFindsFlippedBytesOfHeadsAndSeals(t *testing.T) {
	s := newSpecimen(t, true)
	index := s.end(1) // of segment 1
	for name, c := range map[string]struct {
		from, to int64
		at       int64
		reason   string
	}{
		"head":  {0, headBytes, 0, "a head of the segment is damaged"},
		"copy":  {copyOffset, copyOffset + headBytes, copyOffset, "a head of the segment is damaged"},
		"seal":  {sealOffset, sealOffset + sealBytes, sealOffset, "its seal is damaged"},
		"index": {index, index + frameBytes + 4*25, index, "its index is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			for offset := c.from; offset < c.to; offset++ {
				disk := s.put()
				disk.Flip(segment(1), offset, 1<<(offset%8))
				for _, verify := range []bool{false, true} {
					want := []seglog.Damage{{Segment: 1, Offset: c.at, Reason: c.reason}}
					if got := inspect(t, disk, verify).Damage(); !slices.Equal(got, want) {
						t.Errorf("offset %d: %v, want %v", offset, got, want)
					}
				}
			}
		})
	}
}

// end is where the frames of a segment end.
func (s *specimen) end(number uint64) (end int64) {
	for id := range s.entries {
		if n, _, to := s.frame(id); n == number {
			end = (to + 7) &^ 7
		}
	}
	return end
}

// An index whose checksum is right may say what is not so.
func TestVerifyFindsAWrongIndex(t *testing.T) {
	s := newSpecimen(t, true)
	name, at := segment(1), s.end(1)
	content := slices.Clone(s.files[name])
	length := int64(binary.LittleEndian.Uint32(content[at+4:]))
	sum := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	payload := content[at+frameBytes : at+frameBytes+length]
	binary.LittleEndian.PutUint64(payload[9:], binary.LittleEndian.Uint64(payload[9:])+1) // records of the first reader
	binary.LittleEndian.PutUint32(content[at+48:], sum(payload))
	binary.LittleEndian.PutUint32(content[at:], sum(content[at+4:at+frameBytes]))
	disk := s.put()
	disk.Put(name, content)
	if got := inspect(t, disk, false).Damage(); len(got) > 0 {
		t.Errorf("without a check: %v", got)
	}
	if got := inspect(t, disk, true).Damage(); len(got) != 1 || got[0].Segment != 1 || got[0].Offset != at || got[0].From != got[0].To {
		t.Errorf("%v", got)
	}
}
