package sluice_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/engine/enginetest"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A gateway is a scriptable IngestService: it keeps to the contract, and does as the test says. Its fields are changed by
// set, which tells every connection.
type gateway struct {
	sluicev1.UnimplementedIngestServiceServer
	listener *enginetest.Pipe
	server   *grpc.Server

	mu      sync.Mutex
	streams map[string]*state
	conns   map[*conn]struct{}
	opens   []*sluicev1.Open
	appends []*sluicev1.Append
	dup     int               // records that the gateway knew already
	arrival func(body string) // is told of every record, repeats among them

	hold      bool // do not ack
	paused    bool
	draining  bool
	silent    bool // do not answer Open
	deaf      bool // do not read after Open
	lingering bool // do not end after half-close
	refuse    error
	limit     uint64
	held      uint64
	maxAppend uint64
	reject    func(body string) bool
	status    func(*sluicev1.StreamStatus) // has the last word
}

// A state is what the gateway knows of a stream.
type state struct {
	epoch, next, acked uint64
	taken              []string
}

type conn struct {
	state      *state
	wake       chan struct{}
	end        chan error
	halfClosed bool
	rejections []*sluicev1.Rejection
}

// newGateway starts a gateway, which is stopped with the test.
func newGateway(t testing.TB, opts ...grpc.ServerOption) *gateway {
	g, stop := startGateway(opts...)
	t.Cleanup(stop)
	return g
}

// startGateway is newGateway for those who have no test.
func startGateway(opts ...grpc.ServerOption) (started *gateway, stop func()) {
	opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second}))
	g := &gateway{
		listener: enginetest.NewPipe(), limit: 8 << 20, server: grpc.NewServer(opts...),
		streams: map[string]*state{}, conns: map[*conn]struct{}{},
	}
	sluicev1.RegisterIngestServiceServer(g.server, g)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.server.Serve(g.listener)
	}()
	return g, func() {
		g.server.Stop()
		<-served
	}
}

// newClient makes a client of the gateways and closes it with the test.
func newClient(t testing.TB, gateways ...*gateway) *sluice.Client {
	t.Helper()
	client, err := sluice.New("test:///gateways", connectTo(gateways...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // tests close what they want drained
		_ = client.Close(ctx)
	})
	return client
}

// connectTo makes the gateways addresses of the name test:///gateways.
func connectTo(gateways ...*gateway) []sluice.Option {
	byAddr := map[string]*gateway{}
	var addrs []resolver.Address
	for i, g := range gateways {
		addr := "gateway-" + strconv.Itoa(i)
		byAddr[addr] = g
		addrs = append(addrs, resolver.Address{Addr: addr})
	}
	names := manual.NewBuilderWithScheme("test")
	names.InitialState(resolver.State{Addresses: addrs})
	return []sluice.Option{sluice.WithPlaintext(), sluice.WithDialOptions(
		grpc.WithResolvers(names),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return byAddr[addr].listener.Dial(ctx)
		}),
	)}
}

func (g *gateway) StreamLogs(rpc grpc.BidiStreamingServer[sluicev1.StreamLogsRequest, sluicev1.StreamLogsResponse]) error {
	if g.isDraining() {
		return refusal(codes.Unavailable, "DRAINING", nil)
	}
	o, err := awaitOpen(rpc)
	if err != nil {
		return err
	}
	c, err := g.open(o)
	defer g.leave(c)
	if err != nil {
		return err
	}
	if c.state == nil {
		select {
		case err := <-c.end:
			return err
		case <-rpc.Context().Done():
			return status.FromContextError(rpc.Context().Err()).Err()
		}
	}
	if !g.isDeaf() {
		go g.read(c, rpc)
	}
	for {
		st, over := g.say(c)
		if err := rpc.Send(&sluicev1.StreamLogsResponse{Status: st}); err != nil {
			return err
		}
		if over {
			return nil
		}
		select {
		case <-c.wake:
		case err := <-c.end:
			return err
		case <-rpc.Context().Done():
			return status.FromContextError(rpc.Context().Err()).Err()
		}
	}
}

// awaitOpen waits for Open, for a minute.
func awaitOpen(rpc grpc.BidiStreamingServer[sluicev1.StreamLogsRequest, sluicev1.StreamLogsResponse]) (*sluicev1.Open, error) {
	type first struct {
		req *sluicev1.StreamLogsRequest
		err error
	}
	came := make(chan first, 1)
	go func() {
		req, err := rpc.Recv()
		came <- first{req, err}
	}()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case f := <-came:
		return f.req.GetOpen(), f.err
	case <-timeout.C:
		return nil, status.Error(codes.DeadlineExceeded, "open: did not come within 1m0s")
	}
}

func (g *gateway) open(o *sluicev1.Open) (*conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opens = append(g.opens, o)
	c := &conn{wake: make(chan struct{}, 1), end: make(chan error, 1)}
	g.conns[c] = struct{}{}
	if g.refuse != nil {
		return c, g.refuse
	}
	if g.silent {
		return c, nil
	}
	id := o.GetStreamId()
	if id == "" {
		id = "made-up"
	}
	st := g.streams[id]
	switch {
	case st == nil || o.GetEpoch() > st.epoch:
		g.end(st, status.Error(codes.Aborted, "a newer epoch"))
		fresh := &state{epoch: o.GetEpoch(), next: 1}
		if st != nil {
			fresh.taken = st.taken
		}
		st = fresh
		g.streams[id] = st
	case o.GetEpoch() < st.epoch:
		return c, epochTooSmall(st.epoch)
	default:
		g.end(st, status.Error(codes.Aborted, "a newer connection"))
	}
	if first := max(1, o.GetFirstSequence()); first > st.next {
		st.next, st.acked = first, first-1
	}
	c.state = st
	return c, nil
}

// end ends the connections of a stream. The mutex is held.
func (g *gateway) end(st *state, err error) {
	for c := range g.conns {
		if st != nil && c.state == st {
			select {
			case c.end <- err:
			default:
			}
		}
	}
}

func epochTooSmall(current uint64) error {
	return refusal(codes.FailedPrecondition, "EPOCH_TOO_SMALL", map[string]string{"epoch": strconv.FormatUint(current, 10)})
}

func refusal(code codes.Code, reason string, metadata map[string]string) error {
	st, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{Domain: "sluice", Reason: reason, Metadata: metadata})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func (g *gateway) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *gateway) isDeaf() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deaf
}

func (g *gateway) isDraining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

func (g *gateway) read(c *conn, rpc grpc.BidiStreamingServer[sluicev1.StreamLogsRequest, sluicev1.StreamLogsResponse]) {
	for {
		req, err := rpc.Recv()
		if errors.Is(err, io.EOF) {
			g.set(func() { c.halfClosed = true })
			return
		}
		if err != nil {
			return
		}
		if err := g.take(c, req.GetAppend()); err != nil {
			select {
			case c.end <- err:
			default:
			}
			return
		}
	}
}

func (g *gateway) take(c *conn, a *sluicev1.Append) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.appends = append(g.appends, a)
	if _, live := g.conns[c]; !live {
		return nil
	}
	if a.GetFirstSequence() > c.state.next {
		return status.Errorf(codes.FailedPrecondition, "gap: %d after %d", a.GetFirstSequence(), c.state.next)
	}
	for i, r := range a.GetRecords() {
		seq, body := a.GetFirstSequence()+uint64(i), r.GetBody().GetStringValue()
		if g.arrival != nil {
			g.arrival(body)
		}
		if seq < c.state.next {
			g.dup++
			continue
		}
		c.state.next++
		if g.reject != nil && g.reject(body) {
			c.rejections = append(c.rejections, &sluicev1.Rejection{
				FirstSequence: seq, LastSequence: seq, Count: 1, Message: "body: not wanted",
				Code: sluicev1.RejectionCode_REJECTION_CODE_MALFORMED,
			})
			continue
		}
		c.state.taken = append(c.state.taken, body)
	}
	poke(c)
	return nil
}

func poke(c *conn) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// say gives the status of a connection, and whether it is the last one.
func (g *gateway) say(c *conn) (st *sluicev1.StreamStatus, over bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hold {
		c.state.acked = c.state.next - 1
	}
	st = &sluicev1.StreamStatus{
		State: sluicev1.State_STATE_ACTIVE, AckedSequence: c.state.acked, NextSequence: c.state.next,
		HeldBytes: g.held, LimitBytes: g.limit, MaxAppendBytes: g.maxAppend, StreamId: "made-up",
		Rejections: c.rejections,
	}
	c.rejections = nil
	if g.paused {
		st.State, st.Reason = sluicev1.State_STATE_PAUSED, sluicev1.Reason_REASON_STREAM_LIMIT
	}
	if g.draining {
		st.State, st.Reason = sluicev1.State_STATE_DRAINING, sluicev1.Reason_REASON_SHUTDOWN
	}
	if g.status != nil {
		g.status(st)
	}
	return st, c.halfClosed && c.state.acked == c.state.next-1 && !g.lingering
}

// set changes what the gateway does and tells all connections.
func (g *gateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	for c := range g.conns {
		poke(c)
	}
}

// cut ends all connections.
func (g *gateway) cut(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		select {
		case c.end <- err:
		default:
		}
	}
}

// forget is a restart of a gateway that buffers in memory: what it has taken is done with, and nothing is known.
func (g *gateway) forget() {
	g.cut(status.Error(codes.Unavailable, "restarting"))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streams = map[string]*state{}
}

// taken gives what the gateway has taken of a stream, and how often it saw what it knew.
func (g *gateway) taken(id string) ([]string, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := g.streams[id]
	if st == nil {
		return nil, g.dup
	}
	return append([]string(nil), st.taken...), g.dup
}

func (g *gateway) saw(look func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	look()
}
