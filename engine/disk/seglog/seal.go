package seglog

import (
	"bytes"
	"encoding/binary"
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// A seal says where a segment ends. It saves who opens the log from reading it all.
type seal struct {
	end     int64
	next    LSN
	totals  totals // nil: the index cannot be read
	damaged bool   // there is damage in it, found when it was read
}

const (
	sealMagic = "SLUICESL"
	sealSize  = 48

	sealDamaged = 1 // a flag
)

// writeSeal writes the index behind the segment's frames, and the seal.
func (s *segment) writeSeal(damaged bool) error {
	index := s.totals.append(nil)
	if s.end+frameSize(int64(len(index))) > s.size {
		return nil // it was cut short from outside: it is read from beginning to end each time
	}
	frame := appendFrame(nil, header{salt: s.salt, lsn: s.next, kind: kindIndex}, index)
	if _, err := s.file.WriteAt(frame, s.end); err != nil {
		return err
	}
	b := make([]byte, sealSize)
	le := binary.LittleEndian
	copy(b, sealMagic)
	le.PutUint64(b[8:], s.salt)
	le.PutUint64(b[16:], uint64(s.end))
	le.PutUint64(b[24:], uint64(s.next))
	le.PutUint32(b[32:], uint32(len(index)))
	if damaged {
		le.PutUint32(b[36:], sealDamaged)
	}
	le.PutUint32(b[44:], checksum(b[:44]))
	_, err := s.file.WriteAt(b, sealAt)
	return err
}

// readSeal reads what writeSeal wrote; nil: it is not there.
func (s *segment) readSeal() (*seal, error) {
	b, err := s.read(sealAt, sealSize)
	if err != nil || len(b) < sealSize {
		return nil, err
	}
	le := binary.LittleEndian
	if !bytes.HasPrefix(b, []byte(sealMagic)) || le.Uint64(b[8:]) != s.salt || le.Uint32(b[44:]) != checksum(b[:44]) {
		return nil, nil
	}
	found := &seal{end: int64(le.Uint64(b[16:])), next: LSN(le.Uint64(b[24:])), damaged: le.Uint32(b[36:])&sealDamaged != 0}
	if found.end < framesAt || found.end%frameAlign != 0 || found.next < s.first || found.next >= maxNumber {
		return nil, nil
	}
	found.totals, err = s.readIndex(found, int64(le.Uint32(b[32:])))
	return found, err
}

func (s *segment) readIndex(of *seal, length int64) (totals, error) {
	if length > maxIndex || of.end > s.size-frameSize(length) {
		return nil, nil
	}
	b, err := s.read(of.end, frameHeader+length)
	if err != nil {
		return nil, err
	}
	h, ok := parseHeader(b, s.salt)
	if !ok || h.kind != kindIndex || h.lsn != of.next || h.length != uint32(length) || int64(len(b)) < frameHeader+length {
		return nil, nil
	}
	if payload := b[frameHeader:]; checksum(payload) == h.sum {
		return parseTotals(payload), nil
	}
	return nil, nil
}

// read reads so many bytes, or what there is of them.
func (s *segment) read(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := s.file.ReadAt(b, at)
	return b[:got], noEnd(err)
}

// A Total is how much of something there is.
type Total struct {
	Entries int64
	Records int64
	Bytes   int64
}

// Add adds an entry.
func (t *Total) Add(l Label) {
	t.Entries++
	t.Records += int64(l.Records)
	t.Bytes += int64(l.Bytes)
}

// Sub takes an entry off.
func (t *Total) Sub(l Label) {
	t.Entries--
	t.Records -= int64(l.Records)
	t.Bytes -= int64(l.Bytes)
}

// totals are by reader. The index is a row for each.
type totals map[int]Total

const (
	maxReaders = 64
	rowSize    = 25
	maxIndex   = maxReaders * rowSize
	indexRoom  = frameHeader + maxIndex // what its frame takes at most
)

func (t totals) add(l Label) {
	for r := range readers(l.Readers) {
		total := t[r]
		total.Add(l)
		t[r] = total
	}
}

// any reports whether there is an entry for any of these readers.
func (t totals) any(set uint64) bool {
	for r, total := range t {
		if set&(1<<r) != 0 && total.Entries > 0 {
			return true
		}
	}
	return false
}

// readers yields the bits of a set, the lowest first.
func readers(set uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; set != 0; set &= set - 1 {
			if !yield(bits.TrailingZeros64(set)) {
				return
			}
		}
	}
}

func (t totals) append(dst []byte) []byte {
	for _, r := range slices.Sorted(maps.Keys(t)) {
		dst = append(dst, byte(r))
		for _, v := range []int64{t[r].Entries, t[r].Records, t[r].Bytes} {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

// parseTotals reads an index; nil: it is none.
func parseTotals(b []byte) totals {
	if len(b)%rowSize != 0 {
		return nil
	}
	t := totals{}
	for row := range slices.Chunk(b, rowSize) {
		le := binary.LittleEndian
		total := Total{int64(le.Uint64(row[1:])), int64(le.Uint64(row[9:])), int64(le.Uint64(row[17:]))}
		if row[0] >= maxReaders || total.Entries <= 0 || total.Records < 0 || total.Bytes < 0 {
			return nil
		}
		t[int(row[0])] = total
	}
	return t
}
