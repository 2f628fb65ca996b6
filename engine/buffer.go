package engine

import (
	"context"
	"errors"
	"time"
)

// ErrClosed is answered by what was closed.
var ErrClosed = errors.New("closed")

// ErrLost is answered for a chunk that cannot be read any more, and never will be.
var ErrLost = errors.New("lost")

// A Buffer is a log of chunks that every output reads through its own cursor. It has no timers and no retries. All its
// methods may be called concurrently.
type Buffer interface {
	// Append stores the chunks of one append, in order, without blocking and without calling back from inside: it runs
	// under the stream's lock, which is what keeps order. It takes the caller's reference to each chunk over, also when it
	// fails. It fails with ErrClosed, for faults of the caller's, and for nothing else: a buffer that cannot store them now, for its disk
	// is full or its server away, keeps them charged until it can, and its meters pause the streams. safe is called once, later, from another goroutine or from
	// within a Cursor's Done after all locks are released, when all of them are safe: losing this process would not lose
	// them, or on memory every output that takes part is done with them. A chunk that no output needs is safe at once; for
	// those Append reports true and never calls safe. A chunk's free may run inside, under the stream's lock: it must not
	// take that.
	Append(cs []*Chunk, safe func()) (already bool, err error)

	// Cursor is the named output's. There is one, and it lives as long as the buffer.
	Cursor(output string) (Cursor, error)

	// Durable reports whether what is safe outlives the process.
	Durable() bool

	// Close releases what is held. Appends and cursors answer ErrClosed afterwards.
	Close() error
}

// A BufferOutput is what a buffer knows of an output. The outputs' order is that of OutputSet.
type BufferOutput struct {
	Name string
	// Optional: the output takes no part in safe and ack (when_full: drop_oldest).
	Optional bool
	// StartOldest: a durable buffer that does not know the output yet has it begin with the oldest chunk of a tag that Takes says
	// yes to, instead of with what comes.
	StartOldest bool
	Takes       func(tag string) bool
	// Share is charged, in Chunk.Charge bytes, with all that the output still needs. Nil: not measured.
	Share *Meter
}

// A Pos is a chunk's place in a cursor. It is meaningful to the cursor that gave it out, until the chunk is done there.
type Pos uint64

// A Part is records of one chunk, in one cursor.
type Part struct {
	Pos     Pos
	Records Selection
}

// A Cursor is one output's way through a buffer. Next is called by one goroutine at a time; the others by any.
type Cursor interface {
	// Next gives the next chunk that goes to this output, retained for the caller, with the records of it that the output needs:
	// all, but for those that it was done with in another life of the process. Or false when there is none yet; Wake says when
	// to ask again. It waits for nobody, but may read from a disk. The chunk counts as needed until all these records were given
	// to Done.
	Next() (Part, *Chunk, bool)
	// Wake has capacity 1 and is signalled when Next has more to give.
	Wake() <-chan struct{}
	// Load gives the chunk at p again, retained for the caller, reading it back where the buffer had to. It fails with ErrLost
	// where that is in vain, and otherwise for what may pass.
	Load(ctx context.Context, p Pos) (*Chunk, error)
	// Done says that the output needs these records no more. Each record may be told once. One lock a call. A part that
	// names an unknown position, or more records than are left of it, is an error; the other parts are taken.
	Done(parts []Part) error
	// Backlog is what the output still needs.
	Backlog() Backlog
}

// A Giver is the cursor of a buffer that is larger than memory: it is read ahead no further than is needed. Given is how many
// bytes, as charged, it gave out that are not done; what a process before this one was given counts, too.
type Giver interface{ Given() int64 }

// A Loser is a cursor that may find, before it gives a chunk out, that it cannot be read any more. Lost is how many records that
// were, since the buffer was opened.
type Loser interface{ Lost() int64 }

// A Backlog is what an output has yet to deliver.
type Backlog struct {
	Chunks  int
	Records int64
	Bytes   int64     // as charged
	Oldest  time.Time // arrival of the oldest chunk that is not done; zero when there is none
}
