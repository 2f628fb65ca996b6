package server

import (
	"net"
	"slices"
	"sync"
	"time"
)

// newcomers are the connections that may still be in their handshake, which grpc waits for before it does anything to stop.
type newcomers struct {
	handshake time.Duration // how long one may take

	mu    sync.Mutex // guards what follows
	conns []newcomer // oldest first
	over  bool
}

type newcomer struct {
	conn net.Conn
	came time.Time
}

// add takes a connection in, and forgets those whose handshake is over, one way or the other.
func (n *newcomers) add(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		_ = c.Close()
		return
	}
	now := time.Now()
	n.conns = slices.DeleteFunc(n.conns, func(old newcomer) bool { return now.Sub(old.came) > n.handshake })
	n.conns = append(n.conns, newcomer{c, now})
}

// cutOff closes all newcomers, and whoever still comes.
func (n *newcomers) cutOff() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for _, c := range n.conns {
		_ = c.conn.Close()
	}
	n.conns = nil
}

// A listener tells of the connections that it accepts.
type listener struct {
	net.Listener
	newcomers *newcomers
}

// Accept implements net.Listener. It hands the connection out as it is: grpc sets a TCP connection's options.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.newcomers.add(c)
	}
	return c, err
}
