package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/schedule"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// The worked case of docs/limits.md, by its numbers: the limit is 1,000,000 bytes; 700,000 are appended, their flush fails
// and waits for its retry; 500,000 more are let in and the stream is paused at 1,200,000; then the first are flushed, or
// given up after their last retry, and it resumes at 500,000.
func TestWorkedCase(t *testing.T) {
	for _, giveUp := range []bool{false, true} {
		name := "flushed"
		if giveUp {
			name = "given up"
		}
		t.Run(name, func(t *testing.T) {
			t.Run("pipe", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := &rig{t: t, out: &gate{}, lis: enginetest.NewPipe()}
					workedCase(r, r.lis, 10*time.Second, giveUp, func() *grpc.ClientConn { return r.dial(nil) })
				})
			})
			t.Run("TCP", func(t *testing.T) {
				lis, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				workedCase(&rig{t: t, out: &gate{}}, lis, 100*time.Millisecond, giveUp, func() *grpc.ClientConn {
					conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
					if err != nil {
						t.Fatal(err)
					}
					return conn
				})
			})
		})
	}
}

// A stubborn output fails the first batch, once or for ever, and takes the second when it is told to.
type stubborn struct {
	retry  time.Duration
	giveUp bool
	failed chan struct{} // closed at the first failure
	second chan struct{} // the second batch is taken when it is closed
}

func (o *stubborn) Write(ctx context.Context, b *engine.Batch) error {
	if b.Records == 7 && (b.Attempt == 1 || o.giveUp) {
		if b.Attempt == 1 {
			close(o.failed)
		}
		return engine.RetryAfter(o.retry, errors.New("not now"))
	}
	if b.Records == 5 {
		select {
		case <-o.second:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func workedCase(r *rig, lis net.Listener, retry time.Duration, giveUp bool, dial func() *grpc.ClientConn) {
	t := r.t
	out := &stubborn{retry: retry, giveUp: giveUp, failed: make(chan struct{}), second: make(chan struct{})}
	options := engine.OutputOptions{
		Output:    out,
		Scheduler: schedule.NewSync(engine.BatchLimits{MaxBytes: 1 << 20}),
		Retry:     engine.Retry{Base: time.Nanosecond, Cap: time.Nanosecond},
	}
	if giveUp {
		options.Retry.GiveUpAfter = retry // so the first retry is the last
	}
	r.start(lis, engine.Limits{Stream: 1_000_000}, Options{}, options)
	defer r.finish()
	conn := dial()
	defer func() { _ = conn.Close() }()

	p := open(t.Context(), t, sluicev1.NewIngestServiceClient(conn), &sluicev1.Open{StreamId: "s"})
	p.append(1, hundredKilobytes(7)...)
	<-out.failed
	p.append(8, hundredKilobytes(5)...)
	st := p.until(inState(sluicev1.State_STATE_PAUSED))
	if st.GetHeldBytes() != 1_200_000 || st.GetLimitBytes() != 1_000_000 || st.GetReason() != sluicev1.Reason_REASON_STREAM_LIMIT {
		t.Errorf("paused with %v", st)
	}
	st = p.until(inState(sluicev1.State_STATE_ACTIVE))
	if st.GetHeldBytes() != 500_000 || st.GetAckedSequence() != 7 {
		t.Errorf("resumed with %v", st)
	}
	close(out.second)
	p.until(acked(12))

	done := map[engine.DoneLabel]engine.Tally{{Result: "delivered"}: {Records: 12, Bytes: 1_200_000}}
	if giveUp {
		done = map[engine.DoneLabel]engine.Tally{
			{Result: "dropped", Reason: "gave_up"}: {Records: 7, Bytes: 700_000},
			{Result: "delivered"}:                  {Records: 5, Bytes: 500_000},
		}
	}
	for label, want := range done {
		if got := r.engine.Stats().Outputs[0].Done[label]; got != want {
			t.Errorf("%v: %+v, want %+v", label, got, want)
		}
	}
}

// hundredKilobytes are n bodies whose records take exactly 100,000 bytes each in an append: 12 of them are the tags and
// lengths around the text.
func hundredKilobytes(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Repeat("x", 100_000-12)
	}
	return all
}
