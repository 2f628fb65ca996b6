package seglog

import (
	"encoding/binary"
	"math"
	"testing"
)

// What was appended is read, and nothing behind it: whatever is cut off, the last value is bad and zero, and those before it are whole.
func TestValues(t *testing.T) {
	b := []byte{7}
	b = binary.LittleEndian.AppendUint64(b, math.MaxUint64-1)
	b = binary.AppendUvarint(b, 300)
	b = binary.AppendVarint(b, -300)
	b = AppendBytes(b, "text")
	b = AppendBytes(b, []byte(nil))
	want := []any{byte(7), uint64(math.MaxUint64 - 1), uint64(300), int64(-300), "text", ""}
	ends := []int{1, 9, 11, 13, 18, 19}
	zero := []any{byte(0), uint64(0), uint64(0), int64(0), "", ""}
	for n := range len(b) + 1 {
		v := Values{Rest: b[:n:n]}
		got := []any{v.Byte(), v.Uint64(), v.Uvarint(), v.Varint(), string(v.Bytes()), string(v.Bytes())}
		for i := range got {
			expect := want[i]
			if ends[i] > n {
				expect = zero[i]
			}
			if got[i] != expect {
				t.Errorf("of %d bytes value %d is %v, want %v", n, i, got[i], expect)
			}
		}
		if v.Bad != (n < len(b)) || len(v.Rest) > 0 {
			t.Errorf("of %d bytes: %+v", n, v)
		}
	}
	v := Values{Rest: append(b, 1, 2)}
	v.Byte()
	if v.Uint64(); len(v.Rest) != len(b)-9+2 || v.Bad {
		t.Errorf("left %+v", v)
	}
}

// A length that lies, or has no end, takes nothing.
func TestValuesThatLie(t *testing.T) {
	endless := []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
	for _, b := range [][]byte{{5, 'a'}, binary.AppendUvarint(nil, math.MaxUint64), endless} {
		v := Values{Rest: b}
		if got := v.Bytes(); got != nil || !v.Bad || v.Byte() != 0 || v.Varint() != 0 {
			t.Errorf("%x: %q, %+v", b, got, v)
		}
	}
	v := Values{Rest: endless}
	if v.Varint() != 0 || !v.Bad {
		t.Errorf("%+v", v)
	}
}

func TestSum(t *testing.T) {
	for _, body := range []string{"", "x", "two\nlines\n"} {
		content := WithSum("some file", []byte(body))
		if got, ok := CutSum("some file", content); !ok || string(got) != body {
			t.Errorf("%q: %q, %v", content, got, ok)
		}
		if _, ok := CutSum("another", content); ok {
			t.Errorf("%q has another title", content)
		}
		for i := range content {
			content[i] ^= 1
			if _, ok := CutSum("some file", content); ok {
				t.Errorf("%q is whole", content)
			}
			content[i] ^= 1
			if _, ok := CutSum("some file", content[:i]); ok {
				t.Errorf("%q is whole", content[:i])
			}
		}
	}
	if got := string(WithSum("t", []byte("123456789"))); got != "t e3069283\n123456789" { // the check value of CRC-32C
		t.Errorf("%q", got)
	}
}
