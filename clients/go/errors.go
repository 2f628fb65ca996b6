package sluice

import "errors"

// Errors that callers may want to tell apart with [errors.Is].
var (
	// ErrClosed is returned by a stream that was closed, or is being closed.
	ErrClosed = errors.New("stream is closed")
	// ErrFenced ends a stream whose ID a newer producer has taken over. It is final.
	ErrFenced = errors.New("fenced: a newer producer has taken the stream over")
	// ErrQueueFull is returned for a record that was dropped because the queue was full, with [DropNewest].
	ErrQueueFull = errors.New("record dropped: queue full")
	// ErrTooLarge is returned for a record that does not fit into the largest append that the gateway takes. The record is
	// counted as dropped and never sent.
	ErrTooLarge = errors.New("record dropped: larger than the gateway takes")
)

// Why a connection ended without the gateway saying so. Each is followed by another attempt.
var (
	errDraining    = errors.New("gateway is draining")
	errOpenTimeout = errors.New("gateway did not open the stream in time")
	errEnded       = errors.New("gateway ended the stream")
	errNotOpened   = errors.New("gateway waited for Open no longer") // as the one before still drains: nobody is told
)
