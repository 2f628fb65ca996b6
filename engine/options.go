package engine

import (
	"log/slog"
	"time"
)

// Options say what an Engine is made of. A zero field means its default, given beside it.
type Options struct {
	Limits  Limits
	Outputs []OutputOptions // at least one, at most MaxOutputs
	Routes  []Route         // tried in order; every one that matches takes the stream
	// NewBuffer makes the buffer for the outputs, in their order. The engine closes it.
	NewBuffer func([]BufferOutput) (Buffer, error)
	Observer  Observer     // told of every flight; none
	Log       *slog.Logger // slog.DiscardHandler
}

// Limits are in bytes where nothing else is said.
type Limits struct {
	Stream    int64   // held, unacked, of one stream: 8 MiB
	ResumeAt  float64 // part of the effective limit at or under which a paused stream resumes: 0.8
	Ceiling   int64   // where a stream is read no more: 2 x Stream; scaled down with the effective limit
	Tenant    int64   // of one tenant's streams together: as Engine
	Engine    int64   // of all: 256 MiB
	Streams   int     // known streams, connected or not: 10,000
	MaxAppend int     // of one append's encoding: 1 MiB

	// StoredStream and StoredTenant bound what a stream, and a tenant's streams together, may have in a durable buffer's room: by
	// that alone.
	StoredStream, StoredTenant int64

	GatherBytes int           // small appends of a stream gather into a chunk up to this: 256 KiB
	GatherDelay time.Duration // and no longer than this: 50 ms
}

// OutputOptions are one output and how it is delivered to.
type OutputOptions struct {
	Name      string
	Output    Output
	Scheduler Scheduler
	// Linger is the scheduler's. Without one, an append does not gather while the output is idle.
	Linger time.Duration
	Retry  Retry
	// FlushTimeout is the deadline of one Write: 60 s.
	FlushTimeout time.Duration
	// ParkLimit is how long a denied key keeps its data before it goes to the dead letters, where there are some: 10 min.
	ParkLimit time.Duration
	// DeadLetter names the output that takes what this one refuses for good. Empty: it is dropped, and counted.
	DeadLetter string
	// Share is how much of the engine's limit may wait for this output, in bytes: all of it for a single output, else
	// limit / (outputs + 1).
	Share int64
	// StartOldest: where a durable buffer does not know the output yet, it begins with the oldest that is there of what its routes
	// would have sent it, instead of with what comes.
	StartOldest bool
	// ReadBack is how much the chunks of what flies may take before nothing more takes off, in bytes: for a buffer that reads them
	// back from a disk. 0: no bound.
	ReadBack int64
	// DropOldest: over its share the output drops its oldest records, instead of pausing its streams. It takes no part in
	// safe and ack then.
	DropOldest bool
}

// Retry is a backoff with full jitter: before attempt n+1 a batch waits a random part of min(Cap, Base x 2^(n-1)).
type Retry struct {
	Base        time.Duration // 500 ms
	Cap         time.Duration // 30 s
	GiveUpAfter time.Duration // since a batch's first attempt; 0: never
}

// A Route sends the streams whose tag it matches to outputs.
type Route struct {
	// Match is a dotted pattern: "*" stands for one part of a tag, "**" for any number of them, also none.
	Match   string
	Outputs []string
}

// An Observer is told of every flight, for histograms. It may be called concurrently and must not block.
type Observer interface{ Flew(f Flight) }

// A Flight is one Write that returned.
type Flight struct {
	Output  string
	Records int
	Bytes   int // on the wire, or as the output's Measurer counts
	Latency time.Duration
	Result  string // "ok", "partial", "retryable", "throttled", "denied", "permanent", "too_large", "panic"
}
