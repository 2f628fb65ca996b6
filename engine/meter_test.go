package engine_test

import (
	"sync"
	"testing"

	"github.com/sluicelog/sluice/engine"
)

func TestMeter(t *testing.T) {
	m := engine.NewMeter(1000)
	for _, step := range []struct{ add, used, free int64 }{
		{0, 0, 1000},
		{700, 700, 300},
		{500, 1200, -200}, // it never refuses
		{-700, 500, 500},
		{-500, 0, 1000},
	} {
		m.Add(step.add)
		if m.Used() != step.used || m.Free() != step.free || m.Limit() != 1000 {
			t.Errorf("after %+d: used %d, free %d, limit %d; want %d, %d, 1000",
				step.add, m.Used(), m.Free(), m.Limit(), step.used, step.free)
		}
	}
}

func TestMeterConcurrently(t *testing.T) {
	m := engine.NewMeter(1)
	var wg sync.WaitGroup
	for n := range int64(8) {
		wg.Go(func() {
			for range 1000 {
				m.Add(n)
				m.Add(-n)
			}
			m.Add(n)
		})
	}
	wg.Wait()
	if m.Used() != 28 {
		t.Errorf("used %d, want 28", m.Used())
	}
}
