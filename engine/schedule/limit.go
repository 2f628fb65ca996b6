package schedule

import "time"

// A Limit says how many batches may fly at once. It belongs to one scheduler, which alone calls it.
type Limit interface {
	// Now is how many may fly, at least 1.
	Now() int
	// Landed tells of a flight that ended.
	Landed(l Landing)
}

// A Landing is what a limit learns from.
type Landing struct {
	Latency  time.Duration // of the Write
	Pushback bool          // the destination throttled or timed out
	Failed   bool          // something of the batch has to back off
	Bound    bool          // the limit was all that kept a batch from flying
	Flying   int           // how many fly still
}

// Fixed lets always the same number of batches fly; one, where it is less.
type Fixed int

// Now implements [Limit].
func (f Fixed) Now() int { return max(int(f), 1) }

// Landed implements [Limit].
func (Fixed) Landed(Landing) {}
