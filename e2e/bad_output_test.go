package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// Outputs that misbehave, for the culprit's records.
func TestBadOutput(t *testing.T) {
	for _, c := range []struct {
		phrase  string
		act     func(s *scene)
		counted counted
	}{
		{"panics", outputPanics, counted{
			`sluice_done_records_total{output="out",reason="panic",result="dead_lettered"}`: 1,
			`sluice_output_attempts_total{output="out",result="panic"}`:                     some,
		}},
		{"hangs for ever ignoring its context", outputHangs, counted{`sluice_output_overdue_writes{output="out"}`: 1}},
		{"refuses everything for ever", outputRefuses, counted{`sluice_output_attempts_total{output="out",result="retryable"}`: some, paused: 1}},
		{"answers an error that nobody knows", garbage(errors.New("\xff\x00")), counted{`sluice_output_attempts_total{output="out",result="retryable"}`: 3}},
		{"answers records outside of the batch", garbage(&engine.Partial{Delivered: []engine.Range{{From: -7, To: 1 << 40}}}),
			counted{`sluice_output_attempts_total{output="out",result="retryable"}`: 3}},
		{"answers that a record is delivered and rejected", garbage(&engine.Partial{
			Delivered: []engine.Range{{From: 0, To: 2}}, Rejected: []engine.Rejected{{Range: engine.Range{From: 1, To: 2}}},
		}), counted{`sluice_output_attempts_total{output="out",result="retryable"}`: 3}},
		{"answers nothing", garbage(&engine.Partial{}), counted{`sluice_output_attempts_total{output="out",result="retryable"}`: 3}},
		{"answers a kind that there is not", garbage(&engine.WriteError{Kind: 99}), nil},
	} {
		t.Run(c.phrase, func(t *testing.T) { play(t, c.act, c.counted) })
	}
}

func outputPanics(s *scene) {
	s.out.will(func(_ context.Context, b *engine.Batch) error {
		for _, r := range b.All() {
			if bytes.Contains(r.Wire, []byte("five")) {
				panic("five")
			}
		}
		return nil
	})
	p := s.producer(&sluicev1.Open{})
	p.append(1, tenLines()...)
	p.untilAcked(10)
	p.leave()
	all := tenLines()
	wantBodies(s.t, s.out, culprit, append(all[:4:4], all[5:]...))
	wantBodies(s.t, s.dead, culprit, all[4:5])
	wantBodies(s.t, s.other, culprit, all)
}

func outputHangs(s *scene) {
	letGo := make(chan struct{})
	end := sync.OnceFunc(func() { close(letGo) })
	s.ends = append(s.ends, end)
	s.t.Cleanup(end)
	s.out.will(func(_ context.Context, b *engine.Batch) error {
		if b.Key == culprit {
			<-letGo
		}
		return nil
	})
	p := s.producer(&sluicev1.Open{})
	p.append(1, tenLines()...)
	time.Sleep(5 * time.Minute)
	wantBodies(s.t, s.other, culprit, tenLines())
	if code, body := s.get("/livez"); code != 503 || !strings.Contains(body, `"output":"out"`) {
		s.t.Errorf("livez: %d %s", code, body)
	}
	s.ends = append(s.ends, func() {
		p.untilAcked(10)
		p.leave()
		s.wantDelivered(tenLines()...)
	})
}

func outputRefuses(s *scene) {
	s.refuses()
	p := s.producer(&sluicev1.Open{})
	var all []string
	for i := range 7 { // 70,000 bytes: it is paused
		all = append(all, fmt.Sprint(i, strings.Repeat("x", 10_000)))
		p.append(uint64(i+1), all[i])
	}
	st := p.untilState(sluicev1.State_STATE_PAUSED)
	if st.GetReason() != sluicev1.Reason_REASON_STREAM_LIMIT || st.GetLimitBytes() != streamLimit {
		s.t.Errorf("paused with %v", st)
	}
	time.Sleep(10 * time.Minute)
	wantBodies(s.t, s.other, culprit, all)
	if code, body := s.get("/livez"); code != 200 {
		s.t.Errorf("livez: %d %s", code, body) // a restart would not help
	}
	if age := s.metrics()[`sluice_output_oldest_unflushed_seconds{output="out"}`]; age < 600 {
		s.t.Errorf("the oldest record is said to have waited %v s", age)
	}
	s.out.will(nil)
	p.untilAcked(7)
	p.leave()
	s.wantDelivered(all...)
}

// garbage answers this three times, then it takes the records after all.
func garbage(answer error) func(*scene) {
	return func(s *scene) {
		var writes atomic.Int64
		s.out.will(func(_ context.Context, b *engine.Batch) error {
			if b.Key == culprit && writes.Add(1) <= 3 {
				return answer
			}
			return nil
		})
		p := s.producer(&sluicev1.Open{})
		p.append(1, tenLines()...)
		p.untilAcked(10)
		p.leave()
		s.wantDelivered(tenLines()...)
	}
}
