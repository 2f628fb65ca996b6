package sluice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// A Client is a gateway's address and the connections to it: one to each gateway that the name resolves to, shared by all
// streams. It is safe for concurrent use.
type Client struct {
	conn *grpc.ClientConn

	mu      sync.Mutex // guards what follows
	streams map[*Stream]struct{}
	closed  bool
}

const (
	// keepaliveTime finds out about a peer that vanished without a word. gRPC servers by default end connections that are
	// pinged more often than every 5 minutes; a gateway allows this.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second

	// serviceConfig spreads streams over all addresses of the name. Reconnecting goes to the next one.
	serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// An Option changes how a client connects.
type Option func(*dialing)

type dialing struct {
	creds credentials.TransportCredentials
	opts  []grpc.DialOption
}

// WithTLS sets the TLS configuration. Without it, TLS with the system's roots is used.
func WithTLS(config *tls.Config) Option {
	return func(d *dialing) { d.creds = credentials.NewTLS(config) }
}

// WithPlaintext connects without TLS.
func WithPlaintext() Option {
	return func(d *dialing) { d.creds = insecure.NewCredentials() }
}

// WithCredentials authenticates every stream, for instance with a bearer token.
func WithCredentials(creds credentials.PerRPCCredentials) Option {
	return WithDialOptions(grpc.WithPerRPCCredentials(creds))
}

// WithDialOptions adds gRPC's own options, for what has no option here: compression, interceptors, a dialer.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(d *dialing) { d.opts = append(d.opts, opts...) }
}

// New makes a client for addr: HOST:PORT, or a gRPC target such as dns:///HOST:PORT. It does not connect yet. The error
// says what is wrong with addr or the options.
func New(addr string, opts ...Option) (*Client, error) {
	d := dialing{creds: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})}
	for _, opt := range opts {
		opt(&d)
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = DefaultBackoffBase, DefaultBackoffCap
	conn, err := grpc.NewClient(addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(d.creds),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: DefaultBackoffCap}),
		grpc.WithUserAgent("sluice-go"),
	}, d.opts...)...)
	if err != nil {
		return nil, fmt.Errorf("client for %q: %w", addr, err)
	}
	return &Client{conn: conn, streams: map[*Stream]struct{}{}}, nil
}

// Stream starts a stream. It does not wait for the gateway: records are queued until it answers, see [Stream.Ready]. With a
// spill it reads what is there. ctx bounds the stream's whole life, and its values go with every connection; once it is done
// the stream ends as by a Close whose context is done. The error says what is wrong with the options, all at once, or why the
// spill cannot be used: [ErrSpillLocked], what the disk said, or that it is another stream's.
func (c *Client) Stream(ctx context.Context, opts StreamOptions) (*Stream, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("stream options: %w", err)
	}
	opts = opts.withDefaults()
	sp, err := openSpill(opts)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("client: %w", errors.Join(ErrClosed, sp.release()))
	}
	s := newStream(ctx, c, opts, sp)
	c.streams[s] = struct{}{}
	return s, nil
}

// Close closes all streams that are still open, at once, as [Stream.Close] does, and then the connections. The error joins
// those of the streams.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	streams := c.streams
	c.streams = map[*Stream]struct{}{}
	c.mu.Unlock()

	errs := make(chan error, len(streams))
	for s := range streams {
		go func() {
			_, err := s.Close(ctx)
			errs <- err
		}()
	}
	var faults []error
	for range streams {
		faults = append(faults, <-errs)
	}
	return errors.Join(append(faults, c.conn.Close())...)
}

// forget takes a closed stream off the list.
func (c *Client) forget(s *Stream) {
	c.mu.Lock()
	delete(c.streams, s)
	c.mu.Unlock()
}
