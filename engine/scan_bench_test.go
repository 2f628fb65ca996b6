package engine_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// benchRecords are the shapes that sluice's figures speak of: a 256-byte ASCII body, with and without five attributes.
func benchRecords() map[string]*sluicev1.LogRecord {
	record := func() *sluicev1.LogRecord {
		return &sluicev1.LogRecord{
			TimeUnixNano:   1_700_000_000_000_000_000,
			SeverityNumber: sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO,
			Body:           text(strings.Repeat("a log line, more or less. ", 10)[:256]),
		}
	}
	five := record()
	for _, kv := range [][2]string{
		{"http.request.method", "GET"}, {"http.route", "/cart/{id}/checkout"}, {"user.id", "b1946ac92492d2347c62"},
		{"server.address", "shop-7.internal.example"}, {"code.function.name", "shop.Cart.Checkout"},
	} {
		five.Attributes = append(five.Attributes, &sluicev1.KeyValue{Key: kv[0], Value: text(kv[1])})
	}
	return map[string]*sluicev1.LogRecord{"body": record(), "body+5": five}
}

// BenchmarkScan gives, beside its own time, how much of it protobuf's Unmarshal takes for the same bytes.
func BenchmarkScan(b *testing.B) {
	for name, record := range benchRecords() {
		wire := marshal(b, record)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := engine.ScanRecord(wire); err != nil {
					b.Fatal(err)
				}
			}
			scan := float64(b.Elapsed()) / float64(b.N)

			const rounds = 100_000
			into, start := &sluicev1.LogRecord{}, time.Now()
			for range rounds {
				if err := proto.Unmarshal(wire, into); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(start))/rounds/scan, "unmarshal/scan")
		})
	}
}
