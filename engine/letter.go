package engine

import (
	"context"
	"iter"
	"slices"
	"time"
)

// A Letter is a dead letter as a store keeps it: one record, what it belongs to, and why its output would not take it.
type Letter struct {
	ID uint64 // rises in the order of storing; never used twice
	DeadLetter
	Tenant, StreamID, Tag string // of its stream
	Epoch, Sequence       uint64
	Arrived               time.Time // when the first record of its chunk was admitted
	Resource, Scope       []byte    // OTLP, in wire form
	Record                Record
}

// A LetterFilter chooses letters. A zero field chooses all.
type LetterFilter struct {
	Output, Reason string
	Since, Until   time.Time // of the last attempt: from Since on, and before Until
	IDs            []uint64
}

// Matches reports whether a letter is chosen.
func (f *LetterFilter) Matches(l *Letter) bool {
	return (f.Output == "" || f.Output == l.Output) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Since.IsZero() || !l.Last.Before(f.Since)) &&
		(f.Until.IsZero() || l.Last.Before(f.Until)) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID))
}

// A LetterStore keeps dead letters until somebody removes them. Its methods may be called concurrently.
type LetterStore interface {
	// Letters yields those that are chosen, in the order of storing: those that were stored before the call, and not removed when
	// their turn comes. A letter is valid until the next one is asked for. A letter that cannot be read is an error of its own,
	// after which the others follow; any other error ends it.
	Letters(ctx context.Context, f LetterFilter) iter.Seq2[*Letter, error]
	// Remove removes letters, and forgets that they were there. What it removed stays so after a crash once it has returned. An ID
	// that is not there is passed over.
	Remove(ctx context.Context, ids []uint64) error
}

// LetterStats are how a store fares.
type LetterStats struct {
	Letters     int64 // that are in it
	Bytes, Room int64 // that they take on the disk, and may
	Failing     error // why it takes no more; nil: it does
}
