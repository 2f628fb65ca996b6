package engine

import "time"

// A Scheduler decides what flies next at one output. It is pure: no goroutine, no clock, no lock; the output's delivery
// loop drives it and tells it the time, which never goes back.
type Scheduler interface {
	// Add takes a span that waits to be delivered. Spans of one key leave in the order in which they were added.
	Add(now time.Time, s Span)
	// Next gives a batch that flies now, or nil and how long until it is worth asking again if nothing else happens:
	// negative when only Add or Done can change the answer. The oldest key goes first, by the arrival of what waits. What is
	// tried again is no older than when it fell due, so that a key which fails for ever takes turns with the others.
	Next(now time.Time) (b *Batch, wait time.Duration)
	// Follow gives the batch that is the next to fly, should the one that flies be delivered whole; nil where there is none
	// yet, or where that were all the same to it. It stands by: it does not fly, and nothing else of its key does. Only a full
	// one does, of what was never attempted. Where the one that flies is not delivered whole, what stands by comes back before
	// it does.
	Follow(now time.Time, flying *Batch) *Batch
	// Launch says that a batch which stands by flies now, and reports whether it may: there may be no slot for it any more, or
	// something of its key may fly.
	Launch(now time.Time, b *Batch) bool
	// Done says that a batch which Next or Follow gave has come back.
	Done(now time.Time, b *Batch, r Result)
	// Hurry lets what the stream has waiting fly without linger, and what is before it under the same keys.
	Hurry(now time.Time, s *Stream)
	// Drain ends all lingering and backing off, for good.
	Drain(now time.Time)
	// Evict removes and gives the oldest of what does not fly, by arrival; nothing when there is none. Of what waits that is
	// the first span of the oldest's key. What was attempted goes whole; its key waits out the backoff all the same.
	Evict(now time.Time) []Span
	// Take removes and gives all spans of a key that do not fly, attempted or not, in order.
	Take(now time.Time, key string) []Span
	// Waiting is how many spans do not fly.
	Waiting() int
	// InFlight is how many batches fly, and how many may.
	InFlight() (now, limit int)
}

// A Result is how a flight ended. The policy behind it is the delivery loop's.
type Result struct {
	Rest []*Batch // what is to be tried again, frozen, in order, each not before its NotBefore
	// Back is what was not tried after all, in order. It waits as it did before it flew, in front of all else that waits
	// under its key. Only a batch that is no rest of an attempted one may have some.
	Back     []Span
	Unflown  bool          // it was put down again before it was sent: nothing is to be learnt from it
	Cool     time.Time     // nothing of this output flies before; zero: no change
	Latency  time.Duration // of the Write
	Pushback bool          // the destination throttled or timed out: the adaptive limit backs off
}
