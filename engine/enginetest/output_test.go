package enginetest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestOddRecordsPassTheScan(t *testing.T) {
	for name, record := range enginetest.OddRecords() {
		if err := engine.ScanRecord(record); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A shelf is the simplest output that does all that the suite asks for.
type shelf struct {
	mu     sync.Mutex // guards what follows
	bodies []string
	full   bool
	room   int
}

var errFull = errors.New("the shelf is full")

func (s *shelf) Write(ctx context.Context, b *engine.Batch) error {
	if err := ctx.Err(); err != nil {
		return engine.Retryable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range b.All() {
		if s.full && s.room == 0 {
			if i == 0 {
				return engine.Retryable(errFull)
			}
			return &engine.Partial{Delivered: []engine.Range{{From: 0, To: i}}, Err: engine.Retryable(errFull)}
		}
		s.room--
		s.bodies = append(s.bodies, enginetest.Body(r.Record))
	}
	return nil
}

func (s *shelf) PerRecord(*engine.Chunk) bool { return false }

func (s *shelf) AppendKey(dst []byte, c *engine.Chunk, _ engine.Record) []byte {
	return append(dst, c.Stream.ID...)
}

func (s *shelf) delivered(testing.TB) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func (s *shelf) fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.room = n >= 0, n
}

func TestOutputSuite(t *testing.T) {
	enginetest.TestOutput(t, func(*testing.T) enginetest.OutputFixture {
		var s shelf
		return enginetest.OutputFixture{Output: &s, Delivered: s.delivered, Fail: s.fail}
	})
}
