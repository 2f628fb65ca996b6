package engine

import (
	"fmt"
	"time"
)

// A Code classes what a producer did wrong, or what the engine cannot do for it now. The server has a gRPC status for each.
type Code int

// The codes.
const (
	CodeInvalidArgument    Code = 1 + iota // final: the message is wrong in itself
	CodeFailedPrecondition                 // final: no route, a gap in sequence, an older epoch
	CodeAborted                            // final: a newer connection took the stream over
	CodeResourceExhausted                  // paused, or too many streams: later
	CodeUnavailable                        // the gateway is going away: elsewhere, or later
)

// An Error is answered to a producer.
type Error struct {
	Code       Code
	Field      string        // what of the request it is about, such as "open.tag"; may be empty
	Msg        string        // for people
	Reason     string        // for programs: an upper-case word such as "EPOCH_TOO_SMALL"
	Epoch      uint64        // EPOCH_TOO_SMALL: the current one
	RetryAfter time.Duration // CodeResourceExhausted, CodeUnavailable: when it may be worth while
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s: %s", e.Field, e.Msg)
}
