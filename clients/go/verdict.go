package sluice

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A gateway's refusals, as google.rpc.ErrorInfo.
const (
	errorDomain         = "sluice"
	reasonDraining      = "DRAINING"
	reasonEpochTooSmall = "EPOCH_TOO_SMALL"
	metadataEpoch       = "epoch" // the current one, decimal
)

// errEpochRaised says that the stream is to be opened again, at once, with the epoch that it has now.
var errEpochRaised = errors.New("epoch raised")

// A finalError ends the stream: trying again would not help, or do harm.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func isFinal(err error) bool {
	var final *finalError
	return errors.As(err, &final)
}

// judge says what the end of a call, after Open was sent, means for the stream: final, or worth another attempt.
func (s *Stream) judge(err error) error {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	switch status.Code(err) {
	case codes.Aborted:
		if s.isResuming() {
			return err
		}
		return &finalError{fmt.Errorf("%w: %w", ErrFenced, err)}
	case codes.InvalidArgument:
		return &finalError{err}
	case codes.FailedPrecondition:
		if current, ok := epochTooSmall(err); ok {
			return s.raise(current, err)
		}
		return &finalError{err}
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		// A stream that was never open is set up wrongly. One that was may meet a token that has just run out, or a proxy
		// whose gateway restarts.
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.everOpen {
			return &finalError{err}
		}
	default:
	}
	return err
}

// raise goes above the epoch that the gateway knows, once: a clock may have been set back between two lives of a producer.
// A stream that was open before has a successor instead, which it must not fence.
func (s *Stream) raise(current uint64, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.everOpen:
		return &finalError{fmt.Errorf("%w: %w", ErrFenced, err)}
	case s.raised || current == math.MaxUint64:
		return &finalError{err}
	}
	s.raised = true
	s.epoch = current + 1
	return errEpochRaised
}

// epochTooSmall reads the current epoch out of a gateway's refusal.
func epochTooSmall(err error) (current uint64, ok bool) {
	info := refusal(err, reasonEpochTooSmall)
	if info == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(info.GetMetadata()[metadataEpoch], 10, 64)
	return n, err == nil
}

// refusal gives what a gateway says of its refusal for this reason; nil: it refused for another, or did not.
func refusal(err error, reason string) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if ok && info.GetDomain() == errorDomain && info.GetReason() == reason {
			return info
		}
	}
	return nil
}

// retryAfter is how long a gateway asks to be left alone, 0 if it does not say.
func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}
