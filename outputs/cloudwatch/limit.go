package cloudwatch

import (
	"math"
	"time"
)

// perEvent is what AWS counts for an event besides its message, in bytes
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html, as all that follows).
const perEvent = 26

// limits are those of one PutLogEvents. All of them are inclusive.
type limits struct {
	bytes   int           // of all events, each with perEvent
	records int           // events
	span    time.Duration // from the oldest event to the newest
	past    time.Duration // how old an event may be
	future  time.Duration // how far ahead of the clock it may be
}

func awsLimits() limits {
	return limits{
		bytes:   1_048_576,
		records: 10_000,
		span:    24 * time.Hour,
		past:    14 * 24 * time.Hour,
		future:  2 * time.Hour,
	}
}

// message is how long one message may be, in bytes.
func (l *limits) message() int { return l.bytes - perEvent }

// window is from when to when an event may be, at that time, in milliseconds since the Unix epoch; at the zero Time any.
func (l *limits) window(now time.Time) (low, high int64) {
	if now.IsZero() {
		return math.MinInt64, math.MaxInt64
	}
	return now.Add(-l.past).UnixMilli(), now.Add(l.future).UnixMilli()
}
