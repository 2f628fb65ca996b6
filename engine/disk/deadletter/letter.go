package deadletter

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// letterVersion is the first byte of a letter, see FORMAT.md.
const letterVersion = 1

// appendLetter appends a record with what it belongs to, and why it is dead, as far as that is known.
func appendLetter(dst []byte, r engine.BatchRecord) []byte {
	d := r.Dead
	if d == nil {
		d = &engine.DeadLetter{}
	}
	c := r.Chunk
	dst = append(dst, letterVersion)
	for _, s := range []string{d.Output, d.Target, d.Reason, d.Message, d.RequestID} {
		dst = seglog.AppendBytes(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(max(d.Attempts, 0)))
	for _, t := range []time.Time{d.First, d.Last, c.Arrived} {
		dst = binary.AppendVarint(dst, t.Unix())
		dst = binary.AppendUvarint(dst, uint64(t.Nanosecond()))
	}
	for _, s := range []string{c.Stream.Tenant, c.Stream.ID, c.Stream.Tag} {
		dst = seglog.AppendBytes(dst, s)
	}
	dst = binary.AppendUvarint(dst, c.Epoch)
	dst = binary.AppendUvarint(dst, r.Sequence)
	dst = seglog.AppendBytes(dst, c.Resource)
	dst = seglog.AppendBytes(dst, c.Scope)
	return append(dst, r.Wire...)
}

var errNoLetter = errors.New("it is no letter of a version that is known")

// parseLetter reads a letter, which keeps the bytes.
func parseLetter(b []byte, l *engine.Letter) error {
	r := seglog.Values{Rest: b}
	if r.Byte() != letterVersion {
		return errNoLetter
	}
	for _, s := range []*string{&l.Output, &l.Target, &l.Reason, &l.Message, &l.RequestID} {
		*s = string(r.Bytes())
	}
	l.Attempts = readInt(&r)
	for _, t := range []*time.Time{&l.First, &l.Last, &l.Arrived} {
		*t = readTime(&r)
	}
	for _, s := range []*string{&l.Tenant, &l.StreamID, &l.Tag} {
		*s = string(r.Bytes())
	}
	l.Epoch, l.Sequence = r.Uvarint(), r.Uvarint()
	l.Resource, l.Scope = r.Bytes(), r.Bytes()
	l.Record = engine.Record{Wire: r.Rest}
	if r.Bad {
		return errNoLetter
	}
	return nil
}

// readInt reads what was an int.
func readInt(r *seglog.Values) int {
	x := r.Uvarint()
	if x > math.MaxInt {
		r.Spoil()
		return 0
	}
	return int(x)
}

// readTime reads seconds since 1970 and nanoseconds: so the zero time is one, too.
func readTime(r *seglog.Values) time.Time {
	seconds, nanos := r.Varint(), r.Uvarint()
	if nanos >= uint64(time.Second) || r.Bad {
		r.Spoil()
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}
