package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A bystander is a producer that has done nothing wrong: it logs a record every quarter of a second, and waits for its ack.
type bystander struct {
	id     string
	client *sluice.Client
	stream *sluice.Stream
	stop   context.CancelFunc
	logs   sync.WaitGroup

	// What follows is for when logs is done.
	bodies  []string
	slowest time.Duration // from Log to ack
	err     error
}

// client is an SDK client of a gateway in the network.
func (n *network) client(t testing.TB, name string, opts ...grpc.DialOption) *sluice.Client {
	t.Helper()
	c, err := sluice.New("passthrough:"+name, sluice.WithPlaintext(),
		sluice.WithDialOptions(append([]grpc.DialOption{grpc.WithContextDialer(n.dial)}, opts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newBystander(t testing.TB, n *network, id, tag string) *bystander {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b := &bystander{id: id, client: n.client(t, "gateway"), stop: stop}
	var err error
	if b.stream, err = b.client.Stream(context.Background(), sluice.StreamOptions{ID: id, Tag: tag}); err != nil {
		t.Fatal(err)
	}
	b.logs.Go(func() { b.log(ctx) })
	return b
}

func (b *bystander) log(ctx context.Context) {
	for b.err == nil && ctx.Err() == nil {
		began, body := time.Now(), fmt.Sprint(b.id, " ", len(b.bodies)+1)
		if b.err = b.stream.Log(context.Background(), body); b.err != nil {
			return
		}
		b.bodies = append(b.bodies, body)
		waiting, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		b.err = b.stream.Flush(waiting)
		cancel()
		b.slowest = max(b.slowest, time.Since(began))
		pause(ctx, 250*time.Millisecond)
	}
}

// finish stops the bystander, which must not have noticed anything: each ack came at once, and all its records arrived at
// each of its destinations, once and in order.
func (b *bystander) finish(t testing.TB, at ...*destination) {
	t.Helper()
	b.stop()
	b.logs.Wait()
	if b.err != nil {
		t.Errorf("bystander %q: %v", b.id, b.err)
	}
	if b.slowest > time.Second {
		t.Errorf("bystander %q waited %v for an ack", b.id, b.slowest)
	}
	st := b.stream.Stats()
	if st.Pauses != 0 || st.Reconnects != 0 || st.Rejected != 0 || len(b.bodies) < 4 {
		t.Errorf("bystander %q: %d pauses, %d reconnects, %d rejected of %d records", b.id, st.Pauses, st.Reconnects, st.Rejected, len(b.bodies))
	}
	if err := b.client.Close(context.Background()); err != nil {
		t.Errorf("bystander %q: %v", b.id, err)
	}
	for _, d := range at {
		wantBodies(t, d, b.id, b.bodies)
	}
}
