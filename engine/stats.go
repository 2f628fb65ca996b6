package engine

import "time"

// Stats is a snapshot for metrics, probes and people. Counters only rise.
type Stats struct {
	Held, Limit, Ceiling int64            // of the engine, in bytes as charged
	StreamState          int64            // what the state of known streams is charged, in bytes
	TenantHeld           map[string]int64 // record bytes
	Streams              int              // known
	Sessions             int              // connected
	Paused               map[Reason]int   // streams paused now

	Records, Bytes int64 // admitted
	Acked          int64 // records, rejected ones included
	Repeated       int64 // records that were sent again and not stored twice
	Skipped        int64 // sequences that a producer held no more when it connected, and that were not taken here
	Rejected       map[FaultCode]int64
	Refused        map[Code]int64           // opens, appends and sends answered with an error
	Pauses         map[Reason]int64         // how often a stream was paused
	PausedFor      map[Reason]time.Duration // summed over streams, running pauses included
	Draining       bool

	Buffer  BufferStats
	Outputs []OutputStats
}

// BufferStats are a durable buffer's part of Stats.
type BufferStats struct {
	Durable      bool
	Stored, Room int64     // bytes in use of its room, and how many there are; a room of 0 is not bounded
	Failing      []Failure // what it cannot do now

	Absent       []AbsentStats // outputs that are not configured any more and still need records
	AbsentStored int64         // bytes that are kept for those alone: they are neither in Stored nor in Room
}

// AbsentStats are what an output still needs that is not configured any more.
type AbsentStats struct {
	Output         string
	Records, Bytes int64 // the bytes as charged
}

// A Failure is a work that a buffer cannot do at the moment, and tries again.
type Failure struct {
	Work  string // such as "commit"
	Since time.Time
	Err   string
}

// OutputStats is one output's part of Stats.
type OutputStats struct {
	Name            string
	InFlight, Limit int // batches
	Waiting         int // spans
	Backlog         Backlog
	ShareUsed       int64 // bytes as charged
	ShareLimit      int64
	LastRound       time.Time // when its delivery loop last looked at what there is to do: at least every 5 s while it lives
	LastAttempt     time.Time // when the last batch took off; zero: none yet
	LastSuccess     time.Time // zero: none yet
	LastError       string    // of the last failed flight, empty after a success
	Overdue         int       // writes past their deadline that have not returned
	OverdueSince    time.Time // the earliest deadline among them; zero when there is none
	ParkedKeys      int
	Done            map[DoneLabel]Tally
	Attempts        map[string]int64 // by Flight.Result
}

// A DoneLabel says how records ended.
type DoneLabel struct {
	Result string // "delivered", "dead_lettered" or "dropped"
	Reason string // empty for delivered
}

// A Tally counts records and their bytes: on the wire, or as the output's Measurer counts.
type Tally struct{ Records, Bytes int64 }

// Undelivered is what was still to be delivered to an output when the engine stopped. From memory it is lost, and told by stream. A
// durable buffer keeps it for the next start, and it is told in one; what such a buffer could not store any more is told by stream,
// without an output: its producers were not told that it is safe.
type Undelivered struct {
	Stream  *Stream // nil: of all streams
	Output  string
	Records int64
	Kept    bool
}
