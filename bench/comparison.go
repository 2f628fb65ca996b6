package main

import (
	"fmt"
	"slices"
)

// A comparison is one figure of the gateway beside the same figure of its baseline, round by round. A ratio is of two
// figures of one round, which saw the same machine; what is told is the median of the rounds.
type comparison struct {
	Floor   []float64 `json:"floor"`
	Gateway []float64 `json:"gateway"`
	Ratio   spread    `json:"ratio"` // zero where the floor's figure is too small to compare with
}

// A spread is what the rounds gave.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// add adds a round.
func (c *comparison) add(floor, gateway float64) {
	c.Floor = append(c.Floor, floor)
	c.Gateway = append(c.Gateway, gateway)
	c.Ratio = spread{}
	if slices.Min(c.Floor) <= 0 {
		return
	}
	ratios := make([]float64, len(c.Floor))
	for i := range ratios {
		ratios[i] = c.Gateway[i] / c.Floor[i]
	}
	c.Ratio = spread{Median: quantile(ratios, 0.5), Least: slices.Min(ratios), Most: slices.Max(ratios)}
}

// String is for people who wait.
func (c *comparison) String() string {
	return fmt.Sprintf("%.3g beside %.3g: %s", quantile(c.Gateway, 0.5), quantile(c.Floor, 0.5), c.Ratio)
}

// String is the median, and between what the rounds lay.
func (s spread) String() string {
	if s == (spread{}) {
		return "-"
	}
	return fmt.Sprintf("%.2fx (%.2f-%.2f)", s.Median, s.Least, s.Most)
}

// quantile is the value that a part q of the values lie below.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
