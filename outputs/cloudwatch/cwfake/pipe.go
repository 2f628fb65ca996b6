package cwfake

import (
	"context"
	"net"
	"sync"
)

// A Pipe is a listener in memory, over net.Pipe: for [testing/synctest] bubbles, where TCP has no place. Make it inside
// the bubble, and hand its DialContext to the client's transport.
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

// DialContext connects to the listener, whatever the address. It has the form of [net/http.Transport]'s.
func (p *Pipe) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

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

// Addr implements [net.Listener]: a name that cannot be resolved, so that no client gets there by mistake.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "cwfake.invalid" }
