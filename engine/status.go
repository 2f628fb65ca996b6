package engine

import "time"

// A State is what a producer should do.
type State int

// The states, as on the wire.
const (
	StateActive   State = 1 + iota // send
	StatePaused                    // stop until the next StateActive; what is under way is still taken
	StateDraining                  // the gateway is going away
)

// A Reason says why a stream is not active.
type Reason int

// The reasons, as on the wire.
const (
	ReasonNone Reason = iota
	ReasonStreamLimit
	ReasonTenantLimit
	ReasonEngineLimit
	ReasonBufferFull
	ReasonRateLimit
	ReasonShutdown
)

// String is the reason as metrics and people read it, such as "stream_limit".
func (r Reason) String() string {
	return [...]string{"none", "stream_limit", "tenant_limit", "engine_limit", "buffer_full", "rate_limit", "shutdown"}[r]
}

// News says how a status differs from the one before it.
type News int

// From none to what cannot wait.
const (
	NewsNone  News = iota
	NewsAcked      // the ack moved as it goes along; it may wait for those that follow
	NewsNow        // all else, and an ack that the producer may be waiting for
)

// A Status is a stream's whole state as its producer should see it. The newest replaces any other.
type Status struct {
	StreamID   string
	State      State
	Reason     Reason
	Acked      uint64 // all up to and including this sequence is safe, or was rejected
	Next       uint64 // the sequence expected next
	Held       int64  // bytes admitted and not yet acked
	Limit      int64  // the effective limit that Held is measured against at this moment
	RetryAfter time.Duration
	Rejections []Rejection
}

// A Rejection names records that were refused, each for a fault of its own.
type Rejection struct {
	First, Last uint64
	Count       uint64 // less than the width where it stands for several ranges
	Code        FaultCode
	Message     string // the first one's
}
