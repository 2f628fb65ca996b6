package sluice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// What lies in a spill's directory, version 1. Numbers are little-endian; checksums are CRC-32C (RFC 3720).
//
//	lock                          locked while a stream has the directory
//	acked                         how far the gateway has acked, see spillMark
//	00000000000000000001.spill    a segment, by its number; numbers rise, and the records' order is theirs
//
// A segment is its head, the head once more, so that a byte that goes bad does not cost the segment, and then runs of
// records, one behind the other:
//
//	head   0   8   "SLUICESP"
//	       8   4   version of the format; in all versions these 32 bytes lie as in this one
//	       12  4   length of the Open
//	       16  4   salt, drawn for each segment
//	       20  4   checksum of the Open
//	       24  4   0
//	       28  4   checksum of bytes 0 to 27
//	       32      sluice.v1.Open: what its records are sent with; first_sequence is that of its first record
//	run    0   4   checksum of bytes 4 to 23, begun with the salt, so that bytes in a record never read as a run
//	       4   4   length of the records
//	       8   8   sequence of the first record
//	       16  4   number of records
//	       20  4   checksum of the records, begun with the salt
//	       24      repeated sluice.v1.Append.records fields
//
// A run is written with one write, behind those before it. Sequences follow on, from run to run and from segment to segment
// of an epoch; where they do not, what is between was dropped or lost. What cannot be read at the end of a segment, if the
// next one does not begin with a higher sequence, was being written as the producer was killed. What has a sequence that the
// next segment of the epoch begins with, or a higher one, is void: to write it has failed, as far as the producer knew.
const (
	segmentMagic  = "SLUICESP"
	segmentSuffix = ".spill"
	spillVersion  = 1
	segmentHead   = 32 // bytes, before the Open
	runHead       = 24 // bytes, before the records

	// maxOpen is more than a gateway takes: its resources are 64 KiB at most.
	maxOpen = 96 << 10
)

var (
	errNoHead       = errors.New("no head that can be read")
	errSpillVersion = errors.New("written in a later version of the format")
)

// A life is one start of a producer: its records are sent with its Open, so with its tag, its resource and its epoch.
type life struct {
	epoch uint64
	open  *sluicev1.Open // without the first sequence
}

// opening is the life's Open with an epoch and a first sequence.
func (l *life) opening(epoch, first uint64) *sluicev1.Open {
	return &sluicev1.Open{
		StreamId: l.open.GetStreamId(), Tag: l.open.GetTag(), Resource: l.open.GetResource(),
		Epoch: epoch, FirstSequence: first,
	}
}

// A segment is a file of records of one life.
type segment struct {
	number uint64
	life   *life
	salt   uint32
	first  uint64 // the sequence that it begins with
	shift  uint64 // from its sequences to tickets, which number the records of all lives
	head   int64  // where its runs begin

	// Guarded by the stream's mutex.
	end                 int64  // of what was written
	next                uint64 // the sequence behind its last record
	unread, unreadBytes int    // records that are in the file alone
	charge              int64  // bytes of it that the spill counts
}

func (g *segment) ticket() uint64     { return g.first + g.shift }
func (g *segment) lastTicket() uint64 { return g.next - 1 + g.shift }

// start is the place where a segment begins, behind the one before.
func (g *segment) start(before *segment) place {
	p := place{seg: g, off: g.head, next: before.next}
	if before.life != g.life {
		p.next = 1
	}
	return p
}

// report is a block that stands at a sequence for what is missing before it.
func (g *segment) report(sequence uint64, d Drop) *block {
	return &block{
		ticket: sequence + g.shift, life: g.life, first: sequence, count: 1, report: true,
		data: appendField(nil, dropReport(d)),
	}
}

// segmentCharge is what a segment counts at least: what a file takes of a disk.
const segmentCharge = 4 << 10

func (g *segment) grow(end int64) (more int64) {
	g.end = end
	before := g.charge
	g.charge = max(g.charge, segmentCharge, end)
	return g.charge - before
}

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", number, segmentSuffix))
}

// appendHead appends a segment's head, both of it.
func appendHead(dst []byte, open *sluicev1.Open, salt uint32) ([]byte, error) {
	o, err := proto.Marshal(open)
	if err != nil {
		return nil, fmt.Errorf("encode the head of a segment: %w", err)
	}
	if len(o) > maxOpen {
		return nil, fmt.Errorf("ID, Tag and Resource have %d bytes, and at most %d", len(o), maxOpen)
	}
	le := binary.LittleEndian
	h := make([]byte, segmentHead, segmentHead+len(o))
	copy(h, segmentMagic)
	le.PutUint32(h[8:], spillVersion)
	le.PutUint32(h[12:], uint32(len(o)))
	le.PutUint32(h[16:], salt)
	le.PutUint32(h[20:], checksum(0, o))
	le.PutUint32(h[28:], checksum(0, h[:28]))
	h = append(h, o...)
	return append(append(dst, h...), h...), nil
}

// maxHead is how much of a segment there is to look at for its head.
const maxHead = 2 * (segmentHead + maxOpen)

// parseHead reads a segment's head, or its copy.
func parseHead(b []byte) (open *sluicev1.Open, salt uint32, size int64, err error) {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(segmentMagic))
		if i < 0 {
			return nil, 0, 0, errNoHead
		}
		at += i
		open, salt, n, err := parseHeadAt(b[at:])
		if errors.Is(err, errNoHead) || (at > 0 && at != n) {
			continue
		}
		return open, salt, int64(2 * n), err
	}
}

func parseHeadAt(b []byte) (open *sluicev1.Open, salt uint32, size int, err error) {
	le := binary.LittleEndian
	if len(b) < segmentHead || le.Uint32(b[28:]) != checksum(0, b[:28]) {
		return nil, 0, 0, errNoHead
	}
	n, salt := uint64(le.Uint32(b[12:])), le.Uint32(b[16:])
	if v := le.Uint32(b[8:]); v != spillVersion {
		return nil, 0, segmentHead + int(n), fmt.Errorf("version %d: %w", v, errSpillVersion)
	}
	if n > uint64(len(b)-segmentHead) {
		return nil, 0, 0, errNoHead
	}
	o := b[segmentHead : segmentHead+n]
	open = new(sluicev1.Open)
	if le.Uint32(b[20:]) != checksum(0, o) || proto.Unmarshal(o, open) != nil ||
		open.GetFirstSequence()-1 > maxSequence || open.GetEpoch()-1 > maxSequence { // 0, or nonsense
		return nil, 0, 0, errNoHead
	}
	return open, salt, segmentHead + int(n), nil
}

// A run is records of consecutive sequences, written at once.
type run struct {
	first uint64
	count int
	size  int // of the records, in bytes
	sum   uint32
	data  []byte
}

// sealRun writes the head of a run, which b begins with. The rest of b are its records.
func sealRun(b []byte, salt uint32, first uint64, count int) {
	le := binary.LittleEndian
	le.PutUint32(b[4:], uint32(len(b)-runHead))
	le.PutUint64(b[8:], first)
	le.PutUint32(b[16:], uint32(count))
	le.PutUint32(b[20:], checksum(salt, b[runHead:]))
	le.PutUint32(b[0:], checksum(salt, b[4:runHead]))
}

// parseRun reads the head of a run, without its records. It tells whether it is one.
func parseRun(b []byte, salt uint32) (r run, ok bool) {
	le := binary.LittleEndian
	r = run{first: le.Uint64(b[8:]), count: int(le.Uint32(b[16:])), size: int(le.Uint32(b[4:])), sum: le.Uint32(b[20:])}
	if r.first-1 > maxSequence || r.count == 0 || r.count > r.size/2 {
		return run{}, false
	}
	return r, le.Uint32(b) == checksum(salt, b[4:runHead])
}

// end is the sequence behind the run's last record.
func (r *run) end() uint64 { return r.first + uint64(r.count) }

// holds takes the bytes for the run's records, if that is what they are.
func (r *run) holds(data []byte, salt uint32) bool {
	if checksum(salt, data) != r.sum {
		return false
	}
	r.data = data
	for range r.count {
		if len(data) == 0 || data[0] != recordsTag {
			return false
		}
		_, n := protowire.ConsumeBytes(data[1:])
		if n < 0 {
			return false
		}
		data = data[1+n:]
	}
	return len(data) == 0
}

// checksum is CRC-32C, which processors compute by themselves, begun with a seed.
func checksum(seed uint32, b []byte) uint32 {
	return crc32.Update(seed, crc32.MakeTable(crc32.Castagnoli), b)
}
