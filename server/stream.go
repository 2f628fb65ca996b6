package server

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// statusInterval is how often a status is repeated until an ACTIVE was sent, and the longest that a stream waits without
// looking at its session again: a lost wake-up costs no more than this.
const statusInterval = 5 * time.Second

// openTimeout is how long a StreamLogs call may last before its Open, and a SendLogs call before its request. A producer
// that holds a call ready for when its old gateway has drained makes another one where that takes longer.
const openTimeout = time.Minute

// Statuses that only move the ack are told apart by ackSpacing for each call that is open, but by no less and no more than
// these. A stream that pours moves its ack with every message, and each status costs a write to the connection: so they are
// 2,500 a second at most as long as there are no more than 250 calls. All other news are told at once.
const (
	ackSpacing      = 400 * time.Microsecond
	leastAckSpacing = 10 * time.Millisecond
	mostAckSpacing  = 100 * time.Millisecond
)

// streamLogs serves one StreamLogs call. Its goroutine is the stream's send loop; the receive loop has one of its own, for
// only the return of this one ends a call that is blocked in receiving. grpc then ends the stream under the receive loop,
// and the server waits for it when it stops.
func (s *Server) streamLogs(ss grpc.ServerStream) error {
	defer s.calls.Add(-1)
	if err := s.enter(); err != nil {
		return rpcError(err)
	}
	c := &call{
		server:   s,
		ss:       ss,
		opened:   make(chan struct{}),
		received: make(chan error, 1),
		sent:     make(chan error, 1),
		tick:     time.NewTimer(openTimeout),
	}
	defer c.tick.Stop()
	s.loops.Go(func() { c.received <- s.contain(c.receive) })
	if err := c.awaitOpen(); err != nil {
		return rpcError(err)
	}
	defer c.session.Close()
	return rpcError(c.report())
}

// awaitOpen returns once the session is open, or says why it is not.
func (c *call) awaitOpen() error {
	// It is opened no later than the call's context ends: RecvMsg does then.
	if err := c.server.awaitFirst(c.opened, c.tick, "open"); err != nil {
		c.server.loops.Go(func() {
			if <-c.opened; c.session != nil { // after all
				c.session.Close()
			}
		})
		return err
	}
	if c.session == nil {
		return <-c.received
	}
	return nil
}

// enter counts a call, which its handler takes off when it returns, and answers an error where it is one too many.
func (s *Server) enter() error {
	if s.calls.Add(1) > int64(s.engine.Limits().Streams) {
		return &engine.Error{
			Code: engine.CodeResourceExhausted, Reason: "TOO_MANY_STREAMS", RetryAfter: statusInterval,
			Msg: "as many calls are open as the gateway takes streams",
		}
	}
	return nil
}

// awaitFirst returns once the first message of a call has come, or says why it is waited for no longer.
func (s *Server) awaitFirst(came <-chan struct{}, timeout *time.Timer, name string) error {
	var err error
	select {
	case <-came:
		return nil
	case <-s.draining:
		err = rpcError(errDraining())
	case <-timeout.C:
		err = status.Errorf(codes.DeadlineExceeded, "%s: did not come within %s", name, openTimeout)
	}
	select {
	case <-came: // at the same moment
		return nil
	default:
		return err
	}
}

func errNotOpened() error { return invalidf("open", "the first message must be Open") }

// A call is one StreamLogs call.
type call struct {
	server   *Server
	ss       grpc.ServerStream
	opened   chan struct{}   // closed when session is set, or will not be
	tick     *time.Timer     // of the wait for Open, then of the send loop
	session  *engine.Session // nil where it could not be opened
	received chan error      // the end of the receive loop: nil once the producer half-closed
	sent     chan error      // the end of the send under way

	// What follows is the send loop's.
	sending bool // and sent was not read yet
	unsent  *engine.Status
	news    engine.News  // in unsent
	last    engine.State // that was sent
	told    time.Time    // when it was
	resting bool         // unsent only moves the ack, and waits for more
	rest    *time.Timer  // ends resting; nil until the first time, as most streams are idle
}

// receive is the receive loop: it opens the session, passes appends on until the producer half-closes, and returns nil then.
func (c *call) receive() error {
	f := c.server.newFrame()
	defer f.free()
	if err := c.open(f); err != nil {
		return err
	}
	ctx := c.ss.Context()
	for {
		if err := c.ss.RecvMsg(f); errors.Is(err, io.EOF) {
			c.session.HalfClose()
			return nil
		} else if err != nil {
			return err
		}
		r, fault := scanStreamRequest(f.bytes(), c.server.maxAppend)
		if fault != nil {
			return fault
		}
		if r.open != nil {
			return invalidf("open", "comes once, as the first message")
		}
		r.append.Slab = f.take()
		if err := c.session.Append(ctx, r.append); err != nil {
			return err
		}
	}
}

// open reads the first message and opens the session.
func (c *call) open(f *frame) error {
	defer close(c.opened)
	if err := c.server.admits(); err != nil {
		return err
	}
	if err := c.ss.RecvMsg(f); errors.Is(err, io.EOF) {
		return errNotOpened()
	} else if err != nil {
		return err
	}
	r, fault := scanStreamRequest(f.bytes(), c.server.maxAppend)
	if fault != nil {
		return fault
	}
	if r.open == nil {
		return errNotOpened()
	}
	session, err := c.server.engine.Open(*r.open)
	if err != nil {
		return err
	}
	c.session = session
	f.free()
	return nil
}

// report is the send loop: it sends the session's statuses until the session or the call is over. It never blocks in a
// send, so a producer that does not read its statuses holds up nothing but these.
func (c *call) report() error {
	ctx := c.ss.Context()
	c.tick.Reset(statusInterval)
	defer c.endRest()
	due := false
	for {
		over := c.poll(due)
		switch {
		case over == nil:
		case c.sending && (!due || errors.Is(over, io.EOF)):
			// The last status is under way. A producer that does not read may miss it, but not the one that acks all.
		case errors.Is(over, io.EOF):
			return nil
		default:
			return over
		}
		changed, turned, sent := c.session.Changed(), c.session.Turned(), (<-chan error)(nil)
		switch {
		case c.sending && (c.unsent != nil || over != nil): // news are of no use before the send has ended
			changed, turned, sent = nil, nil, c.sent
		case c.resting:
			changed = nil
		}
		due = false
		select {
		case <-changed:
		case <-turned:
		case <-c.rested():
			c.resting = false
		case <-c.tick.C:
			due = true
			c.tick.Reset(statusInterval)
		case err := <-sent:
			if err != nil {
				return err
			}
			c.sending = false
		case err := <-c.received:
			if err != nil {
				return err
			}
			c.received = nil
		case <-ctx.Done():
			return c.cutOff()
		}
	}
}

// cutOff says why the call's context is over. Where the receive loop met something that grpc itself refuses, such as a
// message too large to be read, grpc has ended the call before the loop could say so.
func (c *call) cutOff() error {
	if c.received != nil {
		if err := <-c.received; err != nil { // no later than the context ends
			return err
		}
	}
	return c.ss.Context().Err()
}

// poll asks the session for its status and starts to send it where it is news or due again. It answers why the session is
// over, if it is; what is under way then is the last status.
func (c *call) poll(due bool) error {
	st, news, over := c.session.Poll()
	if due && c.last != engine.StateActive {
		news = engine.NewsNow
	}
	if news != engine.NewsNone {
		c.merge(st, news)
	}
	if c.unsent != nil && !c.sending && (over != nil || c.news == engine.NewsNow || !c.rests()) {
		c.send()
	}
	return over
}

// send starts to send what is unsent.
func (c *call) send() {
	m := &sluicev1.StreamLogsResponse{Status: c.server.statusMessage(c.unsent)}
	c.last, c.told = c.unsent.State, time.Now()
	c.unsent, c.news, c.sending = nil, engine.NewsNone, true
	c.endRest()
	c.tick.Reset(statusInterval)
	c.server.loops.Go(func() { c.sent <- c.ss.SendMsg(m) })
}

// rests reports whether it is too soon after the last status to tell that the ack moved on, and sees to it that the loop
// asks again.
func (c *call) rests() bool {
	if c.resting {
		return true
	}
	left := c.server.ackSpacing() - time.Since(c.told)
	if left <= 0 {
		return false
	}
	c.resting = true
	if c.rest == nil {
		c.rest = time.NewTimer(left)
	} else {
		c.rest.Reset(left)
	}
	return true
}

func (c *call) rested() <-chan time.Time {
	if c.rest == nil {
		return nil
	}
	return c.rest.C
}

func (c *call) endRest() {
	if c.resting {
		c.resting = false
		c.rest.Stop()
	}
}

// ackSpacing is how far apart the statuses of a stream are that only move the ack.
func (s *Server) ackSpacing() time.Duration {
	return min(max(time.Duration(s.calls.Load())*ackSpacing, leastAckSpacing), mostAckSpacing)
}

// maxRejections is how many ranges a status carries, as in the engine, which merges them until they are asked for.
const maxRejections = 100

// merge makes st the status to send next. It replaces one that was not sent, but for the rejections, which are given once.
func (c *call) merge(st engine.Status, news engine.News) {
	if c.unsent != nil {
		all := slices.Concat(c.unsent.Rejections, st.Rejections)
		for len(all) > maxRejections {
			last, more := &all[maxRejections-1], all[len(all)-1]
			last.Last = max(last.Last, more.Last)
			last.Count += more.Count
			all = all[:len(all)-1]
		}
		st.Rejections = all
	}
	c.unsent, c.news = &st, max(c.news, news)
}

// contain runs f and makes an error of its panic, as the recovery interceptor does for the handler's goroutine.
func (s *Server) contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.recovered(context.Background(), p)
		}
	}()
	return f()
}
