package cloudwatch

import (
	"strconv"
	"unicode/utf8"
)

// appendParts cuts an event whose text is longer than most bytes into parts of one time. Each begins with its marker, such as
// "[part 2/3] ", which counts, and ends on a rune's boundary: the parts without their markers, one after the other, are the
// text.
func appendParts(dst []event, e event, most int) []event {
	room, n := partsOf(e.text, most)
	total := strconv.Itoa(n)
	rest := e.text
	for i := range n {
		end := cut(rest, room)
		text := make([]byte, 0, end+markerSize(len(total)))
		text = append(text, "[part "...)
		text = strconv.AppendInt(text, int64(i+1), 10)
		text = append(text, '/')
		text = append(text, total...)
		text = append(text, "] "...)
		dst = append(dst, event{at: e.at, record: e.record, text: append(text, rest[:end]...)})
		rest = rest[end:]
	}
	return dst
}

// partsOf says how much of the text goes into a part, and how many parts that makes: the more there are, the longer is the
// marker.
func partsOf(text []byte, most int) (room, n int) {
	for digits := 1; ; digits++ {
		room, n = most-markerSize(digits), 0
		for rest := text; len(rest) > 0; n++ {
			rest = rest[cut(rest, room):]
		}
		if len(strconv.Itoa(n)) <= digits {
			return room, n
		}
	}
}

// markerSize is the length of a marker whose numbers have up to so many digits.
func markerSize(digits int) int { return len("[part /] ") + 2*digits }

// cut is where the first part of a valid text ends, of up to room bytes, on a rune's boundary.
func cut(text []byte, room int) int {
	if len(text) <= room {
		return len(text)
	}
	end := room
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}
