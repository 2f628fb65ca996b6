package sluice

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// Defaults of [StreamOptions].
const (
	// DefaultBatchRecords and DefaultBatchBytes are where larger appends stop being cheaper: gRPC costs about 2 us a
	// message, whatever is in it.
	DefaultBatchRecords = 1000
	DefaultBatchBytes   = 128 << 10
	// DefaultLinger is short beside what a gateway gathers for (50 ms), and long enough that a trickle is not a message a
	// record.
	DefaultLinger = 20 * time.Millisecond
	// DefaultQueueRecords and DefaultQueueBytes bound the queue of unsent records.
	DefaultQueueRecords = 100_000
	DefaultQueueBytes   = 16 << 20
	// DefaultOpenTimeout is how long it may take until a gateway has taken the stream.
	DefaultOpenTimeout = 30 * time.Second
	// DefaultBackoffBase and DefaultBackoffCap bound the wait before another attempt to connect.
	DefaultBackoffBase = 200 * time.Millisecond
	DefaultBackoffCap  = 10 * time.Second

	// defaultMaxAppend is the gateway's own default, used until it has told its max_append_bytes; minMaxAppend is what is
	// taken for one that tells nonsense.
	defaultMaxAppend = 1 << 20
	minMaxAppend     = 1 << 10
)

// A Policy says what happens to a record that comes while the queue is full.
type Policy int

const (
	// Block waits for room, as long as the caller's context allows.
	Block Policy = iota
	// DropOldest makes room by dropping the records that have waited longest.
	DropOldest
	// DropNewest drops the record that came.
	DropNewest
)

// StreamOptions describe a stream. Only Tag is needed: everything else has a default, which zero stands for.
type StreamOptions struct {
	// Tag is what the gateway's routes match on: dotted, such as "shop.checkout".
	Tag string
	// ID names the stream within its tenant. It outlives connections and restarts, and at any time one producer alone may
	// use it: a newer one fences the older. Empty: the gateway makes one up, see [Stats].
	ID string
	// Resource says who produces the stream, see [NewResource]. It is sent once a connection; do not change it afterwards.
	Resource *sluicev1.Resource
	// Epoch is this life of the producer, greater at each of its starts. 0: the time of the start in nanoseconds.
	Epoch uint64

	// BatchRecords and BatchBytes bound one append, with all that stands around its records; a record that is larger goes
	// alone. An append never goes over what the gateway takes.
	BatchRecords, BatchBytes int
	// Linger is how long a record waits at most for others to share its append. Negative: not at all.
	Linger time.Duration

	// QueueRecords and QueueBytes bound the records that wait to be sent, WhenFull says what happens then. Bytes are of the
	// records' encoding. A record larger than QueueBytes is let into an empty queue.
	QueueRecords, QueueBytes int
	WhenFull                 Policy
	// WindowBytes bounds the records that are sent and not acked, which are kept beside the queue. The window is never
	// smaller than the gateway's limit for the stream and one append more, so that only a pause stops the sending.
	WindowBytes int

	// OpenTimeout is how long it may take until a gateway has taken the stream: to connect, until the connection has room
	// for one more call, and to answer.
	OpenTimeout time.Duration
	// BackoffBase and BackoffCap bound the wait before another attempt to connect: random, from nothing up to
	// base x 2^attempts, capped.
	BackoffBase, BackoffCap time.Duration

	// Spill gives the stream files in which its records are until they are acked. Then WhenFull is about these: what the
	// queue has no room for stays there. It needs an ID. Nil: none.
	Spill *SpillOptions

	// Hooks are told what happens to the stream.
	Hooks Hooks
}

// withDefaults fills in what was left out.
func (o StreamOptions) withDefaults() StreamOptions {
	o.BatchRecords = orDefault(o.BatchRecords, DefaultBatchRecords)
	o.BatchBytes = orDefault(o.BatchBytes, DefaultBatchBytes)
	o.Linger = max(0, orDefault(o.Linger, DefaultLinger))
	o.QueueRecords = orDefault(o.QueueRecords, DefaultQueueRecords)
	o.QueueBytes = orDefault(o.QueueBytes, DefaultQueueBytes)
	o.OpenTimeout = orDefault(o.OpenTimeout, DefaultOpenTimeout)
	o.BackoffBase = orDefault(o.BackoffBase, DefaultBackoffBase)
	o.BackoffCap = max(o.BackoffBase, orDefault(o.BackoffCap, DefaultBackoffCap))
	if o.Epoch == 0 {
		o.Epoch = uint64(time.Now().UnixNano())
	}
	if o.Spill != nil {
		o.Spill = o.Spill.withDefaults()
	}
	return o
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// check reports all that is wrong at once.
func (o StreamOptions) check() error {
	var faults []error
	if o.Tag == "" {
		faults = append(faults, errors.New("no Tag: routes would have nothing to match"))
	}
	for name, v := range map[string]int{
		"BatchRecords": o.BatchRecords, "BatchBytes": o.BatchBytes, "QueueRecords": o.QueueRecords,
		"QueueBytes": o.QueueBytes, "WindowBytes": o.WindowBytes, "OpenTimeout": int(o.OpenTimeout),
		"BackoffBase": int(o.BackoffBase), "BackoffCap": int(o.BackoffCap),
	} {
		if v < 0 {
			faults = append(faults, fmt.Errorf("%s is negative: %d", name, v))
		}
	}
	if o.Spill != nil {
		faults = append(faults, o.Spill.check(o.ID))
	}
	if o.WhenFull < Block || o.WhenFull > DropNewest {
		faults = append(faults, fmt.Errorf("WhenFull is no policy: %d", o.WhenFull))
	}
	if _, err := proto.Marshal(&sluicev1.Open{Tag: o.Tag, StreamId: o.ID, Resource: o.Resource}); err != nil {
		faults = append(faults, fmt.Errorf("ID, Tag or Resource: %w", err))
	}
	return errors.Join(faults...)
}

// NewResource makes a resource of attributes, such as slog.String("service.name", "checkout").
func NewResource(attrs ...slog.Attr) *sluicev1.Resource {
	r := &sluicev1.Resource{}
	// What appendAttrs writes is a Resource's only field, attributes = 1; it always parses.
	if err := proto.Unmarshal(appendAttrs(nil, 1, attrs), r); err != nil {
		panic(err)
	}
	return r
}
