package render

import (
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string and allocates nothing where dst has room. Bytes that are not UTF-8 become U+FFFD,
// each byte one, as encoding/json has it.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0 // s[from:i] is plain and not yet appended
	for i := oddFrom(s, 0); i < len(s); i = oddFrom(s, i) {
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\ufffd`...)
			from = i + 1
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// oddFrom is where the first byte of s from i on is that needs to be looked at, or the end of s.
func oddFrom[T string | []byte](s T, i int) int {
	for i+8 <= len(s) {
		if odd := odd8(load8(s, i)); odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
		for i += 8; i+16 <= len(s) && odd8(load8(s, i))|odd8(load8(s, i+8)) == 0; {
			i += 16
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' && s[i] < utf8.RuneSelf {
		i++
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// load8 reads eight bytes of s from i on; the compiler makes one load of it.
func load8[T string | []byte](s T, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// odd8 is 0 where none of the eight bytes is a control character, a quote, a backslash, or beyond ASCII; otherwise its lowest
// bit is in the first byte that is. A byte's top bit comes up where a subtraction runs below zero, or where it was up before;
// a subtraction that borrows makes nonsense of the bytes after it alone.
func odd8(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	control := x - ones*' '
	quote := (x ^ ones*'"') - ones
	backslash := (x ^ ones*'\\') - ones
	return (x | control | quote | backslash) & tops
}
