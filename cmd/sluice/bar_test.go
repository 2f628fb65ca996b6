package main

import (
	"strings"
	"testing"
)

// The bar moves with what is acked, not with what was read, and lines that became no record do not stop it.
func TestBarFollowsAcks(t *testing.T) {
	b := newBar(&strings.Builder{}, 4*barStep)
	b.read(barStep, true)
	b.read(barStep, false)
	b.read(barStep-1, true)
	b.read(barStep+1, true)
	for _, step := range []struct {
		acked uint64
		want  float64
	}{{0, 0}, {1, 2 * barStep}, {1, 2 * barStep}, {2, 2 * barStep}, {3, 4 * barStep}} {
		b.show(step.acked)
		if got := b.bar.State().CurrentBytes; got != step.want {
			t.Errorf("%d acked: bar is at %.0f, want %.0f", step.acked, got, step.want)
		}
	}
}

// A line is written where the bar was, and the bar stands under it again at once.
func TestBarStandsUnderLines(t *testing.T) {
	var w strings.Builder
	d := &display{w: &w, bar: newBar(&w, 100)}
	d.bar.show(0)
	d.say("paused")
	above, under, found := strings.Cut(w.String(), "paused\n")
	if !found || !strings.HasSuffix(above, "\r") || !strings.Contains(under, "0%") {
		t.Errorf("wrote %q", w.String())
	}
}
