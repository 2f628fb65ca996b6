package deadletter

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/sluicelog/sluice/engine"
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
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(max(d.Attempts, 0)))
	for _, t := range []time.Time{d.First, d.Last, c.Arrived} {
		dst = binary.AppendVarint(dst, t.Unix())
		dst = binary.AppendUvarint(dst, uint64(t.Nanosecond()))
	}
	for _, s := range []string{c.Stream.Tenant, c.Stream.ID, c.Stream.Tag} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, c.Epoch)
	dst = binary.AppendUvarint(dst, r.Sequence)
	dst = appendString(dst, c.Resource)
	dst = appendString(dst, c.Scope)
	return append(dst, r.Wire...)
}

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errNoLetter = errors.New("it is no letter of a version that is known")

// parseLetter reads a letter, which keeps the bytes.
func parseLetter(b []byte, l *engine.Letter) error {
	r := values{rest: b}
	if r.byte() != letterVersion {
		return errNoLetter
	}
	for _, s := range []*string{&l.Output, &l.Target, &l.Reason, &l.Message, &l.RequestID} {
		*s = string(r.bytes())
	}
	l.Attempts = r.int()
	for _, t := range []*time.Time{&l.First, &l.Last, &l.Arrived} {
		*t = r.time()
	}
	for _, s := range []*string{&l.Tenant, &l.StreamID, &l.Tag} {
		*s = string(r.bytes())
	}
	l.Epoch, l.Sequence = r.uvarint(), r.uvarint()
	l.Resource, l.Scope = r.bytes(), r.bytes()
	l.Record = engine.Record{Wire: r.rest}
	if r.bad {
		return errNoLetter
	}
	return nil
}

// values are read off bytes. They are bad once one is not what it must be; what is read from then on is zero.
type values struct {
	rest []byte
	bad  bool
}

func (v *values) spoil() { v.bad, v.rest = true, nil }

func (v *values) take(n uint64) []byte {
	if n > uint64(len(v.rest)) {
		v.spoil()
		return nil
	}
	b := v.rest[:n:n]
	v.rest = v.rest[n:]
	return b
}

func (v *values) byte() byte {
	if b := v.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (v *values) uvarint() uint64 {
	x, n := binary.Uvarint(v.rest)
	if n <= 0 {
		v.spoil()
		return 0
	}
	v.take(uint64(n))
	return x
}

func (v *values) int() int {
	x := v.uvarint()
	if x > math.MaxInt {
		v.spoil()
		return 0
	}
	return int(x)
}

// time reads seconds since 1970 and nanoseconds: so the zero time is one, too.
func (v *values) time() time.Time {
	seconds, n := binary.Varint(v.rest)
	if n <= 0 {
		v.spoil()
		return time.Time{}
	}
	v.take(uint64(n))
	nanos := v.uvarint()
	if nanos >= uint64(time.Second) || v.bad {
		v.spoil()
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

// bytes reads what has its length in front of it; nil where that is 0.
func (v *values) bytes() []byte {
	b := v.take(v.uvarint())
	if len(b) == 0 {
		return nil
	}
	return b
}
