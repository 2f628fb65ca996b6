package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A store keeps letters in memory. One whose ID is in bad cannot be read.
type store struct {
	bad    []uint64
	refuse error // what Remove answers
	onRead func(id uint64)

	mu      sync.Mutex // guards what follows
	letters []*engine.Letter
}

var errChecksum = errors.New("checksum")

func (s *store) Letters(ctx context.Context, f engine.LetterFilter) iter.Seq2[*engine.Letter, error] {
	return func(yield func(*engine.Letter, error) bool) {
		s.mu.Lock()
		letters := slices.Clone(s.letters)
		s.mu.Unlock()
		for _, l := range letters {
			if s.onRead != nil {
				s.onRead(l.ID)
			}
			switch {
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case slices.Contains(s.bad, l.ID):
				if len(f.IDs) > 0 && !slices.Contains(f.IDs, l.ID) {
					continue
				}
				if !yield(nil, &engine.LetterError{From: l.ID, To: l.ID + 1, Err: errChecksum}) {
					return
				}
			case f.Matches(l) && !yield(l, nil):
				return
			}
		}
	}
}

func (s *store) Remove(_ context.Context, ids []uint64) error {
	if s.refuse != nil {
		return s.refuse
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = slices.DeleteFunc(s.letters, func(l *engine.Letter) bool { return slices.Contains(ids, l.ID) })
	return nil
}

func (s *store) ids() (ids []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// noon is when the first letter was refused; the others follow by the minute.
func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// letter makes one; the odd ones are of output a, the even ones of b.
func letter(id uint64, body string) *engine.Letter {
	l := &engine.Letter{
		ID:     id,
		Tenant: "default", StreamID: "s1", Tag: "shop.checkout", Epoch: 7, Sequence: 100 + id,
		Arrived:  noon().Add(-time.Hour),
		Resource: enginetest.Resource("host.name", "h"),
		Record:   engine.Record{Wire: enginetest.Record(100+id, body, "k", "v")},
	}
	l.DeadLetter = engine.DeadLetter{
		Output: "a", Target: "group/stream", Reason: "too_old", Message: "14 days", RequestID: "req-1", Attempts: 3,
		First: noon().Add(-time.Minute), Last: noon().Add(time.Duration(id-1) * time.Minute),
	}
	if id%2 == 0 {
		l.Output, l.Reason = "b", "http_400"
	}
	return l
}

func fill(n uint64, body string) *store {
	s := &store{}
	for id := range n {
		s.letters = append(s.letters, letter(id+1, body))
	}
	return s
}

// A rig is a server with a store, reached over memory.
type rig struct {
	*Server
	sluicev1.AdminServiceClient
	t    *testing.T
	conn *grpc.ClientConn
	lis  *enginetest.Pipe
	logs bytes.Buffer // to be read after finish

	serve    sync.WaitGroup
	finished bool
}

func newRig(t *testing.T, s engine.LetterStore, replay Replay) *rig {
	t.Helper()
	r := &rig{t: t, lis: enginetest.NewPipe()}
	var err error
	r.Server, err = New(Options{
		Sources: sources(engine.Stats{}), Metrics: NewMetrics("v1"), Letters: s, Replay: replay,
		Log: slog.New(slog.NewTextHandler(&r.logs, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.serve.Go(func() {
		if err := r.Serve(r.lis); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	r.conn, err = grpc.NewClient("passthrough:sluice",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.lis.Dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r.AdminServiceClient = sluicev1.NewAdminServiceClient(r.conn)
	return r
}

// finish stops the server, which must end all by itself.
func (r *rig) finish() {
	r.t.Helper()
	if r.finished {
		return
	}
	r.finished = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
	_ = r.conn.Close()
	r.serve.Wait()
}

// list reads all responses.
func (r *rig) list(request *sluicev1.ListDeadLettersRequest) (letters []*sluicev1.DeadLetter, responses int, err error) {
	ss, err := r.ListDeadLetters(r.t.Context(), request)
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		m, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return letters, responses, nil
		} else if err != nil {
			return letters, responses, err
		}
		responses++
		letters = append(letters, m.GetDeadLetters()...)
	}
}

// replays reads all responses.
func (r *rig) replays(ctx context.Context, f *sluicev1.DeadLetterFilter) (told []*sluicev1.ReplayDeadLettersResponse, err error) {
	ss, err := r.ReplayDeadLetters(ctx, &sluicev1.ReplayDeadLettersRequest{Filter: f})
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		m, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return told, nil
		} else if err != nil {
			return told, err
		}
		told = append(told, m)
	}
}

func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("answered %v, want %v with %q", err, code, text)
	}
}

// in runs a test in a bubble with a rig.
func in(t *testing.T, s engine.LetterStore, replay Replay, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s, replay)
		defer r.finish()
		test(t, r)
	})
}

// noReplay replays nothing.
func noReplay(context.Context, engine.LetterFilter, func(int64)) (int64, error) { return 0, nil }
