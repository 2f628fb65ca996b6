package main

import (
	"strconv"
	"strings"
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

const (
	region = "eu-west-1"
	prefix = "/soak/" // of log groups

	staleWord = "stale"             // in place of a stale record's number
	staleAge  = 15 * 24 * time.Hour // CloudWatch takes what is up to 14 days old (API reference, PutLogEvents)
)

// padding makes a record as long as a line of a log.
const padding = " GET /orders/4711 200 12ms referer=https://shop.example/cart trace=4bf92f3577b34da6a3ce929d0e0e4736"

// newRecord makes a record of a producer for a log stream. Numbers are from 1, for each producer and log stream; 0 is for
// one that is too old to be delivered.
func newRecord(producer, stream string, number uint64, at time.Time) *sluicev1.LogRecord {
	what := strconv.FormatUint(number, 10)
	if number == 0 {
		what, at = staleWord, at.Add(-staleAge)
	}
	return &sluicev1.LogRecord{
		TimeUnixNano: uint64(at.UnixNano()),
		Body:         stringValue(producer + " " + what + padding),
		Attributes:   []*sluicev1.KeyValue{{Key: "stream", Value: stringValue(stream)}},
	}
}

func stringValue(s string) *sluicev1.AnyValue {
	return &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: s}}
}

// readBody is a cwfake.Sequence.
func readBody(body string) (producer string, number uint64, ok bool) {
	producer, rest, _ := strings.Cut(body, " ")
	what, padded, _ := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(what, 10, 64)
	return producer, number, err == nil && number > 0 && padded == padding[1:]
}

// isStale reports whether the body is of a record that must not be delivered.
func isStale(body string) bool {
	_, rest, _ := strings.Cut(body, " ")
	what, _, _ := strings.Cut(rest, " ")
	return what == staleWord
}
