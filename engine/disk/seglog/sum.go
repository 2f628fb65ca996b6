package seglog

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

// WithSum gives the content of a small file that tells by itself whether it is whole: a line of a title and the checksum of the body,
// CRC-32C in eight hex digits; then the body.
func WithSum(title string, body []byte) []byte { return append(sumLine(title, body), body...) }

// CutSum gives the body of such a file; false: that is not what was written, or not under this title.
func CutSum(title string, content []byte) (body []byte, whole bool) {
	_, body, _ = bytes.Cut(content, []byte("\n"))
	if !bytes.HasPrefix(content, sumLine(title, body)) {
		return nil, false
	}
	return body, true
}

func sumLine(title string, body []byte) []byte {
	return fmt.Appendf(nil, "%s %08x\n", title, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}
