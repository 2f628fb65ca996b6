package schedule

import "math"

// The figures of [Adaptive]. A peer that began at one and only ever added one found too little, and so did one that took
// every unsteady answer for a rise in latency.
const (
	// keep is what a push-back or a rise in latency leaves of the limit: CUBIC's beta (RFC 9438, 4.6). A half, as in older
	// TCPs, leaves slots empty for as many rounds as it took away.
	keep = 0.7
	// Latency has risen when the mean of a window is slow times the baseline, and above it by so many standard deviations
	// of that mean as to be sure. Double the latency at double the limit means that the additional batches only queued;
	// less than half of that is weather, and so is a mean that one late answer made.
	slow, sure = 1.5, 3
	// window is the fewest answers that latency is judged by.
	window = 8
	// The baseline goes an eighth of the way to a faster window, so it is found again soon after a queue is gone, and a
	// thirty-second to a slower one. A queue that grows by one batch a round can get past that: it costs no throughput, and
	// the maximum bounds it.
	faster, slower = 8, 32
)

// Adaptive is a limit that finds itself. It begins at its minimum and doubles with every round of landings until the first
// push-back or rise in latency; from then on it adds one a round and falls to 0.7 on either. It rises only while it is what
// binds. A round is as many landings as may fly, so the limit falls once for all the batches that were on their way together.
//
// A destination that has become slower for good costs one decrease: the latency after it is the new baseline.
type Adaptive struct {
	min, max, now int

	started  bool // slow start is over
	settling int  // landings of batches that left under a limit which has fallen since
	landed   int  // in this round
	bound    bool // in this round the limit was what kept batches from flying

	judged   int     // landings in this window
	sum      float64 // of their latencies, in seconds
	squares  float64 // of these, summed
	baseline float64 // seconds; zero: none yet
}

// NewAdaptive makes a limit that starts at least, or 1 where that is more, and never goes below that nor above most.
func NewAdaptive(least, most int) *Adaptive {
	least = max(least, 1)
	return &Adaptive{min: least, max: max(most, least), now: least}
}

// Now implements [Limit].
func (a *Adaptive) Now() int { return a.now }

// Landed implements [Limit]. A failure that is no push-back says nothing about how much the destination takes.
func (a *Adaptive) Landed(l Landing) {
	if a.settling > 0 {
		a.settling--
		return
	}
	if l.Pushback {
		a.lower(l.Flying)
		return
	}
	if l.Failed {
		return
	}
	a.landed++
	a.bound = a.bound || l.Bound
	if a.slowed(l.Latency.Seconds()) {
		a.lower(l.Flying)
		return
	}
	if a.landed < a.now {
		return
	}
	if a.bound {
		a.raise()
	}
	a.landed, a.bound = 0, false
}

func (a *Adaptive) raise() {
	if a.started {
		a.now++
	} else {
		a.now *= 2
	}
	a.now = min(a.now, a.max)
}

// lower gives up what is too much. In slow start that is the last doubling.
func (a *Adaptive) lower(flying int) {
	if a.started {
		a.now = int(float64(a.now) * keep)
	} else {
		a.now /= 2
	}
	a.now = max(a.now, a.min)
	a.started = true
	a.settling = flying
	a.landed, a.bound = 0, false
	a.judged, a.sum, a.squares = 0, 0, 0
}

// slowed reports whether a window has ended whose answers took longer than the baseline, by much and not by chance.
// Windows count only rounds in which the limit binds: elsewhere batches are small, so their latency is no measure for
// full ones.
func (a *Adaptive) slowed(latency float64) bool {
	if !a.bound {
		return false
	}
	a.judged++
	a.sum += latency
	a.squares += latency * latency
	if a.judged < max(window, a.now) {
		return false
	}
	n := float64(a.judged)
	mean := a.sum / n
	deviation := math.Sqrt(max(a.squares/n-mean*mean, 0) / n) // of the mean
	a.judged, a.sum, a.squares = 0, 0, 0
	switch base := a.baseline; {
	case base == 0:
		a.baseline = mean
	case mean > slow*base && mean-sure*deviation > base:
		a.baseline = 0
		return true
	case mean < base:
		a.baseline -= (base - mean) / faster
	default:
		a.baseline += (mean - base) / slower
	}
	return false
}
