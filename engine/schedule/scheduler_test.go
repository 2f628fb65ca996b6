package schedule_test

import (
	"testing"

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
