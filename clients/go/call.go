package sluice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A call is one StreamLogs RPC: the stream's hold on one gateway. Its receive goroutine runs from dialing to the end, its
// send goroutine from the first status on. The stream's run goroutine owns both.
type call struct {
	s       *Stream
	rpc     grpc.ClientStream
	ctx     context.Context // the RPC's life
	cancel  context.CancelCauseFunc
	timeout *time.Timer // ends the RPC with errOpenTimeout, unless it is stopped because the stream is open

	opened   chan struct{} // closed at the first status
	draining chan struct{} // closed when the gateway said so
	advance  chan struct{} // closed when what comes next needs a new call
	done     chan struct{} // closed when the RPC has ended, after err is set
	sent     chan struct{} // closed when the send goroutine has returned; nil before it was started
	err      error

	// Guarded by the stream's mutex.
	open    bool
	foreign bool   // what this gateway says is of another producer's records
	leaving bool   // send no more here
	upTo    uint64 // what this gateway has, or may have, when leaving: all below this sequence
	flushed uint64 // ticket that a flush was sent for
}

// dial starts an RPC and its receive goroutine. Nothing is said yet. From here on the gateway has OpenTimeout to take the
// stream: a connection that carries as many calls as it may lets this one wait.
func (s *Stream) dial() (*call, error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	timeout := time.AfterFunc(s.opts.OpenTimeout, func() { cancel(errOpenTimeout) })
	s.mu.Lock()
	s.dialing = func() { cancel(nil) } // so that closing an empty stream does not wait for a connection
	s.settle()
	s.mu.Unlock()
	rpc, err := s.client.conn.NewStream(ctx, &sluicev1.IngestService_ServiceDesc.Streams[0],
		sluicev1.IngestService_StreamLogs_FullMethodName, grpc.ForceCodecV2(newCodec()))
	s.mu.Lock()
	s.dialing = nil
	s.mu.Unlock()
	if err != nil {
		timeout.Stop()
		err = timedOut(ctx, err)
		cancel(nil)
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &call{
		s: s, rpc: rpc, ctx: ctx, cancel: cancel, timeout: timeout,
		opened: make(chan struct{}), draining: make(chan struct{}), advance: make(chan struct{}), done: make(chan struct{}),
	}
	go c.receive()
	return c, nil
}

// timedOut gives errOpenTimeout for the error of an RPC that was ended by it.
func timedOut(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errOpenTimeout) {
		return errOpenTimeout
	}
	return err
}

// handOver waits until this call, whose gateway drains, is over: all it has is acked, or it has ended. Then it is hung up, and next
// may be opened, unless the error says otherwise. Where next ends first, this call is not over, and next is to be replaced.
func (c *call) handOver(next *call) (over bool, err error) {
	s := c.s
	next.timeout.Stop()
	defer next.timeout.Reset(s.opts.OpenTimeout)
	began := time.Now()
	for {
		s.mu.Lock()
		acked, moved := s.window.lowest() >= c.upTo, s.moved.wait()
		s.mu.Unlock()
		if acked {
			c.hangUp()
			return true, nil
		}
		select {
		case <-moved:
		case <-c.done:
			c.hangUp()
			if err := s.judge(c.err); isFinal(err) {
				return true, err
			}
			return true, nil
		case <-next.done:
			// A gateway waits a minute for Open; one that does not wait at all is out of order.
			if status.Code(next.err) == codes.DeadlineExceeded && time.Since(began) > s.opts.BackoffCap {
				return false, errNotOpened
			}
			return false, fmt.Errorf("connect: %w", next.err)
		}
	}
}

// serve opens the stream on this call and sends until the call has ended, in which case the error says why, or until the
// gateway drains: errDraining, and statuses are still received.
func (c *call) serve() error {
	s := c.s
	if err := c.openStream(); err != nil {
		return err
	}
	c.sent = make(chan struct{})
	go c.send()
	select {
	case <-c.draining:
		return errDraining
	case <-c.advance:
		return errAdvance
	case <-c.done:
		return s.judge(c.err)
	case <-s.empty:
		c.goodbye()
		return nil
	}
}

// openStream sends Open and waits for the first status.
func (c *call) openStream() error {
	s := c.s
	if s.isEmpty() {
		return ErrClosed
	}
	open, err := s.opening()
	if err != nil {
		return err
	}
	if c.rpc.SendMsg(&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Open{Open: open}}) != nil {
		<-c.done // it has ended before Open: no verdict on the stream
		return fmt.Errorf("connect: %w", c.err)
	}
	select {
	case <-c.opened:
		c.timeout.Stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.foreign {
			return errForeign
		}
		return nil
	case <-c.done:
		return s.judge(c.err)
	case <-s.empty:
		return ErrClosed
	}
}

// goodbyeTimeout is how long a gateway that has acked all is given to end the call by itself.
const goodbyeTimeout = time.Second

func (c *call) goodbye() {
	timeout := time.NewTimer(goodbyeTimeout)
	defer timeout.Stop()
	select {
	case <-c.done:
	case <-timeout.C:
	}
}

// hangUp ends the call and waits for its goroutines.
func (c *call) hangUp() {
	c.timeout.Stop()
	c.cancel(nil)
	<-c.done
	if c.sent != nil {
		<-c.sent
	}
}
