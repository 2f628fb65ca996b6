package engine

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// nextField cuts the first field off the fields of a message, which the scan has validated. num is the value of a varint
// or a fixed field, data that of a length-delimited one; a group has neither. Bytes that are no field end the message:
// tag and rest are zero.
func nextField(b []byte) (tag, num uint64, data, rest []byte) {
	tag, i := uint64(b[0]), 1
	if tag >= 0x80 {
		tag, i = longVarint(b, 0)
	}
	if i < 0 {
		return 0, 0, nil, nil
	}
	switch protowire.Type(tag & 7) {
	case protowire.VarintType:
		num, i = varint(b, i)
	case protowire.Fixed32Type:
		if i += 4; i <= len(b) {
			num = uint64(binary.LittleEndian.Uint32(b[i-4:]))
		}
	case protowire.Fixed64Type:
		if i += 8; i <= len(b) {
			num = binary.LittleEndian.Uint64(b[i-8:])
		}
	case protowire.BytesType:
		var n uint64
		if n, i = varint(b, i); i < 0 || n > uint64(len(b)-i) {
			return 0, 0, nil, nil
		}
		end := i + int(n)
		return tag, 0, b[i:end:end], b[end:]
	case protowire.StartGroupType:
		i = groupEnd(b, i, protowire.Number(tag>>3))
	default:
		i = -1
	}
	if i < 0 || i > len(b) {
		return 0, 0, nil, nil
	}
	return tag, num, nil, b[i:]
}

// varint reads a varint at b[i], and says where it ends: negative where it is cut short or too long.
func varint(b []byte, i int) (v uint64, end int) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return longVarint(b, i)
}

// longVarint is varint for what is seldom.
func longVarint(b []byte, i int) (v uint64, end int) {
	v, n := protowire.ConsumeVarint(b[i:])
	if n < 0 {
		return 0, n
	}
	return v, i + n
}

// groupEnd says where the group ends whose tag ends at b[i]: negative where it does not. It takes what protowire takes, but
// does not recurse: ten thousand groups in each other would leave a stack of megabytes with every goroutine that read them.
func groupEnd(b []byte, i int, number protowire.Number) (end int) {
	var few [8]protowire.Number
	open := append(few[:0], number)
	for len(open) > 0 {
		number, wire, n := protowire.ConsumeTag(b[i:])
		if n < 0 {
			return n
		}
		i += n
		switch wire {
		case protowire.StartGroupType:
			if len(open) > protowire.DefaultRecursionLimit {
				return -1
			}
			open = append(open, number)
		case protowire.EndGroupType:
			if open[len(open)-1] != number {
				return -1
			}
			open = open[:len(open)-1]
		default:
			if n = protowire.ConsumeFieldValue(number, wire, b[i:]); n < 0 {
				return n
			}
			i += n
		}
	}
	return i
}
