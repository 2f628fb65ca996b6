package cloudwatch

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/render"
)

// A target is a log stream. As a key it is "region:group:stream": a colon can be in none of the three.
type target struct{ region, group, stream string }

func (t target) String() string { return t.region + ":" + t.group + ":" + t.stream }

// parseKey reads a target back from the key that names made of it.
func parseKey(key string) (t target, ok bool) {
	region, rest, _ := strings.Cut(key, ":")
	group, stream, ok := strings.Cut(rest, ":")
	return target{region, group, stream}, ok
}

// names are the templates of targets. What AWS would not take in a name is replaced, so that every record has a target.
type names struct{ region, group, stream *render.Template }

func (n *names) perRecord() bool {
	return n.region.PerRecord() || n.group.PerRecord() || n.stream.PerRecord()
}

func (n *names) append(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	from := len(dst)
	dst = cleanRegion(n.region.Append(dst, c, r), from)
	dst = append(dst, ':')
	from = len(dst)
	dst = cleanGroup(n.group.Append(dst, c, r), from)
	dst = append(dst, ':')
	from = len(dst)
	return cleanStream(n.stream.Append(dst, c, r), from)
}

const (
	maxName   = 512 // of a group's and a stream's name, in bytes: AWS counts characters
	maxRegion = 63  // a label of a host name (RFC 1035)
)

// cleanRegion makes dst[from:] a part of a host name and of nothing else: requests are signed for wherever it leads. What is
// neither a lower-case letter, a digit nor a dash becomes a dash.
func cleanRegion(dst []byte, from int) []byte {
	dst = dst[:min(len(dst), from+maxRegion)]
	for i, c := range dst[from:] {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			dst[from+i] = '-'
		}
	}
	return dst
}

// cleanGroup makes dst[from:] a log group's name. What is not in [._/#A-Za-z0-9-] becomes an underscore, also the slash of a
// leading "aws/", which is AWS's own.
func cleanGroup(dst []byte, from int) []byte {
	dst = clean(dst, from, groupRune)
	if bytes.HasPrefix(dst[from:], []byte("aws/")) {
		dst[from+3] = '_'
	}
	return dst
}

// cleanStream makes dst[from:] a log stream's name: colons, asterisks and control characters become underscores.
func cleanStream(dst []byte, from int) []byte { return clean(dst, from, streamRune) }

func groupRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9',
		r == '.', r == '_', r == '/', r == '#', r == '-':
		return true
	}
	return false
}

func streamRune(r rune) bool { return r >= ' ' && r != 0x7f && r != ':' && r != '*' }

// clean replaces the runes of dst[from:] that are not allowed, and each byte that is no UTF-8, and cuts it at maxName. In
// place: a replaced rune never takes more room than before.
func clean(dst []byte, from int, allowed func(rune) bool) []byte {
	at := from
	for at < len(dst) && at < from+maxName && dst[at] < utf8.RuneSelf && allowed(rune(dst[at])) {
		at++
	}
	for i := at; i < len(dst); {
		r, size := utf8.DecodeRune(dst[i:])
		width := size
		if r == utf8.RuneError && size == 1 || !allowed(r) {
			r, width = '_', 1
		}
		if at+width > from+maxName {
			break
		}
		at += utf8.EncodeRune(dst[at:at+width:len(dst)], r)
		i += size
	}
	return dst[:at]
}
