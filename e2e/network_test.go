package e2e

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A network is what clients dial in a bubble: each name leads to the gateway that listens there at the moment.
type network struct {
	mu sync.Mutex // guards what follows
	at map[string]*enginetest.Pipe
}

func (n *network) listen(name string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == nil {
		n.at = map[string]*enginetest.Pipe{}
	}
	n.at[name] = enginetest.NewPipe()
	return n.at[name]
}

// dial connects to a gateway by its name. Where none listens any more it fails at once.
func (n *network) dial(ctx context.Context, name string) (net.Conn, error) {
	n.mu.Lock()
	lis := n.at[name]
	n.mu.Unlock()
	if lis == nil {
		return nil, errors.New("nobody listens at " + name)
	}
	return lis.Dial(ctx)
}

// through makes a client dial through wrap, which is given its side of each connection.
func (n *network) through(wrap func(net.Conn) net.Conn) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
		c, err := n.dial(ctx, name)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	})
}

// connect is a plain gRPC connection to the gateway in the network.
func (n *network) connect(t testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:gateway", append([]grpc.DialOption{
		grpc.WithContextDialer(n.dial), grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client is an SDK client of a gateway in the network.
func (n *network) client(t testing.TB, name string, opts ...grpc.DialOption) *sluice.Client {
	t.Helper()
	return newClient(t, "passthrough:"+name, append([]grpc.DialOption{grpc.WithContextDialer(n.dial)}, opts...)...)
}

func newClient(t testing.TB, addr string, opts ...grpc.DialOption) *sluice.Client {
	t.Helper()
	c, err := sluice.New(addr, sluice.WithPlaintext(), sluice.WithDialOptions(opts...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // who wants it drained closes it
		_ = c.Close(ctx)
	})
	return c
}
