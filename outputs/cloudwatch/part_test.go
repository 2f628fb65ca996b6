package cloudwatch

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		most       int
		want       int // parts
	}{
		{"two", strings.Repeat("x", 31), 30, 2},
		{"nine, the last of one", strings.Repeat("x", 8*19+1), 30, 9},
		{"nine, full", strings.Repeat("x", 9*19), 30, 9},
		{"more digits make more parts", strings.Repeat("x", 9*19+1), 30, 11},
		{"hundreds", strings.Repeat("x", 3000), 30, 200},
		{"two bytes a rune", strings.Repeat("é", 100), 30, 13},
		{"four bytes a rune", strings.Repeat("😀", 100), 30, 25},
		{"runes across every cut", "x" + strings.Repeat("€", 100), 30, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := appendParts(nil, event{at: 7, record: 3, text: []byte(c.text)}, c.most)
			var whole strings.Builder
			for i, p := range parts {
				marker, text, ok := strings.Cut(string(p.text), "] ")
				if want := fmt.Sprintf("[part %d/%d", i+1, len(parts)); !ok || marker != want {
					t.Errorf("marker %q, want %q", marker, want)
				}
				if len(p.text) > c.most || !utf8.Valid(p.text) || text == "" || p.at != 7 || p.record != 3 {
					t.Errorf("part %d: %d bytes, %+v", i, len(p.text), p)
				}
				whole.WriteString(text)
			}
			if whole.String() != c.text || len(parts) != c.want {
				t.Errorf("%d parts, want %d, of %d bytes, want %d", len(parts), c.want, whole.Len(), len(c.text))
			}
		})
	}
}

func FuzzParts(f *testing.F) {
	f.Add("plain text", 24)
	f.Add(strings.Repeat("😀é€x", 50), 30)
	f.Fuzz(func(t *testing.T, text string, most int) {
		if !utf8.ValidString(text) || most < 24 || most > 1000 || len(text) <= most {
			t.Skip()
		}
		var whole strings.Builder
		for _, p := range appendParts(nil, event{text: []byte(text)}, most) {
			if len(p.text) > most || !utf8.Valid(p.text) {
				t.Fatalf("part %q of up to %d bytes", p.text, most)
			}
			_, rest, _ := strings.Cut(string(p.text), "] ")
			whole.WriteString(rest)
		}
		if whole.String() != text {
			t.Fatalf("parts make %q of %q", whole.String(), text)
		}
	})
}
