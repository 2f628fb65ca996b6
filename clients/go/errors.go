package sluice

import "errors"

// Errors that callers may want to tell apart with [errors.Is].
var (
	// ErrClosed is returned by a stream that was closed, or is being closed.
	ErrClosed = errors.New("stream is closed")
	// ErrFenced ends a stream whose ID a newer producer has taken over. It is final.
	ErrFenced = errors.New("fenced: a newer producer has taken the stream over")
	// ErrQueueFull is returned for a record that was dropped because the queue, or the spill, was full: with [DropNewest],
	// and with [DropOldest] if a spill has nothing older to drop, for all of it is sent and not acked.
	ErrQueueFull = errors.New("record dropped: queue full")
	// ErrTooLarge is returned for a record that does not fit into the largest append that the gateway takes. The record is
	// counted as dropped and never sent.
	ErrTooLarge = errors.New("record dropped: larger than the gateway takes")
	// ErrSpillFailed is returned for a record that could not be written to the spill. It is counted as dropped and never
	// sent. What the disk said is wrapped with it; once the disk works again so does the stream.
	ErrSpillFailed = errors.New("record dropped: spill cannot be written")
	// ErrSpillLocked is returned where another stream, of this process or another one, has the spill's directory.
	ErrSpillLocked = errors.New("another stream has the spill")
)

// Why a connection ended without the gateway saying so. Each is followed by another attempt.
var (
	errDraining    = errors.New("gateway is draining")
	errOpenTimeout = errors.New("gateway did not open the stream in time")
	errEnded       = errors.New("gateway ended the stream")
	errAdvance     = errors.New("what comes next is sent once the stream is opened anew")
	errForeign     = errors.New("gateway knows sequences that were never sent: another producer has the same ID and epoch")
	errNotOpened   = errors.New("gateway waited for Open no longer") // as the one before still drains: nobody is told
)
