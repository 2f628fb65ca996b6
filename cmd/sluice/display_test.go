package main

import (
	"strings"
	"testing"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// What a pause is told with is what it is for: a sender that a full disk stops holds hardly anything.
func TestPausesAreTold(t *testing.T) {
	for _, c := range []struct {
		pause sluice.Pause
		want  string
	}{
		{sluice.Pause{Reason: sluicev1.Reason_REASON_STREAM_LIMIT, HeldBytes: 2 << 20, LimitBytes: 1 << 20}, "paused: stream_limit, 2.0 MiB held of 1.0 MiB\n"},
		{sluice.Pause{Reason: sluicev1.Reason_REASON_BUFFER_FULL, HeldBytes: 2 << 20, LimitBytes: 1 << 20}, "paused: buffer_full, 2.0 MiB held of 1.0 MiB\n"},
		{sluice.Pause{Reason: sluicev1.Reason_REASON_BUFFER_FULL, LimitBytes: 1 << 20}, "paused: buffer_full, the gateway has no room for more to be stored\n"},
	} {
		var told strings.Builder
		newDisplay(&told, 0, false).hooks().OnPause(c.pause)
		if got := told.String(); got != c.want {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
}
