package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a stream called "s", which the test closes if it wants to.
func open(t testing.TB, client *sluice.Client, opts sluice.StreamOptions) *sluice.Stream {
	t.Helper()
	opts.Tag = "test.stream"
	if opts.ID == "" {
		opts.ID = "s"
	}
	s, err := client.Stream(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// log adds the numbers from first to last as records.
func log(t testing.TB, s *sluice.Stream, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if err := s.Log(context.Background(), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(first, last int) []string {
	var out []string
	for i := first; i <= last; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// settle lets all that needs no more than d happen.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantTaken(t testing.TB, g *gateway, id string, want []string, wantDup int) {
	t.Helper()
	got, dup := g.taken(id)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	if dup != wantDup {
		t.Errorf("%d repeats, want %d", dup, wantDup)
	}
}

func closeClean(t testing.TB, s *sluice.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	report, err := s.Close(ctx)
	if err != nil || report.Lost() != 0 || report.Kept != 0 {
		t.Errorf("Close: %+v, %v", report, err)
	}
}

func TestRecordsArriveInOrderAndAreAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 10})
		synctest.Wait() // it is connected: what gathered before is sent as it is then
		log(t, s, 1, 95)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, g, "s", numbers(1, 95), 0)
		st := s.Stats()
		if st.State != sluice.Active || st.Added != 95 || st.Sent != 95 || st.Acked != 95 || st.Resent != 0 ||
			st.QueuedRecords != 0 || st.UnackedRecords != 0 || st.UnackedBytes != 0 || st.LastAcked != 95 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s)
		g.saw(func() {
			if len(g.appends) != 10 || !g.appends[9].GetFlush() || g.appends[8].GetFlush() {
				t.Errorf("%d appends, the last %v", len(g.appends), g.appends[len(g.appends)-1])
			}
		})
		if err := s.Log(t.Context(), "late"); !errors.Is(err, sluice.ErrClosed) {
			t.Errorf("Log after Close: %v", err)
		}
		if s.Stats().State != sluice.Ended {
			t.Errorf("state %v", s.Stats().State)
		}
	})
}

func TestLingerSendsWhatGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{Linger: time.Second})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		log(t, s, 1, 3)
		settle(999 * time.Millisecond)
		wantTaken(t, g, "s", nil, 0)
		settle(2 * time.Millisecond)
		wantTaken(t, g, "s", numbers(1, 3), 0)
		log(t, s, 4, 4)
		settle(1001 * time.Millisecond)
		wantTaken(t, g, "s", numbers(1, 4), 0)
		closeClean(t, s)
	})
}

func TestPauseStopsSendingAndResumeStartsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		var told []string
		s := open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{
			OnPause: func(p sluice.Pause) {
				told = append(told, fmt.Sprintf("pause %v %d/%d", p.Reason, p.HeldBytes, p.LimitBytes))
			},
			OnResume: func(r sluice.Resume) { told = append(told, fmt.Sprintf("resume %v", r.Paused)) },
		}})
		log(t, s, 1, 10)
		settle(time.Second)
		g.set(func() { g.paused, g.held = true, 9<<20 })
		synctest.Wait()
		log(t, s, 11, 20)
		settle(time.Minute)
		wantTaken(t, g, "s", numbers(1, 10), 0)
		if st := s.Stats(); st.State != sluice.Paused || st.QueuedRecords != 10 || st.PausedFor != time.Minute ||
			st.Reason != sluicev1.Reason_REASON_STREAM_LIMIT || st.HeldBytes != 9<<20 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() {}) // the same status again is no new pause
		synctest.Wait()
		g.set(func() { g.paused = false })
		synctest.Wait()
		wantTaken(t, g, "s", numbers(1, 20), 0)
		if st := s.Stats(); st.Pauses != 1 || st.PausedFor != time.Minute || st.State != sluice.Active {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s)
		if diff := cmp.Diff([]string{"pause REASON_STREAM_LIMIT 9437184/8388608", "resume 1m0s"}, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReconnectResendsWhatIsUnacked(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart func(*gateway)
		dup     int
	}{
		{"the gateway knows", func(g *gateway) { g.cut(status.Error(codes.Unavailable, "gone")) }, 0},
		{"the gateway ends the call", func(g *gateway) { g.cut(nil) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t)
				var told []sluice.Reconnect
				s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 7, Hooks: sluice.Hooks{
					OnReconnect: func(r sluice.Reconnect) { told = append(told, r) },
				}})
				g.set(func() { g.hold = true })
				log(t, s, 1, 20)
				settle(time.Second)
				tt.restart(g)
				log(t, s, 21, 40)
				settle(time.Minute)
				g.set(func() { g.hold = false })
				synctest.Wait()
				wantTaken(t, g, "s", numbers(1, 40), tt.dup)
				if st := s.Stats(); st.Reconnects != 1 || st.Acked != 40 {
					t.Errorf("stats %+v", st)
				}
				closeClean(t, s)
				if len(told) != 2 || told[0].Open || told[0].Err == nil || !told[1].Open {
					t.Errorf("told %+v", told)
				}
			})
		})
	}
}

// A gateway that buffered in memory and restarted knows nothing: the first status tells that it starts from what the
// client still holds, and all of that is sent again.
func TestGatewayThatForgetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 7})
		log(t, s, 1, 10)
		settle(time.Second)
		g.set(func() { g.hold = true })
		log(t, s, 11, 30)
		settle(time.Second)
		wantTaken(t, g, "s", numbers(1, 30), 0)
		g.forget()
		settle(time.Minute)
		g.set(func() { g.hold = false })
		synctest.Wait()
		wantTaken(t, g, "s", numbers(11, 30), 0) // as it knows it
		if st := s.Stats(); st.Acked != 30 || st.Resent != 20 {
			t.Errorf("stats %+v", st)
		}
		g.saw(func() {
			if last := g.opens[len(g.opens)-1]; last.GetFirstSequence() != 11 {
				t.Errorf("opened with %v", last)
			}
		})
		closeClean(t, s)
	})
}

// A durable gateway knows more than it has acked: what it has is not sent again, and is unacked until it says so.
func TestGatewayThatKnowsUnackedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 7})
		g.set(func() { g.hold = true })
		log(t, s, 1, 20)
		settle(time.Second)
		g.cut(status.Error(codes.Unavailable, "gone"))
		settle(time.Minute)
		if st := s.Stats(); st.Acked != 0 || st.UnackedRecords != 20 || st.Resent != 0 {
			t.Errorf("stats %+v", st)
		}
		g.set(func() { g.hold = false })
		synctest.Wait()
		if st := s.Stats(); st.Acked != 20 || st.UnackedRecords != 0 {
			t.Errorf("stats %+v", st)
		}
		wantTaken(t, g, "s", numbers(1, 20), 0)
		closeClean(t, s)
	})
}

func TestMadeUpIDIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		client := newClient(t, g)
		s, err := client.Stream(t.Context(), sluice.StreamOptions{Tag: "t"})
		if err != nil {
			t.Fatal(err)
		}
		log(t, s, 1, 3)
		settle(time.Second)
		g.cut(status.Error(codes.Unavailable, "gone"))
		log(t, s, 4, 6)
		settle(time.Minute)
		wantTaken(t, g, "made-up", numbers(1, 6), 0)
		if id := s.Stats().ID; id != "made-up" {
			t.Errorf("ID %q", id)
		}
		closeClean(t, s)
	})
}

func TestRejectedRecordsAreCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.reject = func(body string) bool { return body == "3" }
		var told []sluice.Rejection
		s := open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{
			OnReject: func(r []sluice.Rejection) { told = append(told, r...) },
		}})
		log(t, s, 1, 5)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Rejected != 1 || st.Acked != 5 {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, s)
		want := []sluice.Rejection{{First: 3, Last: 3, Count: 1, Code: 1, Message: "body: not wanted"}}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Error(diff)
		}
		wantTaken(t, g, "s", []string{"1", "2", "4", "5"}, 0)
	})
}

// What a gateway says is never trusted so far that the client breaks, hangs, or loses anything. A gateway that says it
// expects more than there is refuses what it gets then; that is final, as any refusal, and Log says so from then on.
func TestNonsenseFromTheGateway(t *testing.T) {
	for _, tt := range []struct {
		name     string
		ends     bool // the stream, with FAILED_PRECONDITION for the first append
		nonsense func(*sluicev1.StreamStatus)
	}{
		{"ack moves back", false, func(st *sluicev1.StreamStatus) { st.AckedSequence /= 2 }},
		{"ack of the unsent", false, func(st *sluicev1.StreamStatus) { st.AckedSequence = 1<<64 - 1 }},
		{"next of the unknown", false, func(st *sluicev1.StreamStatus) { st.NextSequence = 1<<64 - 1 }},
		{"next too high", true, func(st *sluicev1.StreamStatus) { st.NextSequence += 1000 }},
		{"next is nothing", false, func(st *sluicev1.StreamStatus) { st.NextSequence = 0 }},
		{"limits", false, func(st *sluicev1.StreamStatus) { st.LimitBytes, st.MaxAppendBytes = 1<<64-1, 1<<64-1 }},
		{"tiny limits", false, func(st *sluicev1.StreamStatus) { st.LimitBytes, st.MaxAppendBytes = 1, 1 }},
		{"unknown state", false, func(st *sluicev1.StreamStatus) { st.State = 99 }},
		{"rejections", false, func(st *sluicev1.StreamStatus) {
			st.Rejections = []*sluicev1.Rejection{{FirstSequence: 9, LastSequence: 2}, {LastSequence: 1<<64 - 1, Count: 1<<64 - 1}, nil}
		}},
		{"empty", false, func(st *sluicev1.StreamStatus) { proto.Reset(st) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { withNonsense(t, tt.nonsense, tt.ends) })
		})
	}
}

func withNonsense(t *testing.T, nonsense func(*sluicev1.StreamStatus), ends bool) {
	const batch = 3
	g := newGateway(t)
	g.status = nonsense
	s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: batch})
	synctest.Wait() // the first status has come
	for i := 1; i <= 21; i++ {
		if i == 21 {
			settle(time.Second)
			g.cut(status.Error(codes.Unavailable, "gone"))
		}
		err := s.Log(t.Context(), strconv.Itoa(i))
		if refused := ends && i > batch; refused != (status.Code(err) == codes.FailedPrecondition) || !refused && err != nil {
			t.Errorf("Log of record %d: %v", i, err)
		}
		synctest.Wait() // an append that is full was sent, and answered
	}
	settle(time.Minute)
	g.set(func() { g.status = nil })
	report, err := s.Close(t.Context())
	if ends {
		if status.Code(err) != codes.FailedPrecondition || report.Lost() != batch || report.First != 1001 || report.Last != 1003 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		wantTaken(t, g, "s", nil, 0)
		return
	}
	if err != nil || report.Lost() != 0 || s.Stats().Acked != 21 {
		t.Errorf("Close: %+v, %v; stats %+v", report, err, s.Stats())
	}
	if got, _ := g.taken("s"); !cmp.Equal(got, numbers(1, 21)) {
		t.Errorf("taken %v", got)
	}
}

func TestOptionsAreCheckedAtOnce(t *testing.T) {
	client, err := sluice.New("localhost:4317")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(t.Context()) }()
	_, err = client.Stream(t.Context(), sluice.StreamOptions{QueueBytes: -1, WhenFull: 7, ID: "\xff"})
	for _, want := range []string{"no Tag", "QueueBytes is negative", "WhenFull is no policy", "UTF-8"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
