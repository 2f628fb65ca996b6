package admin

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

const (
	// tellEvery is how often a replay tells how far it came.
	tellEvery = time.Second
	// gathered is how many bytes of letters make a response, at least, but for the last one.
	gathered = 64 << 10
)

// A Replay gives the chosen dead letters back to their outputs, as [engine.Engine.Replay] does with a store. It calls told from its
// own goroutine, and returns soon after ctx is done.
type Replay func(ctx context.Context, f engine.LetterFilter, told func(n int64)) (int64, error)

// letters serve AdminService.
type letters struct {
	sluicev1.UnimplementedAdminServiceServer

	store  engine.LetterStore // nil: there is none
	replay Replay
	log    *slog.Logger

	// changing is set while a replay or a drop is under way: two at once could replay a letter twice, or drop one that is
	// replayed.
	changing atomic.Bool
}

// ListDeadLetters implements AdminService.
func (s *letters) ListDeadLetters(
	r *sluicev1.ListDeadLettersRequest, ss grpc.ServerStreamingServer[sluicev1.ListDeadLettersResponse],
) error {
	f, err := s.begin(ss.Context(), r.GetFilter())
	if err != nil {
		return err
	}
	response, size := &sluicev1.ListDeadLettersResponse{}, 0
	send := func() error {
		defer func() { response, size = &sluicev1.ListDeadLettersResponse{}, 0 }()
		return ss.Send(response)
	}
	ended := EachLetter(ss.Context(), s.store, f, r.GetLimit(), func(l *engine.Letter) error {
		m, err := letterMessage(l)
		if err != nil {
			return err
		}
		response.DeadLetters = append(response.DeadLetters, m)
		if size += len(l.Record.Wire) + len(l.Resource); size < gathered {
			return nil
		}
		return send()
	})
	if len(response.GetDeadLetters()) > 0 && ss.Context().Err() == nil {
		if err := send(); err != nil {
			return err
		}
	}
	return callError(ss.Context(), ended)
}

// ReplayDeadLetters implements AdminService.
func (s *letters) ReplayDeadLetters(
	r *sluicev1.ReplayDeadLettersRequest, ss grpc.ServerStreamingServer[sluicev1.ReplayDeadLettersResponse],
) error {
	f, err := s.begin(ss.Context(), r.GetFilter())
	if err != nil {
		return err
	}
	if !s.changing.CompareAndSwap(false, true) {
		return errChanging()
	}
	defer s.changing.Store(false)
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	last := time.Now()
	n, ended := s.replay(ctx, f, func(n int64) {
		if time.Since(last) < tellEvery {
			return
		}
		if err := ss.Send(&sluicev1.ReplayDeadLettersResponse{Replayed: uint64(n)}); err != nil {
			cancel(err) // nobody is there any more
		}
		last = time.Now()
	})
	s.changed(ctx, "replay", n, &f, ended)
	if err := ss.Send(&sluicev1.ReplayDeadLettersResponse{Replayed: uint64(n), Done: ended == nil}); err != nil {
		return err
	}
	return callError(ctx, ended)
}

// DropDeadLetters implements AdminService.
func (s *letters) DropDeadLetters(
	ctx context.Context, r *sluicev1.DropDeadLettersRequest,
) (*sluicev1.DropDeadLettersResponse, error) {
	f, err := s.begin(ctx, r.GetFilter())
	if err != nil {
		return nil, err
	}
	switch none := choosesAll(&f); {
	case none && !r.GetAll():
		return nil, status.Error(codes.InvalidArgument, "the filter chooses every dead letter: that must be said, with all")
	case !none && r.GetAll():
		return nil, status.Error(codes.InvalidArgument, "all goes with no filter")
	}
	if !s.changing.CompareAndSwap(false, true) {
		return nil, errChanging()
	}
	defer s.changing.Store(false)
	n, err := DropLetters(ctx, s.store, f)
	s.changed(ctx, "drop", n, &f, err)
	if err != nil {
		st := status.Convert(callError(ctx, err))
		return nil, status.Errorf(st.Code(), "%d dropped: %s", n, st.Message())
	}
	return &sluicev1.DropDeadLettersResponse{Dropped: uint64(n)}, nil
}

// begin reads the filter of a call, where there is something to choose from, and somebody to choose for.
func (s *letters) begin(ctx context.Context, m *sluicev1.DeadLetterFilter) (engine.LetterFilter, error) {
	if ctx.Err() != nil {
		return engine.LetterFilter{}, callError(ctx, ctx.Err())
	}
	if s.store == nil || s.replay == nil {
		return engine.LetterFilter{}, status.Error(codes.FailedPrecondition, "no dead-letter store: it comes with buffer.type disk")
	}
	return letterFilter(m)
}

// changed logs that dead letters are gone: it is an operator's doing, and a drop cannot be taken back.
func (s *letters) changed(ctx context.Context, by string, n int64, f *engine.LetterFilter, err error) {
	log := s.log.With("by", by, "letters", n, "output", f.Output, "reason", f.Reason, "ids", len(f.IDs))
	if !f.Since.IsZero() {
		log = log.With("since", f.Since)
	}
	if !f.Until.IsZero() {
		log = log.With("until", f.Until)
	}
	if err != nil {
		log = log.With("err", err)
	}
	log.InfoContext(ctx, "dead letters left their store")
}

func errChanging() error {
	return status.Error(codes.Aborted, "a replay or a drop of dead letters is under way: try again when it has ended")
}

// errDraining is why calls end when the server drains.
var errDraining = status.Error(codes.Unavailable, "the gateway is going away")

// callError is how an error goes to the caller.
func callError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, cause) || errors.Is(err, ctx.Err())) {
		err = cause
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	if fault, ok := errors.AsType[*engine.Error](err); ok && fault.Code == engine.CodeUnavailable {
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
