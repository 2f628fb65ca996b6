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
	durable   bool
	log       *slog.Logger
	grpc      *grpc.Server
	health    *health.Server
	draining  atomic.Bool
	streams   atomic.Int64 // StreamLogs calls, those included that have not sent their Open
	tally     tally

	// loops are the receive loops and the sends under way. A handler that returns ends both, but does not wait for them:
	// grpc ends its stream only afterwards. Stop waits for all.
	loops sync.WaitGroup
}

// New makes a server for the engine. The caller closes the engine before it stops the server: open calls end with their
// sessions, whose producers are told why.
func New(e *engine.Engine, o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{engine: e, maxAppend: e.Limits().MaxAppend, durable: e.Durable(), log: o.Log, health: health.NewServer()}
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
	if err := s.grpc.Serve(lis); err != nil {
		return fmt.Errorf("serve gRPC on %s: %w", lis.Addr(), err)
	}
	return nil
}

// Drain turns health to NOT_SERVING and refuses new streams and sends with UNAVAILABLE. Streams that are open go on; what
// they are told is the engine's to say.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.health.Shutdown()
}

// Stop drains, takes no more connections, and waits until all calls have ended by themselves; when ctx ends first, it cuts
// them off. It returns when every goroutine of the server is gone, with ctx's error where calls were cut off.
func (s *Server) Stop(ctx context.Context) error {
	s.Drain()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = fmt.Errorf("stop gRPC server: calls were cut off: %w", context.Cause(ctx))
		s.grpc.Stop()
		<-ended
	}
	s.loops.Wait()
	return err
}

// admits answers an error while new streams are not taken.
func (s *Server) admits() error {
	if s.draining.Load() {
		return &engine.Error{
			Code: engine.CodeUnavailable, Reason: "DRAINING", Msg: "the gateway is going away", RetryAfter: time.Second,
		}
	}
	return nil
}

func (s *Server) newFrame() *frame { return &frame{slabs: s.engine.Slabs()} }
