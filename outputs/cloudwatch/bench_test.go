package cloudwatch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// A sink takes whole requests, as a network would that costs nothing.
type sink struct{}

func (sink) RoundTrip(r *http.Request) (*http.Response, error) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != r.ContentLength {
		return nil, fmt.Errorf("read %d of %d: %w", n, r.ContentLength, err)
	}
	_ = r.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"X-Amzn-Requestid": {"id"}}, Body: io.NopCloser(strings.NewReader("{}")),
	}, nil
}

// lines are bodies of 256 bytes that look like logs.
func lines(n int) [][]byte {
	now := time.Now()
	records := make([][]byte, n)
	for i := range records {
		text := fmt.Sprintf("%s INFO request served method=GET path=/api/v1/orders/%08d status=200 bytes=%d duration=%dus client=10.0.%d.%d",
			now.Format(time.RFC3339Nano), i*7919, i*31%100000, i*17%9999, i%256, i*7%256)
		text += " agent=\"curl/8\" trace=" + strings.Repeat(fmt.Sprintf("%016x", i*2654435761), 20)
		records[i] = record(now.Add(time.Duration(i)*time.Millisecond), text[:256])
	}
	return records
}

// BenchmarkWrite is the CPU of a full request of 256 B records, all of Write but the network: a record is an event.
func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Options
	}{{"ours", Options{}}, {"gzip", Options{Gzip: true}}, {"json", Options{Format: FormatJSON}}, {"sdk", Options{PlainSDK: true}}} {
		b.Run(c.name, func(b *testing.B) {
			environment(b)
			c.o.Endpoint = "http://sink.invalid"
			o := newOutput(b, c.o)
			o.transport.RegisterProtocol("http", sink{})
			const n = 1_048_576 / (256 + perEvent)
			batch := batchOf(o, chunkOf(lines(n)...))
			records := 0
			b.ReportAllocs()
			for b.Loop() {
				err := o.Write(b.Context(), batch)
				if p, ok := errors.AsType[*engine.Partial](err); ok && p.Err == nil {
					records += p.Delivered[0].To
				} else if err == nil {
					records += n
				} else {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}

func BenchmarkMeasure(b *testing.B) {
	environment(b)
	o := newOutput(b, Options{})
	c := chunkOf(lines(1000)...)
	var all []engine.Record
	for _, r := range c.Records() {
		all = append(all, r)
	}
	n := 0
	for i := 0; b.Loop(); i++ {
		n += o.Measure(c, all[i%len(all)])
	}
}

func BenchmarkKey(b *testing.B) {
	environment(b)
	o := newOutput(b, Options{Group: "/apps/{tag}", Stream: "{resource.host.name}"})
	c := chunkOf(lines(1)...)
	var key []byte
	for b.Loop() {
		key = o.AppendKey(key[:0], c, engine.Record{})
	}
}
