package seglog_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var every = flag.Int("every", 128, "of a segment's bytes, how many TestFlippedBytes goes on by; 1: it flips all of them")

// Bytes go bad, one at a time. Nothing is lost but the entry that they are in, and in the last commit of a log that was not
// closed, where that cannot be told from one that was under way, that commit. Both are told, with the place.
func TestFlippedBytes(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed %v", closed), func(t *testing.T) {
			s := newSpecimen(t, closed)
			for number := range uint64(3) {
				number++
				for _, offset := range s.offsets(number) {
					s.testFlip(t, number, offset)
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// offsets are those of a segment that are worth looking at: all of its heads, its seal, of some frames their headers, and
// some of the rest.
func (s *specimen) offsets(number uint64) (all []int64) {
	for offset := range int64(small) {
		in := func(from, to int64) bool { return from <= offset && offset < to }
		begun := slices.ContainsFunc(s.entries, func(f found) bool {
			return in(f.Offset, f.Offset+frameBytes+2) && f.Segment == number && s.sealed == (number == 1) && f.id%3 == 0
		})
		head := in(0, headBytes) || in(copyOffset, copyOffset+headBytes)
		if offset%int64(*every) == 0 || begun || head || in(sealOffset, sealOffset+sealBytes) {
			all = append(all, offset)
		}
	}
	return all
}

func (s *specimen) testFlip(t *testing.T, number uint64, offset int64) {
	name := segment(int(number))
	bad := slices.Clone(s.files[name])
	bad[offset] ^= 1 << (offset % 8)
	what := fmt.Sprintf("segment %d, offset %d", number, offset)
	files := map[string][]byte{name: bad}
	s.try(t, files, func(t *trial) {
		var lost []int
		id := s.at(number, offset)
		cut := slices.Contains(s.last(), id) && !s.sealed
		if id >= 0 {
			lost = []int{id}
		}
		if cut {
			lost = s.last()
		}
		s.wantLost(t, what, lost...)
		head := offset < headBytes || offset >= copyOffset && offset < copyOffset+headBytes
		if head != slices.ContainsFunc(t.recovery.Damage, func(d seglog.Damage) bool {
			return d.Segment == number && d.From == d.To && d.Offset == offset-offset%copyOffset
		}) {
			t.Errorf("%s: %v", what, t.recovery)
		}
		if cut != (len(t.recovery.Cut) > 0) {
			t.Errorf("%s: %v", what, t.recovery)
		}
		var kept []uint64
		if head || id >= 0 && !cut {
			kept = append(kept, number)
			// What was found once is not forgotten over a restart.
			t.reopen()
			if !slices.ContainsFunc(t.recovery.Damage, func(d seglog.Damage) bool { return d.Segment == number }) {
				t.Errorf("%s: forgotten: %v", what, t.recovery)
			}
			t.put(1, 100)
		}
		s.wantQuarantine(t, what, files, kept...)
	})
}

func TestDamageInWords(t *testing.T) {
	d := seglog.Damage{Segment: 3, Offset: 8192, From: 7, To: 9, Reason: "its checksum is wrong"}
	if got, want := (&seglog.DamageError{Damage: d}).Error(),
		"segment 3 at offset 8192: its checksum is wrong, entries 7 to 8 are lost"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	d.To = d.From
	if got, want := d.String(), "segment 3 at offset 8192: its checksum is wrong"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Files are cut short, anywhere.
func TestTruncatedFiles(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for number := uint64(1); number <= 3; number++ {
			name := segment(int(number))
			sizes := []int64{0, 1, 48, 52, 60, 4095, 4096, 4100, 6143, 6195, 6196, 8191, 8192, 8193, 8255, small - 1}
			for _, f := range s.entries {
				if _, from, to := s.frame(f.id); f.Segment == number {
					sizes = append(sizes, from, from+7, from+64, to-1, to)
				}
			}
			for _, size := range sizes {
				what := fmt.Sprintf("closed %v, segment %d cut to %d bytes", closed, number, size)
				files := map[string][]byte{name: s.files[name][:size]}
				s.try(t, files, func(t *trial) { s.testTruncated(t, what, number, size) })
			}
		}
	}
}

func (s *specimen) testTruncated(t *trial, what string, number uint64, size int64) {
	var lost, silent []int
	for _, f := range s.entries {
		switch _, _, to := s.frame(f.id); {
		case f.Segment != number || to <= size:
		case number == 3 && (!s.sealed || size < sealOffset+sealBytes): // nobody knows any more that there was anything
			silent = append(silent, f.id)
		case number == 1 && size < headBytes:
			silent = append(silent, f.id)
		default:
			lost = append(lost, f.id)
		}
	}
	if len(silent) == 0 {
		if size < headBytes { // its place is known by those beside it
			all, _, _ := t.scan(t.Start(), everyone)
			if m := t.recovery.Missing; len(m) != 1 || m[0].Segment != number-1 || !slices.Equal(ids(all), s.without(lost...)) {
				t.Errorf("%s: %v", what, t.recovery)
			}
			return
		}
		s.wantLost(t, what, lost...)
		return
	}
	for _, commit := range s.commits {
		if !s.sealed && slices.ContainsFunc(commit, func(id int) bool { return slices.Contains(silent, id) }) {
			silent = append(silent, commit...) // all of it, as far as anybody can tell, was under way
		}
	}
	all, _, _ := t.scan(t.Start(), everyone)
	if want := s.without(silent...); !slices.Equal(ids(all), want) {
		t.Errorf("%s: the log holds %v, want %v", what, ids(all), want)
	}
}

// What is appended to a file from outside is nobody's.
func TestFilesThatGrew(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for number := range 3 {
			name := segment(number + 1)
			for _, more := range [][]byte{
				make([]byte, 10<<10), bytes.Repeat([]byte("grown"), 3000), s.files[name][frames:], s.files[segment(1)],
			} {
				s.try(t, map[string][]byte{name: slices.Concat(s.files[name], more)}, func(t *trial) {
					t.wantClean()
					s.wantLost(t, fmt.Sprint("segment ", number+1))
				})
			}
		}
	}
}

// Where a segment is gone in the middle that is told; where the oldest or the newest is, that is as if it had never been.
func TestSegmentGone(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for number := range uint64(3) {
			number++
			var lost []int
			for _, f := range s.entries {
				if f.Segment == number {
					lost = append(lost, f.id)
				}
			}
			s.try(t, map[string][]byte{segment(int(number)): nil}, func(t *trial) {
				all, _, _ := t.scan(t.Start(), everyone)
				if !slices.Equal(ids(all), s.without(lost...)) {
					t.Errorf("without segment %d: %v", number, ids(all))
				}
				r := t.recovery
				if number == 2 {
					first, last := s.entries[lost[0]], s.entries[lost[len(lost)-1]]
					if len(r.Missing) != 1 || r.Missing[0].From != first.LSN || r.Missing[0].To != last.LSN+1 {
						t.Errorf("without segment 2: %v", r)
					}
				} else {
					t.wantClean()
				}
			})
		}
	}
}

// Heads and seals that are whole, and lie.
func TestLies(t *testing.T) {
	const huge = 1 << 63
	seal := func(end, next, length uint64) func(b []byte) {
		return func(b []byte) {
			le := binary.LittleEndian
			le.PutUint64(b[sealOffset+16:], end)
			le.PutUint64(b[sealOffset+24:], next)
			le.PutUint32(b[sealOffset+32:], uint32(length))
			sum(b[sealOffset:], 44)
		}
	}
	head := func(at int, v uint64) func(b []byte) {
		return func(b []byte) {
			for _, copied := range []int{0, copyOffset} {
				binary.LittleEndian.PutUint64(b[copied+at:], v)
				sum(b[copied:], 48)
			}
		}
	}
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		for number := 1; number <= 3; number++ {
			for what, lie := range map[string]func(b []byte){
				"seal: ends nowhere":      seal(huge, 5, 25),
				"seal: ends at once":      seal(0, 5, 25),
				"seal: ends behind":       seal(small-8, 5, 25),
				"seal: ends between":      seal(frames+4, 5, 25),
				"seal: next is huge":      seal(frames, huge, 25),
				"seal: next is past":      seal(frames, 0, 25),
				"seal: next is early":     seal(frames+8, 2, 0),
				"seal: next is late":      seal(frames+664, 1000, 100),
				"seal: length is huge":    seal(frames, 2, 1<<32-1),
				"head: number is 0":       head(16, 0),
				"head: number is huge":    head(16, huge),
				"head: number is another": head(16, 2),
				"head: salt is another":   head(24, 7),
				"head: first is 0":        head(32, 0),
				"head: first is huge":     head(32, huge),
				"head: first is early":    head(32, 1),
				"head: first is late":     head(32, 1<<50),
				"frame: LSN is far": func(b []byte) {
					binary.LittleEndian.PutUint64(b[frames+16:], 1<<40)
					b[frames+29] = 3 // all of its commit
					binary.LittleEndian.PutUint32(b[frames:], crc32.Checksum(b[frames+4:frames+frameBytes], crc32.MakeTable(crc32.Castagnoli)))
				},
				"frames: moved": func(b []byte) { copy(b[frames:], b[12<<10:]) },
			} {
				bad := slices.Clone(s.files[segment(number)])
				lie(bad)
				s.try(t, map[string][]byte{segment(number): bad}, func(t *trial) {
					what := fmt.Sprintf("%s, closed %v, segment %d", what, closed, number)
					all, _, _ := t.scan(t.Start(), everyone)
					for i, f := range all {
						if i > 0 && f.LSN <= all[i-1].LSN || f.id >= len(s.entries) || f.LSN != s.entries[f.id].LSN {
							t.Errorf("%s: %v", what, all)
							break
						}
					}
					end := t.End().LSN
					if end > 1<<30 && what[:4] != "head" {
						t.Errorf("%s: ends at %d", what, end)
					}
					t.put(2, 1000)
					if after, _, _ := t.scan(seglog.Place{LSN: end}, everyone); len(after) != 2 {
						t.Errorf("%s: appended at %d, found %v", what, end, after)
					}
					t.reopen()
					if after, _, _ := t.scan(seglog.Place{LSN: end}, everyone); len(after) != 2 {
						t.Errorf("%s: reopened, at %d found %v", what, end, after)
					}
				})
			}
		}
	}
}

// sum puts the checksum of the first n bytes behind them.
func sum(b []byte, n int) {
	binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli)))
}
