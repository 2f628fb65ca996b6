package enginetest

import (
	"context"
	"net"
	"sync"
)

// A Pipe is a listener in memory, over net.Pipe: for [testing/synctest] bubbles, where TCP has no place. Make it inside the
// bubble. Its methods may be called concurrently.
//
// gRPC's bufconn is not for bubbles: each of its connections starts timers that fire at once, and two of those at the same
// moment corrupt Go 1.26's race detector, which has one context for all timers of a bubble. The process ends with SIGSEGV
// or "ThreadSanitizer: CHECK failed".
type Pipe struct {
	conns  chan net.Conn
	done   chan struct{}
	closed sync.Once
}

var _ net.Listener = (*Pipe)(nil)

// NewPipe makes a listener that is open.
func NewPipe() *Pipe {
	return &Pipe{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Dial connects to the listener. It waits until the connection is accepted, the listener is closed, or ctx is done.
func (p *Pipe) Dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// DialContext is Dial whatever the address, in the form of net/http's transport.
func (p *Pipe) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx) }

// Accept implements [net.Listener].
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]. Connections that were accepted stay open.
func (p *Pipe) Close() error {
	p.closed.Do(func() { close(p.done) })
	return nil
}

// Addr implements [net.Listener]: a name that nothing resolves.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe.invalid" }
