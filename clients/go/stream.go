package sluice

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A Stream takes records and sends them in order, again where need be, until the gateway has acked them. It lives through
// pauses, lost connections and changing gateways; only [Stream.Close] or a final refusal ends it. It is safe for
// concurrent use; records of one goroutine keep their order.
//
// Records wait in a queue until they may be sent, and in a window until they are acked. Sequences are given out on the way
// from the one to the other, so what is dropped from the queue leaves no gap.
type Stream struct {
	client  *Client
	opts    StreamOptions
	ctx     context.Context // the stream's life
	cancel  context.CancelCauseFunc
	notes   *notifier
	spill   *spill    // nil without one
	scratch sync.Pool // of *[]byte, to encode records outside the mutex

	wake   chan struct{} // capacity 1: the sender has something to look at
	opened chan struct{} // closed when a gateway has taken the stream for the first time
	empty  chan struct{} // closed when the stream is closing and nothing is held
	ended  chan struct{} // closed when run has returned

	mu     sync.Mutex // guards what follows; held for no call that blocks
	queue  queue
	window window

	id        string
	epoch     uint64
	raised    bool   // the epoch was raised once, at the gateway's word
	maxAppend int    // bytes of an Append, as the gateway told last
	limit     uint64 // bytes, as the gateway told last

	everOpen bool
	paused   bool
	pausedAt time.Time
	attempts int   // to connect that failed since the last ack
	lastErr  error // of the last connection
	dialing  context.CancelFunc
	closing  bool
	err      error // set once the stream has ended

	flushTo    uint64 // ticket of the last record that Flush was called for
	unreported Drop   // from a full queue, and not yet in a report
	room       bell   // the queue has room, or the stream ends
	moved      bell   // records were acked or dropped, or the stream ends

	stats Stats // its counters and the gateway's last word; Stats fills in the rest
}

func newStream(ctx context.Context, c *Client, opts StreamOptions, sp *spill) *Stream {
	s := &Stream{
		client: c, opts: opts, spill: sp, id: opts.ID, epoch: opts.Epoch,
		notes: newNotifier(opts.Hooks),
		wake:  make(chan struct{}, 1), opened: make(chan struct{}), empty: make(chan struct{}), ended: make(chan struct{}),
		queue:  queue{maxRecords: opts.QueueRecords, maxBytes: opts.QueueBytes, batchRecords: opts.BatchRecords},
		window: window{next: 1, cursor: 1},
	}
	s.scratch.New = func() any { return new([]byte) }
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.setMaxAppend(defaultMaxAppend)
	if sp != nil {
		s.resume()
	}
	go s.run()
	return s
}

// Log queues a record of body and attributes, happening now, without a severity. As with [Stream.Add]. Strings that are
// not UTF-8 are sent as bytes.
func (s *Stream) Log(ctx context.Context, body string, attrs ...slog.Attr) error {
	now := time.Now()
	return s.encode(ctx, func(b []byte) ([]byte, error) {
		b = appendTime(b, now)
		b = appendAnyString(b, recordBody, body)
		return appendAttrs(b, recordAttributes, attrs), nil
	})
}

// Add queues a record. It does not keep r. While the queue is full it does what the stream's [Policy] says: with [Block] it
// waits for room until ctx is done, and is not queued then.
//
// With a spill it is written there first, and waits, or is dropped, only while that is full. ctx does not bound the disk.
//
// Errors: [ErrTooLarge], [ErrQueueFull], [ErrSpillFailed], one that says what cannot be encoded, ctx's, [ErrClosed], or why
// the stream has ended. In each case the record will not be sent.
func (s *Stream) Add(ctx context.Context, r *sluicev1.LogRecord) error {
	return s.encode(ctx, func(b []byte) ([]byte, error) {
		return proto.MarshalOptions{}.MarshalAppend(b, r)
	})
}

// maxScratch is how much of an encoded record's buffer is kept for the next one.
const maxScratch = 64 << 10

// encode queues the record that fill appends.
func (s *Stream) encode(ctx context.Context, fill func([]byte) ([]byte, error)) error {
	scratch, ok := s.scratch.Get().(*[]byte)
	if !ok {
		scratch = new([]byte)
	}
	record, err := fill((*scratch)[:0])
	if err != nil {
		s.mu.Lock()
		s.drop(Drop{Reason: DropMalformed, Records: 1})
		s.mu.Unlock()
		return fmt.Errorf("record dropped: %w", err)
	}
	err = s.add(ctx, record)
	if cap(record) <= maxScratch {
		*scratch = record
		s.scratch.Put(scratch)
	}
	return err
}

func (s *Stream) add(ctx context.Context, record []byte) error {
	if s.spill != nil {
		return s.addSpilled(ctx, record)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := fieldBytes(len(record))
	if err := s.checkSize(size); err != nil {
		return err
	}
	for !s.over() {
		if s.queue.fits(len(record)) {
			s.stats.Added++
			if s.queue.add(record) {
				poke(s.wake)
			}
			return nil
		}
		switch s.opts.WhenFull {
		case DropNewest:
			s.dropUnsent(size)
			return ErrQueueFull
		case DropOldest:
			s.dropUnsent(s.queue.dropOldest())
			s.moved.ring()
		case Block:
			if err := s.await(ctx, s.room.wait()); err != nil {
				return fmt.Errorf("wait for room: %w", err)
			}
		}
	}
	return s.why()
}

// checkSize drops a record that no append takes. The mutex is held.
func (s *Stream) checkSize(size int) error {
	limit := s.maxAppend - appendOverhead
	if size <= limit || s.over() {
		return nil
	}
	s.drop(Drop{Reason: DropTooLarge, Records: 1, Bytes: uint64(size)})
	return fmt.Errorf("%w: %d bytes, and at most %d", ErrTooLarge, size, limit)
}

// await lets go of the mutex until the bell has rung or ctx is done.
func (s *Stream) await(ctx context.Context, rung <-chan struct{}) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-rung:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// over tells whether the stream takes no more records, why says for what reason.
func (s *Stream) over() bool { return s.closing || s.err != nil }

func (s *Stream) why() error {
	if s.err != nil {
		return s.err
	}
	return ErrClosed
}

// Flush asks the gateway not to linger, and waits until every record that was queued before is acked, rejected or dropped.
// It does not hurry a paused gateway. Errors: ctx's, or why the stream has ended.
func (s *Stream) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.queue.ticket
	s.flushTo = target
	s.queue.seal()
	poke(s.wake)
	for s.heldTicket() <= target {
		if s.err != nil {
			return s.err
		}
		if err := s.await(ctx, s.moved.wait()); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	return nil
}

// heldTicket is the lowest ticket that is queued or unacked, or the next one to be given out.
func (s *Stream) heldTicket() uint64 {
	if t, ok := s.window.ticket(); ok {
		return t
	}
	if t, ok := s.unsentTicket(); ok {
		return t
	}
	return s.queue.ticket + 1
}

// Ready waits until a gateway has taken the stream for the first time. Errors: ctx's, with the last failure to connect, or
// why the stream has ended.
func (s *Stream) Ready(ctx context.Context) error {
	select {
	case <-s.opened:
		return nil
	case <-s.ended:
		return s.Err()
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr != nil {
		return fmt.Errorf("open stream: %w: %w", context.Cause(ctx), s.lastErr)
	}
	return fmt.Errorf("open stream: %w", context.Cause(ctx))
}

// Done is closed once the stream has ended, after which Err says why.
func (s *Stream) Done() <-chan struct{} { return s.ended }

// Err says why the stream has ended: [ErrClosed] after Close, [ErrFenced], the gateway's refusal, or the context's error.
// Nil while it lives.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
