// Package cwfake is a strict stand-in for Amazon CloudWatch Logs, for tests, benchmarks and trials. It speaks the wire
// protocol (AWS JSON 1.1, Signature Version 4) to any AWS SDK, holds to every documented limit at the exact boundary,
// misbehaves on demand, and keeps account of all that it was given.
//
// It runs over TCP, TLS, and over [Pipe] inside a testing/synctest bubble: all its waiting is by timer, and none of its
// goroutines outlives [Server.Close].
package cwfake

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The service's own way with connections: it closes those that were idle for 6 s.
const (
	DefaultIdleTimeout = 6 * time.Second
	readHeaderTimeout  = 20 * time.Second
)

// ErrClosed is what serving on a closed server says.
var ErrClosed = errors.New("cwfake: server closed")

// Options say what to be strict about, how fast to be, and what to keep. The zero value is the service as documented,
// without quotas and without latency.
type Options struct {
	Regions        []string      // that the credential scope may name; none: every region
	Account        string        // twelve digits, in ARNs: 123456789012
	Credentials    []Credentials // that are known; none: KeyID and Secret
	AnyCredentials bool          // take every key; signatures are read, but not verified

	Latency     time.Duration // of every call, before it is carried out
	IdleTimeout time.Duration // 0: DefaultIdleTimeout; below 0: connections stay open
	Settle      time.Duration // after a group or stream was created, until puts find it
	Quotas      Quotas        // calls a second; the zero value: no quotas
	MaxGroups   int           // per region, then LimitExceededException; 0: no limit

	CountOnly bool     // keep neither events nor calls, only counts; for benchmarks
	Sequence  Sequence // reads numbers from what is stored, for Server.Order; nil: not kept
	Fault     Faults   // what goes wrong with a call; nil: nothing
}

// A Server is one account of the service, with all its regions. All methods may be called concurrently.
type Server struct {
	set     Options
	http    *http.Server
	account *account
	ledger  *ledger
	keys    *keyring
	faults  *faultBox
	latency atomic.Int64
	tls     certificate

	done chan struct{}  // closed by Close
	work sync.WaitGroup // serving goroutines, connections and calls

	mu     sync.Mutex // guards what follows
	closed bool
}

// New makes a server. It serves nothing yet; see [Server.Start], [Server.Serve] and [Server.ServeHTTP].
func New(o Options) *Server {
	if o.Account == "" {
		o.Account = "123456789012"
	}
	if len(o.Credentials) == 0 {
		o.Credentials = []Credentials{{KeyID: KeyID, Secret: Secret}}
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	s := &Server{
		set:     o,
		account: newAccount(o),
		ledger:  newLedger(o),
		keys:    newKeyring(o),
		faults:  &faultBox{always: o.Fault},
		done:    make(chan struct{}),
	}
	s.latency.Store(int64(o.Latency))
	s.http = s.newHTTP()
	return s
}

// newHTTP is the HTTP/1.1 server, the protocol that the service's endpoints speak.
func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           s,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       s.set.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // cut connections are on purpose
		ConnState:         s.connection,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, wireKey{}, wire{number: s.ledger.opened(), conn: c})
		},
	}
}

// A wire is the connection that a call came over, for what HTTP has no word for.
type wire struct {
	number int64
	conn   net.Conn
}

type wireKey struct{}

// connection follows every connection from its first moment to its last.
func (s *Server) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.work.Add(1)
	case http.StateClosed:
		s.ledger.shut()
		s.work.Done()
	default:
	}
}

// enter counts one more piece of work that Close waits for, or says that the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Add(1)
	}
	return !s.closed
}

// Serve serves connections of l until [Server.Close], and closes l. It gives the listener's error, or ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	if !s.enter() {
		return errors.Join(ErrClosed, l.Close())
	}
	defer s.work.Done()
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ErrClosed
}

// Start serves l on a goroutine of its own, which ends with [Server.Close]. It gives the URL for the SDK's endpoint.
func (s *Server) Start(l net.Listener) string {
	if s.enter() {
		go func() {
			defer s.work.Done()
			_ = s.Serve(l) // a listener that fails shows in its clients
		}()
	} else {
		_ = l.Close() // the server is closed, and so is what it was to serve
	}
	scheme := "http://"
	if _, ok := l.(tlsListener); ok {
		scheme = "https://"
	}
	return scheme + l.Addr().String()
}

// Close ends listeners, connections and calls, those that hang included, and waits for them. What was recorded can
// still be read.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	s.mu.Unlock()
	err := s.http.Close()
	s.work.Wait()
	return err
}

// SetLatency changes [Options].Latency for the calls that come from now on.
func (s *Server) SetLatency(d time.Duration) { s.latency.Store(int64(d)) }

// wait waits for d. It says false where the client went, or the server was closed, before that.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-s.done:
	}
	return false
}

// hang waits until the client goes, or the server is closed.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}
