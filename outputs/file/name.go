package file

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxValue is how long one value in a path may be, in bytes. A name may have 255 of them on nearly all file systems: that
// leaves room for two values, some text, and what rotation appends.
const maxValue = 96

// cleanName makes dst[from:] a part of a file's name and of nothing else: no separator, no control character, no dot in
// front, so that no value and no two of them together make a "..", and not too long. A value that is cut ends in its hash,
// so that two of them do not end up in one file.
func cleanName(dst []byte, from int) []byte {
	value := dst[from:]
	if len(value) > maxValue {
		hash := fnv.New64a()
		hash.Write(value)
		end := maxValue - 17 // a dash and 16 digits
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		digits := strconv.FormatUint(hash.Sum64(), 16)
		dst = append(dst[:from+end], '-')
		dst = append(dst, strings.Repeat("0", 16-len(digits))...)
		dst = append(dst, digits...)
		value = dst[from:]
	}
	for i, c := range value {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '.' && i == 0 {
			value[i] = '_'
		}
	}
	return dst
}

// stamp is what a rotated file's name ends in, before any gzipSuffix: when it was put aside, in UTC.
const stamp = "20060102T150405.000000000Z"

const (
	gzipSuffix = ".gz"
	tempSuffix = ".tmp" // after gzipSuffix: not finished
)

// A rotated is a file that was put aside.
type rotated struct {
	active string // the path that it had before
	at     time.Time
	suffix string // nothing, gzipSuffix, or gzipSuffix and tempSuffix
}

func (r rotated) path() string { return r.active + "." + r.at.UTC().Format(stamp) + r.suffix }

// parseRotated reads the path of a rotated file.
func parseRotated(path string) (r rotated, ok bool) {
	rest := path
	for _, suffix := range []string{tempSuffix, gzipSuffix} {
		if cut, ok := strings.CutSuffix(rest, suffix); ok {
			r.suffix, rest = suffix+r.suffix, cut
		}
	}
	dot := len(rest) - len(stamp) - 1
	if r.suffix == tempSuffix || dot < 1 || rest[dot] != '.' {
		return rotated{}, false
	}
	at, err := time.Parse(stamp, rest[dot+1:])
	if err != nil {
		return rotated{}, false
	}
	r.active, r.at = rest[:dot], at
	return r, true
}
