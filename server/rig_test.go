package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A gate is an output that takes everything, or nothing while it is shut.
type gate struct {
	shut atomic.Bool

	mu  sync.Mutex // guards what follows
	got map[string][]string
}

func (g *gate) Write(_ context.Context, b *engine.Batch) error {
	if g.shut.Load() {
		return errors.New("shut")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.got == nil {
		g.got = map[string][]string{}
	}
	for _, r := range b.All() {
		id := r.Chunk.Stream.ID
		g.got[id] = append(g.got[id], enginetest.Body(r.Record))
	}
	return nil
}

// bodies are what was delivered of a stream, in order.
func (g *gate) bodies(stream string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.got[stream]...)
}

// A rig is a server with an engine on the memory buffer and one output, reached over memory.
type rig struct {
	*Server
	t      testing.TB
	engine *engine.Engine
	out    *gate
	lis    *enginetest.Pipe
	serve  sync.WaitGroup
}

func newRig(t testing.TB, limits engine.Limits, o Options) *rig {
	t.Helper()
	r := &rig{t: t, out: &gate{}, lis: enginetest.NewPipe()}
	r.start(r.lis, limits, o, engine.OutputOptions{
		Output:    r.out,
		Scheduler: schedule.NewKeyed(engine.BatchLimits{MaxBytes: 1 << 20, MaxRecords: 10_000}, schedule.Fixed(4)),
		Retry:     engine.Retry{Base: 100 * time.Millisecond, Cap: 100 * time.Millisecond},
	})
	return r
}

// start makes the engine, with this output, and the server, and serves.
func (r *rig) start(lis net.Listener, limits engine.Limits, o Options, out engine.OutputOptions) {
	r.t.Helper()
	out.Name = "out"
	var err error
	r.engine, err = engine.New(engine.Options{
		Limits:    limits,
		Outputs:   []engine.OutputOptions{out},
		Routes:    []engine.Route{{Match: "app.**", Outputs: []string{"out"}}},
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.Server, err = New(r.engine, o); err != nil {
		r.t.Fatal(err)
	}
	r.serve.Go(func() {
		if err := r.Serve(lis); err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
}

// finish stops all. Whatever came before, nothing may be held afterwards and no session may be left.
func (r *rig) finish() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.out.shut.Store(false)
	if err := r.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
	r.serve.Wait()
	if err := r.engine.Drain(ctx); err != nil {
		r.t.Errorf("drain: %v", err)
	}
	if left, err := r.engine.Close(ctx); err != nil || len(left) > 0 {
		r.t.Errorf("close: %v, undelivered %v", err, left)
	}
	if st := r.engine.Stats(); st.Sessions != 0 || st.Held != 0 {
		r.t.Errorf("%d sessions and %d held bytes are left", st.Sessions, st.Held)
	}
}

// dial connects; wrap, which may be nil, is given the client's side of the connection.
func (r *rig) dial(wrap func(net.Conn) net.Conn, o ...grpc.DialOption) *grpc.ClientConn {
	r.t.Helper()
	dialer := func(ctx context.Context, _ string) (net.Conn, error) {
		c, err := r.lis.Dial(ctx)
		if err == nil && wrap != nil {
			c = wrap(c)
		}
		return c, err
	}
	o = append([]grpc.DialOption{grpc.WithContextDialer(dialer), grpc.WithTransportCredentials(insecure.NewCredentials())}, o...)
	conn, err := grpc.NewClient("passthrough:sluice", o...)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// client connects with a generated client. What it returns closes the connection.
func (r *rig) client(o ...grpc.DialOption) (sluicev1.IngestServiceClient, func()) {
	r.t.Helper()
	conn := r.dial(nil, o...)
	return sluicev1.NewIngestServiceClient(conn), func() { _ = conn.Close() }
}

// A producer is a generated client's stream.
type producer struct {
	grpc.BidiStreamingClient[sluicev1.StreamLogsRequest, sluicev1.StreamLogsResponse]
	t testing.TB
}

// open opens a stream and reads the status that answers it.
func open(ctx context.Context, t testing.TB, c sluicev1.IngestServiceClient, o *sluicev1.Open) *producer {
	t.Helper()
	if o.Tag == "" {
		o.Tag = "app.test"
	}
	s, err := c.StreamLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := &producer{s, t}
	p.send(openRequest(o))
	p.status()
	return p
}

func (p *producer) send(m *sluicev1.StreamLogsRequest) {
	p.t.Helper()
	if err := p.Send(m); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) append(first uint64, bodies ...string) {
	p.t.Helper()
	p.send(appendRequest(&sluicev1.Append{FirstSequence: first, Records: records(bodies...)}))
}

func (p *producer) status() *sluicev1.StreamStatus {
	p.t.Helper()
	m, err := p.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	return m.GetStatus()
}

// until reads statuses up to the first that is as wanted.
func (p *producer) until(wanted func(*sluicev1.StreamStatus) bool) *sluicev1.StreamStatus {
	p.t.Helper()
	for {
		if st := p.status(); wanted(st) {
			return st
		}
	}
}

func acked(sequence uint64) func(*sluicev1.StreamStatus) bool {
	return func(st *sluicev1.StreamStatus) bool { return st.GetAckedSequence() >= sequence }
}

func inState(s sluicev1.State) func(*sluicev1.StreamStatus) bool {
	return func(st *sluicev1.StreamStatus) bool { return st.GetState() == s }
}

// end reads statuses until the call ends, and gives its error: io.EOF for OK.
func (p *producer) end() error {
	for {
		if _, err := p.Recv(); err != nil {
			return err
		}
	}
}

// detail is the ErrorInfo and the RetryInfo of an error, each nil where there is none.
func detail(err error) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo) {
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d
		}
	}
	return info, retry
}

// wantError checks an error's code and the field that it is about.
func wantError(t testing.TB, err error, code codes.Code, field string) {
	t.Helper()
	info, _ := detail(err)
	if status.Code(err) != code || info.GetDomain() != "sluice" || info.GetReason() == "" || info.GetMetadata()["field"] != field {
		t.Errorf("got %v (%v), want %v about %q", err, info, code, field)
	}
}
