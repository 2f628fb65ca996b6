// Package admin is the gateway's side for operators: /metrics, /livez, /readyz and /debug/pprof over HTTP, and AdminService over
// gRPC, on one port.
package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/sluicelog/sluice/engine"
)

// Options say what a Server shows. A zero field means its default, given beside it.
type Options struct {
	Sources    Sources
	Metrics    *Metrics
	Letters    engine.LetterStore // what AdminService lists and drops; nil: there is none, and it says so
	Replay     Replay             // how it replays; goes with Letters
	StallAfter time.Duration      // how long until what does not move is told: 2 min
	Log        *slog.Logger       // slog.DiscardHandler
}

// A Server answers operators. Its methods may be called concurrently.
type Server struct {
	http       http.Server
	grpc       *grpc.Server
	sources    Sources
	stallAfter time.Duration
	ready      atomic.Bool

	life  context.Context // of the calls of AdminService
	drain context.CancelFunc
}

// Deadlines of a request. An answer may take as long as the longest profile that is sensible.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 2 * time.Minute
	idleTimeout  = time.Minute
	maxHeader    = 16 << 10
)

// New makes a server that is not ready yet.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.Metrics.Watch(o.Sources); err != nil {
		return nil, err
	}
	s := &Server{sources: o.Sources, stallAfter: cmp.Or(o.StallAfter, 2*time.Minute)}
	s.life, s.drain = context.WithCancel(context.Background())
	s.grpc = s.newGRPC(&letters{store: o.Letters, replay: o.Replay, log: o.Log})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC's
	s.http = http.Server{
		Handler:           s.serveGRPC(mux),
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: writeTimeout, SendPingTimeout: idleTimeout},
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// SetReady says whether /readyz may answer that the gateway takes streams: from when it listens until it drains.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Serve answers requests until the server is stopped, and answers nil then. It closes lis.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.http.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin on %s: %w", lis.Addr(), err)
	}
	return nil
}

// Drain ends the calls of AdminService, now and from now on, with UNAVAILABLE: a replay stops where it is.
func (s *Server) Drain() { s.drain() }

// Stop drains, takes no more connections, and waits until all requests have ended by themselves; when ctx ends first, it cuts them
// off and answers ctx's error. No call of AdminService is left when it returns.
func (s *Server) Stop(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop admin: %w", err), s.http.Close())
	}
	s.grpc.Stop()
	return err
}

// A report is the body of a probe's answer.
type report struct {
	Status  string    `json:"status"`
	Stuck   []finding `json:"stuck,omitempty"`   // fails /livez
	Failing []finding `json:"failing,omitempty"` // fails nothing
}

// livez fails when a restart is what helps; see stuck.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	now, st := time.Now(), s.sources.Engine()
	r := report{Status: "ok", Stuck: stuck(now, &st, s.stallAfter), Failing: s.failing(now, &st)}
	if len(r.Stuck) > 0 {
		r.Status = "stuck"
	}
	r.write(w)
}

// failing is all that is told and fails nothing.
func (s *Server) failing(now time.Time, st *engine.Stats) []finding {
	return append(failing(now, st, s.stallAfter), failingLetters(s.sources.Letters)...)
}

// readyz fails before the gateway takes streams and from when it drains.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	now, st := time.Now(), s.sources.Engine()
	r := report{Status: "ok", Failing: s.failing(now, &st)}
	switch {
	case st.Draining:
		r.Status = "draining"
	case !s.ready.Load():
		r.Status = "starting"
	}
	r.write(w)
}

// write answers 200 where the status is ok, else 503.
func (r *report) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r.Status != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(r) // a prober that hangs up need not be told
}
