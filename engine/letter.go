package engine

import (
	"context"
	"fmt"
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
	Tag, StreamID  string    // of the stream, as a whole
	Since, Until   time.Time // of the last attempt: from Since on, and before Until
	IDs            []uint64
}

// Matches reports whether a letter is chosen.
func (f *LetterFilter) Matches(l *Letter) bool {
	return (f.Output == "" || f.Output == l.Output) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Tag == "" || f.Tag == l.Tag) &&
		(f.StreamID == "" || f.StreamID == l.StreamID) &&
		(f.Since.IsZero() || !l.Last.Before(f.Since)) &&
		(f.Until.IsZero() || l.Last.Before(f.Until)) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID))
}

// All reports whether nothing is set.
func (f *LetterFilter) All() bool { return len(f.IDs) == 0 && f.IDsAlone() }

// IDsAlone reports whether nothing but IDs is set.
func (f *LetterFilter) IDsAlone() bool {
	return f.Output == "" && f.Reason == "" && f.Tag == "" && f.StreamID == "" && f.Since.IsZero() && f.Until.IsZero()
}

// A LetterError says which letters of a store cannot be read: those of the IDs from From to before To. Where IDs were asked for
// all of these are among them.
type LetterError struct {
	From, To uint64
	Err      error // why
}

func (e *LetterError) Error() string {
	if e.To == e.From+1 {
		return fmt.Sprintf("dead letter %d cannot be read: %v", e.From, e.Err)
	}
	return fmt.Sprintf("dead letters %d to %d cannot be read: %v", e.From, e.To-1, e.Err)
}

// Unwrap gives the cause.
func (e *LetterError) Unwrap() error { return e.Err }

// A LetterStore keeps dead letters until somebody removes them. Its methods may be called concurrently.
type LetterStore interface {
	// Letters yields those that are chosen, in the order of storing: those that were stored before the call, and not removed when
	// their turn comes. A letter is valid until the next one is asked for. Of letters that cannot be read it yields a
	// [*LetterError], after which the others follow; any other error ends it.
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
