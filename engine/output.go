package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Output writes batches to one destination.
//
// Write answers nil when all is delivered. Otherwise it answers an error of one of the kinds below, or a [*Partial]. Any
// other error is read as retryable. Write should end when ctx does; one that does not keeps its slot, its key and its
// memory until it returns. It is called from up to as many goroutines at once as the scheduler lets fly; and where the
// output says that a batch is sent ([Batch.Sent]) as many again, which wait for their turn ([Batch.Turn]).
//
// An Output may also be a [Keyer], a [Batcher], a [Measurer] and an io.Closer, which is called once, after the last Write
// returned.
type Output interface {
	Write(ctx context.Context, b *Batch) error
}

// A Keyer says what must stay in order at the destination. An output without one has a single key. Its methods may be
// called concurrently with Write, but not with themselves.
type Keyer interface {
	// PerRecord reports whether the records of this chunk may have different keys.
	PerRecord(c *Chunk) bool
	// AppendKey appends the record's key to dst. Where PerRecord says no, it is asked once for the chunk, with no record.
	AppendKey(dst []byte, c *Chunk, r Record) []byte
}

// A Batcher says how large a batch its output wants.
type Batcher interface{ Batching() BatchLimits }

// A Measurer is an output that measures records otherwise than by their wire bytes: in the bytes that its own limit counts.
// BatchLimits.MaxBytes and Batch.Bytes are then in that measure. It need not be exact; what did not fit after all is
// answered as a Partial without an error. Its methods may be called concurrently with Write, but not with themselves.
type Measurer interface {
	Measure(c *Chunk, r Record) int
}

// BatchLimits bound a batch. A zero field means no bound, but for Linger, where it means not to wait.
type BatchLimits struct {
	MaxBytes   int // wire bytes of the records, or as a Measurer counts
	MaxRecords int
	MaxPinned  int           // what the chunks take that the records lie in, as charged; one is always let in
	Linger     time.Duration // how long a batch that is not full may wait, from its oldest record's arrival
}

// A Kind is how an output's error is to be taken.
type Kind int

// The kinds of error.
const (
	KindRetryable Kind = iota // try the same batch again, after a backoff
	KindThrottled             // the same, and the whole output cools
	KindDenied                // park the batch's key, keep its data, probe again later
	KindPermanent             // will never be taken: bisect to the record, which becomes a dead letter
	KindTooLarge              // the same, for size alone
)

// A WriteError is an error with its kind. Make one with Retryable, RetryAfter, Denied, Permanent or TooLarge.
type WriteError struct {
	Kind   Kind
	After  time.Duration // KindThrottled: how long the destination asked to be left alone; 0: it did not say
	Reason string        // KindPermanent: a short code of a bounded set, for metrics and dead letters
	Err    error
	// RequestID is what the destination calls the request by, where it says so: for dead letters.
	RequestID string
}

func (e *WriteError) Error() string {
	if e.Err == nil {
		return resultOf(e.Kind)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// Retryable says that the batch may be taken later.
func Retryable(err error) error { return &WriteError{Kind: KindRetryable, Err: err} }

// RetryAfter says that the destination throttles, and for how long it asked to be left alone; 0 where it did not say.
func RetryAfter(d time.Duration, err error) error {
	return &WriteError{Kind: KindThrottled, After: d, Err: err}
}

// Denied says that the destination does not let us in, which somebody may mend.
func Denied(err error) error { return &WriteError{Kind: KindDenied, Err: err} }

// Permanent says that the batch will never be taken as it is. reason is a short code such as "http_400".
func Permanent(reason string, err error) error {
	return &WriteError{Kind: KindPermanent, Reason: reason, Err: err}
}

// TooLarge says that the batch is too large for the destination.
func TooLarge(err error) error { return &WriteError{Kind: KindTooLarge, Reason: "too_large", Err: err} }

// OfRequest says by what the destination calls the request that failed, where it said so, for dead letters. err is of one of the
// kinds above.
func OfRequest(id string, err error) error {
	if we, ok := errors.AsType[*WriteError](err); ok && id != "" {
		named := *we
		named.RequestID = id
		return &named
	}
	return err
}

// AsWriteError returns the kind of any error that Write may answer, a Partial's cause included.
func AsWriteError(err error) *WriteError {
	if we, ok := errors.AsType[*WriteError](err); ok {
		return we
	}
	return &WriteError{Kind: KindRetryable, Err: err}
}

// A Partial says which records of a batch were taken, by their index in the batch. What was taken is never sent again. What
// is in neither list is tried again as Err says; where Err is nil it was not tried yet, and waits in its old place.
type Partial struct {
	Delivered []Range
	Rejected  []Rejected
	Err       error
}

// A Range is the records From to To-1 of a batch.
type Range struct{ From, To int }

// Rejected are records that the destination will never take.
type Rejected struct {
	Range
	Reason  string // a short code of a bounded set
	Message string
	// RequestID is what the destination calls the request by, where it says so.
	RequestID string
}

func (p *Partial) Error() string {
	n := 0
	for _, r := range p.Rejected {
		n += r.To - r.From
	}
	if p.Err == nil {
		return fmt.Sprintf("partly delivered, %d records rejected", n)
	}
	return fmt.Sprintf("partly delivered, %d records rejected: %v", n, p.Err)
}

// Unwrap gives the cause.
func (p *Partial) Unwrap() error { return p.Err }
