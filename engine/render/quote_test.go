package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonString is what encoding/json reads back from s as it writes it: s with U+FFFD for bytes that are not UTF-8.
func jsonString(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var want string
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

func checkString(t testing.TB, s string) {
	t.Helper()
	got := AppendString([]byte("x"), s)[1:]
	if !json.Valid(got) || !utf8.Valid(got) {
		t.Fatalf("AppendString(%q) = %q: not valid JSON", s, got)
	}
	var back string
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatalf("AppendString(%q) = %q: %v", s, got, err)
	}
	if want := jsonString(t, s); back != want {
		t.Fatalf("AppendString(%q) reads back as %q, want %q", s, back, want)
	}
	if b := AppendString(nil, []byte(s)); !bytes.Equal(b, got) {
		t.Fatalf("of bytes %q, of a string %q", b, got)
	}
	if bytes.ContainsAny(got, "\n\r") {
		t.Fatalf("%q would break a line", got)
	}
}

func TestStringAtEveryOffset(t *testing.T) {
	for _, odd := range []string{"\"", "\\", "\n", "\r", "\t", "\x00", "\x1f", "\x7f", "é", "€", "😀", "\xff", "\x80", "\x9f", "\xe2\x82", "\u2028", "!", "]", "[", "#"} {
		for n := range 20 {
			checkString(t, strings.Repeat("a", n)+odd+strings.Repeat("z", 19-n))
			checkString(t, strings.Repeat("a", n)+odd)
			checkString(t, strings.Repeat(odd, n))
		}
	}
}

func TestStringAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	s := []byte(strings.Repeat(`a "quoted" line, ünï`, 20))
	if n := testing.AllocsPerRun(100, func() { dst = AppendString(dst[:0], s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\x00\x1f\u2028", "\xff\xfe", "12345678", "1234567\"", "ü2345678😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkString(t, s) })
}

func BenchmarkString(b *testing.B) {
	s := []byte(strings.Repeat("2026-01-02 status installed libc6:amd64 ", 6))
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		dst = AppendString(dst[:0], s)
	}
}
