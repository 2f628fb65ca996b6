package sluice

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A Report says exactly what was not acked when a stream ended. With a spill that is Kept, and nothing is lost.
type Report struct {
	Unacked     int    // records that were sent and not acked; the gateway may have them
	First, Last uint64 // their sequences; 0 if there are none
	Unsent      int    // records that were never sent
	Bytes       int    // of both, in records' encoding
	Kept        int    // records that were not acked and are in the spill, where the next start finds them

	blocks []*block
}

// Lost is how many records were not acked and are not kept.
func (r Report) Lost() int { return r.Unacked + r.Unsent }

// Records gives the records that were not acked, in order, each with its sequence, which is 0 for those that were never
// sent. They are decoded on the way. One that nests deeper than protobuf reads, though it writes it, is given with all of its
// encoding as unknown fields.
func (r Report) Records() iter.Seq2[uint64, *sluicev1.LogRecord] {
	return func(yield func(uint64, *sluicev1.LogRecord) bool) {
		for _, b := range r.blocks {
			data, sequence := b.data, b.first
			for range b.count {
				n := fieldSize(data)
				field, _ := protowire.ConsumeBytes(data[1:n])
				record := new(sluicev1.LogRecord)
				if proto.Unmarshal(field, record) != nil {
					record.Reset()
					record.ProtoReflect().SetUnknown(field)
				}
				if !yield(sequence, record) {
					return
				}
				data = data[n:]
				if sequence != 0 {
					sequence++
				}
			}
		}
	}
}

// Close ends the stream: it takes no more records, sends those that are queued, and waits until all are acked. Once ctx is
// done it waits no longer, ends the connection and reports what was left. It may be called more than once, and gives the
// same report each time, but not in a hook.
//
// Close must be called, also for a stream that has ended by itself. The error is nil exactly if nothing was lost;
// otherwise it says why. With a spill nothing is, and the files are free for the next stream when Close returns.
func (s *Stream) Close(ctx context.Context) (Report, error) {
	s.beginClose()

	select {
	case <-s.ended:
	case <-ctx.Done():
		s.cancel(context.Cause(ctx))
		<-s.ended
	}
	s.notes.stop(ctx)
	s.client.forget(s)

	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.left()
	if r.Lost() > 0 {
		return r, fmt.Errorf("close stream %q: %d records not acked: %w", s.name(), r.Lost(), s.err)
	}
	return r, nil
}

// beginClose has the stream take no more records, but for a report of the last drops.
func (s *Stream) beginClose() {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	var last *commit
	if s.err == nil && s.spill != nil {
		last = s.joinReport(0)
	} else if s.err == nil {
		s.reportDrops(true)
	}
	s.closing = true
	s.queue.seal()
	s.settle()
	s.room.ring()
	poke(s.wake)
	s.mu.Unlock()
	if last != nil {
		_ = s.carryOut(last) // what it tells of was counted, and told to the hook
	}
}

// left reports what is held. The mutex is held, and the stream has ended.
func (s *Stream) left() Report {
	if s.spill != nil {
		return Report{Kept: s.kept()}
	}
	r := Report{Unacked: s.window.records, Unsent: s.queue.records, Bytes: s.window.bytes + s.queue.bytes}
	if n := len(s.window.blocks); n > 0 {
		r.First, r.Last = s.window.blocks[0].first, s.window.blocks[n-1].end()-1
	}
	r.blocks = append(append(r.blocks, s.window.blocks...), s.queue.blocks...)
	return r
}

// name is what people know the stream by.
func (s *Stream) name() string {
	if s.id == "" {
		return s.opts.Tag
	}
	return s.id
}
