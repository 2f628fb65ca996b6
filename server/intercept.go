package server

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// interceptors log each call when it ends, count it, and turn a panic into INTERNAL, in this order from the outside in.
// The middleware logs sends; streams are logged here, in the same words, for the middleware costs each stream 4 KiB while
// it lasts.
func (s *Server) interceptors() []grpc.ServerOption {
	logger := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		s.log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // the middleware's words
	})
	logged := logging.UnaryServerInterceptor(logger,
		logging.WithLogOnEvents(logging.FinishCall), // never what a call carries
		logging.WithLevels(callLevel),
		logging.WithDurationField(logging.DurationToDurationField),
	)
	recovered := recovery.WithRecoveryHandlerContext(s.recovered)
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(logged, s.countUnary, recovery.UnaryServerInterceptor(recovered)),
		grpc.ChainStreamInterceptor(s.endStream, recovery.StreamServerInterceptor(recovered)),
	}
}

func (s *Server) countUnary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	response, err := handle(ctx, request)
	s.tally.ended(info.FullMethod, err)
	return response, err
}

func (s *Server) endStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	began := time.Now()
	if info.FullMethod != sluicev1.IngestService_StreamLogs_FullMethodName {
		handle = s.untilStop(handle)
	}
	err := handle(srv, ss)
	s.tally.ended(info.FullMethod, err)
	s.logStream(ss.Context(), info.FullMethod, time.Since(began), err)
	return err
}

// untilStop makes a handler of another service's return at the latest when the server stops. Such calls, of whom watches
// health or reflects, last as long as their clients like, and nothing is lost with them.
func (s *Server) untilStop(handle grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, ss grpc.ServerStream) error {
		ended := make(chan error, 1)
		s.loops.Go(func() { ended <- handle(srv, ss) })
		select {
		case err := <-ended:
			return err
		case <-s.stopping:
			return rpcError(errDraining())
		}
	}
}

func (s *Server) logStream(ctx context.Context, fullMethod string, took time.Duration, err error) {
	code := status.Code(err)
	level := slog.Level(callLevel(code))
	if !s.log.Enabled(ctx, level) {
		return
	}
	fields := []slog.Attr{
		slog.String(logging.ServiceFieldKey, path.Dir(fullMethod)[1:]),
		slog.String(logging.MethodFieldKey, path.Base(fullMethod)),
		slog.String("grpc.code", code.String()),
		slog.String("grpc.duration", took.String()),
	}
	if p, ok := peer.FromContext(ctx); ok {
		fields = append(fields, slog.String("peer.address", p.Addr.String()))
	}
	if err != nil {
		fields = append(fields, slog.String("grpc.error", err.Error()))
	}
	s.log.LogAttrs(ctx, level, "finished call", fields...)
}

// recovered makes an error of a panic. It is called by the goroutine that panicked.
func (s *Server) recovered(ctx context.Context, p any) error {
	s.tally.panics.Add(1)
	s.log.ErrorContext(ctx, "panic in a call", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return status.Error(codes.Internal, "the gateway failed on this call; its log says why")
}

// callLevel is the level that a finished call is logged at: what is everyday, a refusal for want of room too, only for
// those who look closely.
func callLevel(code codes.Code) logging.Level {
	switch code {
	case codes.OK, codes.Canceled, codes.ResourceExhausted:
		return logging.LevelDebug
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return logging.LevelError
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied:
		return logging.LevelWarn
	default:
		return logging.LevelInfo
	}
}
