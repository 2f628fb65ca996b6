package main

import (
	"math"
	"testing"
)

func TestComparisonIsOfRounds(t *testing.T) {
	t.Parallel()
	var c comparison
	// The machine is twice as slow in the second round, for both; the ratio does not see it.
	c.add(1, 1.5)
	c.add(2, 3)
	c.add(1, 2)
	if want := (spread{Median: 1.5, Least: 1.5, Most: 2}); c.Ratio != want {
		t.Errorf("ratio %+v, want %+v", c.Ratio, want)
	}
	c.add(0, 1)
	if c.Ratio != (spread{}) {
		t.Errorf("ratio to nothing: %+v", c.Ratio)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4, 0.99: 3.97} {
		if got := quantile(values, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %g: %g, want %g", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing: %g", got)
	}
}
