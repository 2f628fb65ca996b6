package engine

import (
	"context"
	"fmt"
	"io"
	"time"
)

// An Open begins, or resumes, a stream.
type Open struct {
	Tenant   string // from authentication, never from the client's word
	StreamID string // empty: the engine makes one up
	Tag      string
	Resource []byte // OTLP Resource in wire form, scanned
	Epoch    uint64 // 0: this session is an epoch of its own
	First    uint64 // the lowest sequence that the producer still holds; 0 is read as 1
}

// A Session is one connection's hold on a stream. Append and HalfClose are called by its receive loop, Poll by its send
// loop; the two may run concurrently. Close ends it and may be called at any time, by anyone, more than once.
type Session struct {
	in      *intake
	changed bell
	turned  bell
	room    bell // made when Append first waits

	// The intake's lock guards what follows.
	over       *Error // why the session is over; nil while it is not
	halfClosed bool
	given      Status // by the last Poll
	pressing   bool   // the ack cannot wait
}

// Open attaches a session to a stream, making the stream where it is new. It does not block. All its errors are [*Error].
func (e *Engine) Open(o Open) (*Session, error) {
	outputs, refusal := e.admissible(o)
	if refusal != nil {
		return nil, e.refuse(refusal)
	}
	in, refusal := e.find(o, false)
	if refusal != nil {
		return nil, e.refuse(refusal)
	}
	s, refusal := in.connect(o, outputs)
	in.mu.Unlock()
	if refusal != nil {
		e.streams.left(in)
		return nil, e.refuse(refusal)
	}
	return s, nil
}

// connect gives the stream to a new session. The caller holds the lock.
func (in *intake) connect(o Open, outputs OutputSet) (*Session, *Error) {
	if refusal := in.begin(o, outputs); refusal != nil {
		return nil, refusal
	}
	e := in.engine
	s := &Session{in: in, changed: newBell(e.mute), turned: newBell(e.mute)}
	if in.session != nil {
		in.session.end(&Error{
			Code: CodeAborted, Reason: "FENCED",
			Msg: fmt.Sprintf("stream %q was taken over by a newer connection", in.name.id),
		})
	} else {
		e.sessions.Add(1)
	}
	in.session = s
	s.changed.ring()
	return s, nil
}

// end says why the session is over. The caller holds the intake's lock.
func (s *Session) end(why *Error) {
	if s.over == nil {
		s.over = why
	}
	s.tell()
}

// tell says that there are news which cannot wait, and that Append may have room.
func (s *Session) tell() {
	s.changed.ring()
	s.turned.ring()
	s.room.ring()
}

// Append admits records, charges them and passes them on. It takes a.Slab over. It blocks only while the stream is at its
// ceiling or the engine at its own, until there is room, ctx ends, or the session is over. Repeated sequences are skipped,
// faulty records become rejections in the status. Its errors are [*Error], or ctx's; nothing of the append was taken then.
func (s *Session) Append(ctx context.Context, a *Append) error {
	in := s.in
	in.mu.Lock()
	blocked := false
	defer func() {
		if blocked {
			in.unblock()
		}
		in.mu.Unlock()
	}()
	for {
		if refusal := s.refusal(a); refusal != nil {
			in.engine.slabs.Put(a.Slab)
			return in.engine.refuse(refusal)
		}
		reserved := in.reservation(a, len(in.resource))
		if in.hasRoom() && in.engine.meter.TryAdd(reserved, in.engine.ceiling) {
			in.admit(a, reserved)
			return nil
		}
		if !blocked { // until Append returns, so that no look is followed by a gap in which a release is missed
			blocked = true
			if s.room.c == nil {
				s.room = newBell(in.engine.mute)
			}
			in.block()
		}
		in.mu.Unlock()
		err := s.waitRoom(ctx)
		in.mu.Lock()
		if err != nil {
			in.engine.slabs.Put(a.Slab)
			return err
		}
	}
}

// refusal says why an append is not taken at all, if so.
func (s *Session) refusal(a *Append) *Error {
	if s.over != nil {
		return s.over
	}
	if s.in.stopped {
		return stopped()
	}
	if s.halfClosed {
		return &Error{Code: CodeInvalidArgument, Field: "append", Msg: "after the stream was half-closed"}
	}
	return s.in.checkGap(a)
}

func (s *Session) waitRoom(ctx context.Context) error {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.room.c:
	case <-timer.C:
	}
	return nil
}

// HalfClose says that the producer sends no more: what it has waiting flies without linger.
func (s *Session) HalfClose() {
	in := s.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if s.over == nil && in.session == s {
		s.halfClosed = true
		in.hurry()
	}
	s.tell()
}

// Poll gives the stream's status, and how it differs from what the last Poll gave. Rejections are given once.
// A non-nil error ends the session, after the status was passed on where it is news: io.EOF once all is acked after
// HalfClose, otherwise an [*Error].
func (s *Session) Poll() (st Status, news News, err error) {
	in := s.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if s.over != nil && in.session != s {
		return s.given, NewsNone, s.over
	}
	st = in.status()
	st.Rejections, in.rejected = in.rejected, nil
	news = s.news(&st)
	s.given, s.pressing, in.untold = st, false, 0
	switch {
	case s.over != nil:
		return st, news, s.over
	case in.atRest() && s.halfClosed:
		return st, news, io.EOF
	case in.atRest() && in.state == StateDraining:
		s.over = &Error{Code: CodeUnavailable, Reason: "DRAINING", Msg: "the gateway is going away; all is acked"}
		return st, news, s.over // from now on nothing is let in that nobody would be told of
	}
	return st, news, nil
}

// news compares a status with what was given last.
func (s *Session) news(st *Status) News {
	switch {
	case s.pressing || len(st.Rejections) > 0 || st.State != s.given.State || st.Reason != s.given.Reason:
		return NewsNow
	case st.Acked == s.given.Acked:
		return NewsNone
	default:
		return NewsAcked
	}
}

// Changed has capacity 1 and is signalled when Poll may have news.
func (s *Session) Changed() <-chan struct{} { return s.changed.c }

// Turned has capacity 1 and is signalled when Poll may have news that cannot wait.
func (s *Session) Turned() <-chan struct{} { return s.turned.c }

// Close detaches the session. What was admitted stays.
func (s *Session) Close() {
	in := s.in
	in.mu.Lock()
	s.end(&Error{Code: CodeAborted, Reason: "CLOSED", Msg: "the session was closed"})
	forget := false
	if in.session == s {
		in.session = nil
		in.engine.sessions.Add(-1)
		forget = in.made && in.atRest()
	}
	in.mu.Unlock()
	if forget {
		in.engine.forget(in)
	} else {
		in.engine.streams.left(in)
	}
}

// Send admits one append without a session, for unary callers: all of it or, while the stream is paused, nothing
// (CodeResourceExhausted with RetryAfter). With a durable buffer it returns when all is safe; where ctx ends first, with ctx's
// error, it may be safe or not. Otherwise it does not block. Without o.StreamID it goes to the tenant's unsequenced stream of that
// tag. It takes a.Slab over.
func (e *Engine) Send(ctx context.Context, o Open, a *Append) (Status, error) {
	st, safe, refusal := e.send(o, a)
	if refusal != nil {
		e.slabs.Put(a.Slab)
		return st, e.refuse(refusal)
	}
	if safe == nil {
		return st, nil
	}
	select {
	case <-safe.acked:
	case <-ctx.Done():
		return st, fmt.Errorf("wait until it is stored: %w", ctx.Err())
	}
	after := safe.in.now()
	after.Rejections = st.Rejections
	return after, nil
}

// send admits it, and gives what its caller is to wait for; nil: nothing.
func (e *Engine) send(o Open, a *Append) (st Status, safe *pending, refusal *Error) {
	outputs, refusal := e.admissible(o)
	if refusal != nil {
		return Status{}, nil, refusal
	}
	in, refusal := e.find(o, true)
	if refusal != nil {
		return Status{}, nil, refusal
	}
	defer in.mu.Unlock()
	if in.name.byTag { // what one caller calls its epoch is nobody else's
		o.Epoch = 0
	}
	if o.Epoch == 0 { // nor is what it calls its first
		a.First = 0
	}
	in.judgeFor(outputs)
	reserved := in.reservation(a, max(len(o.Resource), len(in.resource)))
	if in.state != StateActive || !e.meter.TryAdd(reserved, e.ceiling) {
		return in.status(), nil, &Error{
			Code: CodeResourceExhausted, Reason: "PAUSED", RetryAfter: time.Second,
			Msg: fmt.Sprintf("paused: %s: %d bytes held", in.whyPaused(), in.held),
		}
	}
	if refusal := in.beginSend(o, outputs, a); refusal != nil {
		e.meter.Add(-reserved)
		e.reviews.poke()
		return in.status(), nil, refusal
	}
	earlier := in.rejected
	in.rejected = nil
	in.admit(a, reserved)
	if e.Durable() {
		in.seal(false) // the caller waits
		safe = in.ledger.promise()
	}
	st = in.status()
	st.Rejections, in.rejected = in.rejected, earlier
	return st, safe, nil
}

// whyPaused names the reason that a unary caller is refused for.
func (in *intake) whyPaused() Reason {
	if in.reason == ReasonNone {
		return ReasonEngineLimit // its ceiling
	}
	return in.reason
}

// beginSend applies the rules of epochs and sequences to a call without a session. A call with an epoch is checked as a
// connection's, and may leave no sequence out: calls overtake each other, and what came late would be taken for a repeat.
// One without goes on where the last one ended, unless a producer with an epoch has the stream, connected or away for a
// moment. Then it is an epoch of its own. A connection whose numbers are taken away is fenced: two producers under one name
// must not mix them.
func (in *intake) beginSend(o Open, outputs OutputSet, a *Append) *Error {
	if o.Epoch == 0 && in.naive && in.session == nil && in.stream.Tag == o.Tag {
		in.attach(o, outputs)
		return nil
	}
	if o.Epoch > 0 && o.Epoch == in.epoch {
		if refusal := in.checkGap(a); refusal != nil {
			return refusal
		}
	}
	before := in.epoch
	o.First = max(a.First, 1)
	if refusal := in.begin(o, outputs); refusal != nil {
		return refusal
	}
	if s := in.session; s != nil && (in.epoch != before || a.First == 0) {
		s.end(&Error{Code: CodeAborted, Reason: "FENCED", Msg: fmt.Sprintf("stream %q was taken over by SendLogs", in.name.id)})
		in.session = nil
		in.engine.sessions.Add(-1)
	}
	return nil
}
