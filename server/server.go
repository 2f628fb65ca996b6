// Package server is the gRPC front of the gateway: it reads requests, hands their records to the engine as they came, and
// tells producers what the engine says.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/server/compress"
)

// tenant is whose streams all are, as long as nobody is asked to prove who they are.
const tenant = "default"

// A Server serves IngestService for one engine, grpc.health.v1 and reflection. Its methods may be called concurrently.
type Server struct {
	engine    *engine.Engine
	maxAppend int
	durable   engine.Durability
	log       *slog.Logger
	grpc      *grpc.Server
	health    *health.Server
	newcomers newcomers
	calls     atomic.Int64 // of StreamLogs and SendLogs that are open, those included of which nothing has come yet
	tally     tally

	draining chan struct{} // closed by drain, which may be called more than once
	drain    func()
	stopping chan struct{} // closed by stop, likewise
	stop     func()

	// loops are the receive loops and the reads and sends under way. A handler that returns ends them, but does not wait
	// for them: grpc ends its stream only afterwards. Stop waits for all.
	loops sync.WaitGroup
}

// New makes a server for the engine. The caller closes the engine before it stops the server: open calls end with their
// sessions, whose producers are told why.
func New(e *engine.Engine, o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{
		engine: e, maxAppend: e.Limits().MaxAppend, durable: e.Durability(), log: o.Log, health: health.NewServer(),
		newcomers: newcomers{handshake: o.HandshakeTimeout},
		draining:  make(chan struct{}), stopping: make(chan struct{}),
	}
	s.drain = sync.OnceFunc(func() { close(s.draining) })
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	options, err := o.TLS.grpcOptions()
	if err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	if err := compress.Register(); err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	options = append(options, o.grpcOptions(s.maxAppend)...)
	options = append(options, s.interceptors()...)
	s.grpc = grpc.NewServer(options...)
	s.grpc.RegisterService(serviceDesc(), s)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.SetServingStatus(serviceDesc().ServiceName, healthv1.HealthCheckResponse_SERVING)
	return s, nil
}

// Serve accepts connections until the server is stopped, and answers nil then. It closes lis. It may be called for several
// listeners.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.grpc.Serve(listener{lis, &s.newcomers}); err != nil {
		return fmt.Errorf("serve gRPC on %s: %w", lis.Addr(), err)
	}
	return nil
}

// Drain turns health to NOT_SERVING and refuses new streams and sends with UNAVAILABLE, and so those of which nothing has
// come yet. Streams that are open go on; what they are told is the engine's to say.
func (s *Server) Drain() {
	s.drain()
	s.health.Shutdown()
}

// Stop drains, takes no more connections, ends all streaming calls of other services, and waits until the rest have ended
// by themselves; when ctx ends first, it cuts off whatever is there. It returns when every goroutine of the server is gone,
// with ctx's error where streams were open when they were cut off: their producers were not told all there was to tell.
func (s *Server) Stop(ctx context.Context) error {
	s.Drain()
	s.stop()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		if n := s.engine.Stats().Sessions; n > 0 {
			err = fmt.Errorf("stop gRPC server: %d streams were cut off: %w", n, context.Cause(ctx))
		}
		s.newcomers.cutOff()
		s.grpc.Stop()
		<-ended
	}
	s.loops.Wait()
	return err
}

// admits answers an error while new streams are not taken.
func (s *Server) admits() error {
	select {
	case <-s.draining:
		return errDraining()
	default:
		return nil
	}
}

func errDraining() error {
	return &engine.Error{
		Code: engine.CodeUnavailable, Reason: "DRAINING", Msg: "the gateway is going away", RetryAfter: time.Second,
	}
}

func (s *Server) newFrame() *frame { return &frame{slabs: s.engine.Slabs()} }
