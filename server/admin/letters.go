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
	missing, ended := EachLetter(ss.Context(), s.store, f, r.GetLimit(), func(l *engine.Letter) error {
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
	response.MissingIds = missing
	if len(response.GetDeadLetters())+len(missing) > 0 && ss.Context().Err() == nil {
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
	missing, err := MissingLetters(ctx, s.store, f.IDs) // later those that were replayed are
	if err != nil {
		return callError(ctx, err)
	}
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
	response := &sluicev1.ReplayDeadLettersResponse{Replayed: uint64(n), Done: ended == nil, MissingIds: missing}
	if err := ss.Send(response); err != nil {
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
	switch {
	case f.All() && !r.GetAll():
		return nil, status.Error(codes.InvalidArgument, "the filter chooses every dead letter: that must be said, with all")
	case !f.All() && r.GetAll():
		return nil, status.Error(codes.InvalidArgument, "all goes with no filter")
	}
	if !s.changing.CompareAndSwap(false, true) {
		return nil, errChanging()
	}
	defer s.changing.Store(false)
	d, err := DropLetters(ctx, s.store, f)
	s.changed(ctx, "drop", d.Letters, &f, err)
	if err != nil {
		st := status.Convert(callError(ctx, err))
		return nil, status.Errorf(st.Code(), "%d dropped: %s", d.Letters, st.Message())
	}
	return &sluicev1.DropDeadLettersResponse{
		Dropped: uint64(d.Letters), DroppedUnread: uint64(d.Unread), Left: uint64(d.Left), Faults: d.Faults, MissingIds: d.Missing,
	}, nil
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

// changed logs that dead letters are gone, and which were chosen: it is an operator's doing, and a drop cannot be taken back.
func (s *letters) changed(ctx context.Context, by string, n int64, f *engine.LetterFilter, err error) {
	log := s.log.With("by", by, "letters", n)
	if f.All() {
		log = log.With("all", true)
	}
	for _, chosen := range []struct{ by, value string }{
		{"output", f.Output}, {"reason", f.Reason}, {"tag", f.Tag}, {"stream", f.StreamID},
		{"since", logTime(f.Since)}, {"until", logTime(f.Until)},
	} {
		if chosen.value != "" {
			log = log.With(chosen.by, chosen.value)
		}
	}
	if len(f.IDs) > 0 {
		log = log.With("ids", len(f.IDs))
	}
	if err != nil {
		log = log.With("err", err)
	}
	log.InfoContext(ctx, "dead letters left their store")
}

// logTime is empty where there is no time.
func logTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
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
