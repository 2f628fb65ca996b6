package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The pages at the beginning of a segment, see FORMAT.md. The seal has a page of its own: a write of it that is torn does not
// cost the head, of which there is a copy behind the seal.
const (
	pageSize  = 4096
	headAt    = 0
	sealAt    = pageSize
	copyAt    = sealAt + pageSize/2
	framesAt  = 2 * pageSize
	headSize  = 52
	version   = 1
	headMagic = "SLUICESG"
)

// maxNumber is more than a segment's number, or an LSN, can be: whoever claims it does not tell the truth.
const maxNumber = 1 << 62

// A segment is one file of the log. The committer alone writes it, but for its seal. What it holds up to end is committed and
// does not change.
type segment struct {
	number uint64
	salt   uint64 // of this life of the file: what was in it before does not read as new
	file   File
	name   string
	size   int64 // of the file
	first  LSN

	// These are the committer's until the segment is sealed, and do not change afterwards. Who else reads them holds the log's
	// lock.
	next    LSN   // behind the last entry
	end     int64 // of the entries
	commits uint32
	sealed  bool
	totals  totals

	damage []Damage // guarded by the log's lock

	// What the disk did not give as the log was opened, see scan. Such a segment is walked whoever looks for something.
	dark    LSN   // entries, at most; 0: it gave all
	darkAt  int64 // where the first of them may lie
	guessed LSN   // from this one on it is not known whether there are any; 0: it is

	failing atomic.Pointer[failure] // nil: what is read can be
}

// limit is how far entries may go: behind them the index has room.
func (s *segment) limit() int64 { return s.size - indexRoom }

const segmentSuffix = ".seg"

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", number, segmentSuffix))
}

// parseName reads the name of a segment, or of a spare.
func parseName(name string) (number uint64, idle, ok bool) {
	name, idle = strings.CutSuffix(name, idleSuffix)
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, idle, err == nil && number > 0 && number < maxNumber
}

// writeHead makes the file the segment of that number, empty.
func (s *segment) writeHead(created time.Time) error {
	pages := make([]byte, framesAt) // the seal is cleared along with it
	le := binary.LittleEndian
	copy(pages, headMagic)
	le.PutUint32(pages[8:], version)
	le.PutUint64(pages[16:], s.number)
	le.PutUint64(pages[24:], s.salt)
	le.PutUint64(pages[32:], uint64(s.first))
	le.PutUint64(pages[40:], uint64(created.UnixNano()))
	le.PutUint32(pages[48:], checksum(pages[:48]))
	copy(pages[copyAt:], pages[:headSize])
	_, err := s.file.WriteAt(pages, headAt)
	return err
}

var errVersion = errors.New("unknown version of the format")

// readHead reads what the file says it is, from whichever of the two heads can be read; where none can it leaves first zero.
func (s *segment) readHead() error {
	pages := make([]byte, framesAt)
	_, failed := s.file.ReadAt(pages, headAt)
	if failed = noEnd(failed); failed != nil { // the disk may give one of them
		failed = s.readHeads(pages)
	}
	for _, at := range []int64{headAt, copyAt} {
		ok, err := s.parseHead(pages[at : at+headSize])
		if err != nil {
			return err
		}
		if !ok {
			s.damage = append(s.damage, Damage{Segment: s.number, Offset: at, Reason: "a head of the segment is damaged"})
		}
	}
	if s.first == 0 { // nobody knows whose the segment is, and that may pass
		return failed
	}
	return nil
}

// readHeads reads each of the heads by itself. What the disk does not give is left empty.
func (s *segment) readHeads(pages []byte) (failed error) {
	for _, at := range []int64{headAt, copyAt} {
		head := pages[at : at+headSize]
		_, err := s.file.ReadAt(head, at)
		if err = noEnd(err); err != nil {
			clear(head)
			failed = err
		}
	}
	return failed
}

// noEnd is an error of reading, unless the file just ends.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *segment) parseHead(b []byte) (ok bool, err error) {
	le := binary.LittleEndian
	if !bytes.HasPrefix(b, []byte(headMagic)) || le.Uint32(b[48:]) != checksum(b[:48]) {
		return false, nil
	}
	if v := le.Uint32(b[8:]); v != version {
		return false, fmt.Errorf("%w: %d, this is for %d", errVersion, v, version)
	}
	number, salt, first := le.Uint64(b[16:]), le.Uint64(b[24:]), LSN(le.Uint64(b[32:]))
	if number == 0 || number >= maxNumber || first == 0 || first >= maxNumber {
		return false, nil
	}
	if s.first == 0 {
		s.number, s.salt, s.first = number, salt, first
	}
	return true, nil
}
