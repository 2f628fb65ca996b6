package main

import (
	"fmt"
	"strconv"
	"strings"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// maxPadding bounds a record's body, but for its name and number.
const maxPadding = 64 << 10

// A bodies makes the bodies of records, each with the name of its stream, its number, and padding: for every number
// another length, and another text.
type bodies struct{ text string }

func newBodies() bodies {
	var b strings.Builder
	for i := 0; b.Len() < maxPadding+1000; i++ {
		fmt.Fprintf(&b, "GET /orders/%d \"200\" %dms\t", i*i, i)
	}
	return bodies{b.String()}
}

// body is that of a number.
func (b bodies) body(name string, number uint64) string {
	from := int(number % 1000)
	return name + " " + strconv.FormatUint(number, 10) + " " + b.text[from:from+padding(number)]
}

// padding is how long that of a number is: most are as lines of a log are, few are much longer.
func padding(number uint64) int {
	lot := number * 0x9E3779B97F4A7C15 >> 33 // multiplying by 2^64 over the golden ratio scatters
	switch {
	case lot%500 == 0:
		return int(lot/500) % maxPadding
	case lot%20 == 0:
		return int(lot/20) % 4096
	default:
		return 20 + int(lot/20)%380
	}
}

// number reads a body of a stream's, and reports whether it is one, to the last byte.
func (b bodies) number(name, body string) (uint64, bool) {
	rest, ok := strings.CutPrefix(body, name+" ")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0 && body == b.body(name, number)
}

func (b bodies) record(name string, number uint64, at int64) *sluicev1.LogRecord {
	return &sluicev1.LogRecord{
		TimeUnixNano: uint64(at),
		Body:         &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: b.body(name, number)}},
	}
}
