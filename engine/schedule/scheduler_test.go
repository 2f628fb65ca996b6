package schedule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/schedule"
)

func TestSync(t *testing.T) {
	enginetest.TestScheduler(t, true, func(limits engine.BatchLimits, _ int) engine.Scheduler {
		return schedule.NewSync(limits)
	})
}

func TestKeyed(t *testing.T) {
	t.Run("fixed", func(t *testing.T) {
		enginetest.TestScheduler(t, true, func(limits engine.BatchLimits, n int) engine.Scheduler {
			return schedule.NewKeyed(limits, schedule.Fixed(n))
		})
	})
	t.Run("adaptive", func(t *testing.T) {
		enginetest.TestScheduler(t, true, func(limits engine.BatchLimits, n int) engine.Scheduler {
			return schedule.NewKeyed(limits, schedule.NewAdaptive(n, 4*n))
		})
	})
}

func TestConcurrent(t *testing.T) {
	t.Run("fixed", func(t *testing.T) {
		enginetest.TestScheduler(t, false, func(limits engine.BatchLimits, n int) engine.Scheduler {
			return schedule.NewConcurrent(limits, schedule.Fixed(n))
		})
	})
	t.Run("adaptive", func(t *testing.T) {
		enginetest.TestScheduler(t, false, func(limits engine.BatchLimits, n int) engine.Scheduler {
			return schedule.NewConcurrent(limits, schedule.NewAdaptive(n, 4*n))
		})
	})
}

// With one batch in flight, as many full ones fly as one as wait, up to Bulk; what is not full waits to be filled.
func TestBulk(t *testing.T) {
	const full, linger = 10, time.Minute
	for name, c := range map[string]struct {
		limits    engine.BatchLimits
		scheduler func(engine.BatchLimits) *schedule.Scheduler
		waiting   int
		want      []int
	}{
		"by records":     {engine.BatchLimits{MaxRecords: full, Bulk: 4}, schedule.NewSync, 95, []int{40, 40, 10}},
		"by bytes":       {engine.BatchLimits{MaxBytes: 3 * full, Bulk: 4}, schedule.NewSync, 95, []int{40, 40, 10}},
		"by either":      {engine.BatchLimits{MaxRecords: full, MaxBytes: 1000, Bulk: 2}, schedule.NewSync, 25, []int{20}},
		"one and a half": {engine.BatchLimits{MaxRecords: full, Bulk: 4}, schedule.NewSync, 15, []int{10}},
		"none":           {engine.BatchLimits{MaxRecords: full}, schedule.NewSync, 25, []int{10, 10}},
		"of many in flight": {
			engine.BatchLimits{MaxRecords: full, Bulk: 4},
			func(l engine.BatchLimits) *schedule.Scheduler { return schedule.NewKeyed(l, schedule.Fixed(2)) }, 25, []int{10, 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.limits.Linger = linger
			s, stream, now := c.scheduler(c.limits), &engine.Stream{}, time.Unix(0, 0)
			for range c.waiting {
				s.Add(now, engine.Span{Stream: stream, Records: engine.SelectRange(0, 1), Bytes: 3, Arrived: now})
			}
			var got []int
			for b, _ := s.Next(now); b != nil; b, _ = s.Next(now) {
				got = append(got, b.Records)
				s.Done(now, b, engine.Result{})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("batches of %v records, want %v", got, c.want)
			}
		})
	}
}
