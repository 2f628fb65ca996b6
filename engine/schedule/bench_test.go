package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// BenchmarkSpan is the way of one span of 1,000 records through a scheduler: Add, its part of Next, and of Done.
func BenchmarkSpan(b *testing.B) {
	for _, keys := range []int{1, 16, 10_000} {
		for _, spans := range []int{1, 4} { // a batch
			for _, linger := range []time.Duration{0, time.Second} {
				b.Run(fmt.Sprintf("keys=%d/spans=%d/linger=%v", keys, spans, linger), func(b *testing.B) {
					s := NewKeyed(engine.BatchLimits{MaxRecords: 1000 * spans, Linger: linger}, Fixed(16))
					benchmarkSpan(b, s, spans, benchmarkSpans(keys))
				})
			}
		}
	}
	b.Run("concurrent", func(b *testing.B) {
		s := NewConcurrent(engine.BatchLimits{MaxRecords: 4000, Linger: time.Second}, NewAdaptive(1, 64))
		benchmarkSpan(b, s, 4, benchmarkSpans(1))
	})
}

// benchmarkSpans are a span of each of so many keys, each of its own stream.
func benchmarkSpans(keys int) []engine.Span {
	spans := make([]engine.Span, keys)
	for i := range spans {
		spans[i] = engine.Span{
			Key:     fmt.Sprintf("/apps/shop.checkout/host-%d", i),
			Stream:  &engine.Stream{},
			Records: engine.SelectRange(0, 1000),
			Bytes:   256_000,
		}
	}
	return spans
}

// benchmarkSpan adds full batches to 16 keys at a time, then lets them fly.
func benchmarkSpan(b *testing.B, s *Scheduler, perBatch int, spans []engine.Span) {
	now := time.Unix(0, 0)
	flights := make([]*engine.Batch, 0, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for n, key := 0, 0; n < b.N; {
		for range min(len(spans), 16) {
			span := spans[key%len(spans)]
			key++
			for range perBatch {
				span.Arrived = now
				s.Add(now, span)
				n++
			}
		}
		for {
			batch, _ := s.Next(now)
			if batch == nil {
				break
			}
			flights = append(flights, batch)
		}
		for _, f := range flights {
			s.Done(now, f, engine.Result{Latency: time.Millisecond})
		}
		flights = flights[:0]
		now = now.Add(time.Millisecond)
	}
}

// BenchmarkBacklog is the way of one span while 100,000 others wait under 10,000 keys.
func BenchmarkBacklog(b *testing.B) {
	spans := benchmarkSpans(10_000)
	s := NewKeyed(engine.BatchLimits{MaxRecords: 4000}, Fixed(16))
	now := time.Unix(0, 0)
	next := 0
	add := func() {
		span := spans[next*7919%len(spans)]
		span.Arrived = now.Add(time.Duration(next))
		next++
		s.Add(now, span)
	}
	for range 100_000 {
		add()
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		add()
		if s.Waiting() > 100_000 {
			batch, _ := s.Next(now)
			s.Done(now, batch, engine.Result{})
		}
	}
}

// BenchmarkHurry hurries one of 10,000 streams that all linger, and puts one span back.
func BenchmarkHurry(b *testing.B) {
	spans := benchmarkSpans(10_000)
	s := NewKeyed(engine.BatchLimits{Linger: time.Second}, Fixed(16))
	now := time.Unix(0, 0)
	for _, span := range spans {
		span.Arrived = now
		s.Add(now, span)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		span := spans[n*7919%len(spans)]
		s.Hurry(now, span.Stream)
		batch, _ := s.Next(now)
		s.Done(now, batch, engine.Result{})
		span.Arrived = now
		s.Add(now, span)
	}
}

// BenchmarkHurryManyKeys hurries a stream that lingers under 1,000 keys, again and again.
func BenchmarkHurryManyKeys(b *testing.B) {
	spans := benchmarkSpans(1000)
	s := NewKeyed(engine.BatchLimits{Linger: time.Second}, Fixed(16))
	now := time.Unix(0, 0)
	for _, span := range spans {
		span.Arrived, span.Stream = now, spans[0].Stream
		s.Add(now, span)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Hurry(now, spans[0].Stream)
	}
}

// BenchmarkEvict evicts the oldest of 100,000 spans under 10,000 keys, and adds another.
func BenchmarkEvict(b *testing.B) {
	spans := benchmarkSpans(10_000)
	s := NewKeyed(engine.BatchLimits{Linger: time.Second}, Fixed(16))
	now := time.Unix(0, 0)
	add := func(n int) {
		span := spans[n*7919%len(spans)]
		span.Arrived = now.Add(time.Duration(n))
		s.Add(now, span)
	}
	for n := range 100_000 {
		add(n)
	}
	b.ReportAllocs()
	for n := 100_000; b.Loop(); n++ {
		s.Evict(now)
		add(n)
	}
}
