package seglog

import "encoding/binary"

// Values are read off bytes, such as those of an entry, one after another. They are bad once one is not what it must be; what is read
// from then on is zero. One goroutine at a time may use them.
type Values struct {
	Rest []byte // what is not read yet; none where they are bad
	Bad  bool
}

// Spoil makes them bad: a value is read and cannot be.
func (v *Values) Spoil() { v.Bad, v.Rest = true, nil }

// take reads so many bytes; nil where there are fewer.
func (v *Values) take(n uint64) []byte {
	if n > uint64(len(v.Rest)) {
		v.Spoil()
		return nil
	}
	b := v.Rest[:n:n]
	v.Rest = v.Rest[n:]
	return b
}

// Byte reads one byte.
func (v *Values) Byte() byte {
	if b := v.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint64 reads eight bytes, the lowest first.
func (v *Values) Uint64() uint64 {
	if b := v.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Uvarint reads a varint as protobuf has it.
func (v *Values) Uvarint() uint64 {
	x, n := binary.Uvarint(v.Rest)
	if n <= 0 {
		v.Spoil()
		return 0
	}
	v.Rest = v.Rest[n:]
	return x
}

// Varint reads a varint of the zigzag form.
func (v *Values) Varint() int64 {
	x, n := binary.Varint(v.Rest)
	if n <= 0 {
		v.Spoil()
		return 0
	}
	v.Rest = v.Rest[n:]
	return x
}

// Bytes reads what AppendBytes appended; nil where that is none. They share the memory that they were read from.
func (v *Values) Bytes() []byte {
	b := v.take(v.Uvarint())
	if len(b) == 0 {
		return nil
	}
	return b
}

// AppendBytes appends bytes with their number, as a uvarint, in front of them.
func AppendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
