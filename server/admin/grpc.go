package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// maxRequest bounds what a call may send, in bytes: a filter with a thousand IDs takes 10 kB.
const maxRequest = 64 << 10

// newGRPC makes the server of AdminService and reflection. It has no listener: serveGRPC hands it the requests.
func (s *Server) newGRPC(l *letters) *grpc.Server {
	logger := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		l.log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // the middleware's words
	})
	options := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall), // never what a call carries
		logging.WithDurationField(logging.DurationToDurationField),
	}
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		l.log.ErrorContext(ctx, "panic in a call", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "the gateway failed on this call; its log says why")
	})
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.WaitForHandlers(true), // in Stop, which is how nothing of a store is used after it
		grpc.ChainUnaryInterceptor(
			logging.UnaryServerInterceptor(logger, options...), recovery.UnaryServerInterceptor(recovered), s.untilDrainUnary),
		grpc.ChainStreamInterceptor(
			logging.StreamServerInterceptor(logger, options...), recovery.StreamServerInterceptor(recovered), s.untilDrain),
	)
	sluicev1.RegisterAdminServiceServer(g, l)
	reflection.Register(g)
	return g
}

// serveGRPC hands the requests that are gRPC's to it, and leaves the others to mux.
//
// A page in a browser cannot send that content type elsewhere without a preflight, to which nothing here answers; and one that is
// of this origin by a trick with names has HTTP/1.1 alone, over which gRPC is refused.
func (s *Server) serveGRPC(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			mux.ServeHTTP(w, r)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/"+sluicev1.AdminService_ServiceDesc.ServiceName+"/") {
			// Reflection lasts as long as its caller likes, and hears of the end of its connection alone.
			ctx, cancel := s.until(r.Context())
			defer cancel()
			r = r.WithContext(ctx)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest) // gRPC reads ahead of its handlers, without bound
		g := &pacedWriter{w, http.NewResponseController(w)}
		g.bound(0)
		s.grpc.ServeHTTP(g, r)
	})
}

// until is a context that is done when ctx is, and when the server drains.
func (s *Server) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if s.life.Err() != nil { // AfterFunc takes its time
		cancel(errDraining)
	}
	stop := context.AfterFunc(s.life, func() { cancel(errDraining) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (s *Server) untilDrainUnary(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	return handle(ctx, request)
}

func (s *Server) untilDrain(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, cancel := s.until(ss.Context())
	defer cancel()
	return handle(srv, &boundStream{ss, ctx})
}

// A boundStream is a stream with a context of its own.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *boundStream) Context() context.Context { return s.ctx }

// A pacedWriter gives each write of an answer the time that the server gives whole answers, and the pauses between them no end: a
// replay waits for room as long as it takes.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write implements http.ResponseWriter.
func (w *pacedWriter) Write(p []byte) (int, error) {
	w.bound(writeTimeout)
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher. It is what follows each message.
func (w *pacedWriter) Flush() {
	w.bound(writeTimeout)
	_ = w.control.Flush() // gRPC finds out with the request's context
	w.bound(0)
}

// bound sets the deadline of writing, or none.
func (w *pacedWriter) bound(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	_ = w.control.SetWriteDeadline(at) // HTTP/1.1 gets no further than being refused
}
