package sluice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestCloseReportsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 4})
		log(t, s, 1, 4)
		settle(time.Second)
		g.set(func() { g.hold = true })
		log(t, s, 5, 11)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s, 12, 15)

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		report, err := s.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "11 records not acked") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("Close took %v", took)
		}
		if report.Unacked != 7 || report.First != 5 || report.Last != 11 || report.Unsent != 4 || report.Lost() != 11 {
			t.Errorf("report %+v", report)
		}
		var sequences []uint64
		var bodies []string
		for seq, r := range report.Records() {
			sequences = append(sequences, seq)
			bodies = append(bodies, r.GetBody().GetStringValue())
		}
		if diff := cmp.Diff(numbers(5, 15), bodies); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]uint64{5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0}, sequences); diff != "" {
			t.Error(diff)
		}
		again, err := s.Close(context.Background())
		if err == nil || again.Lost() != 11 {
			t.Errorf("Close again: %+v, %v", again, err)
		}
	})
}

func TestCloseWaitsThroughAPauseAndAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{BatchRecords: 4})
		g.set(func() { g.hold = true })
		log(t, s, 1, 10)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s, 11, 20)
		go func() {
			time.Sleep(time.Minute)
			g.cut(status.Error(codes.Unavailable, "gone"))
			time.Sleep(time.Minute)
			g.set(func() { g.paused = false })
			time.Sleep(time.Minute)
			g.cut(status.Error(codes.Unavailable, "gone, after the half-close"))
			time.Sleep(time.Minute)
			g.set(func() { g.hold = false })
		}()
		closeClean(t, s)
		wantTaken(t, g, "s", numbers(1, 20), 0)
	})
}

// A gateway that has acked all and does not end the call after the half-close is left after a second.
func TestCloseOfALingeringGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.lingering = true
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 3)
		began := time.Now()
		closeClean(t, s)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		wantTaken(t, g, "s", numbers(1, 3), 0)
	})
}

func TestGatewayThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.silent = true
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := s.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not open the stream in time") {
			t.Errorf("Ready: %v", err)
		}
		if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		report, err := s.Close(ctx)
		if err == nil || report.Unsent != 3 || report.Unacked != 0 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		if st := s.Stats(); st.OpenAttempts < 5 || st.OpenAttempts > 20 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A connection takes so many calls at a time. A stream that is one too many says so, and comes in once there is room.
func TestConnectionThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, newGateway(t, grpc.MaxConcurrentStreams(1)))
		first := open(t, client, sluice.StreamOptions{})
		if err := first.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := make(chan sluice.Reconnect, 100)
		s := open(t, client, sluice.StreamOptions{ID: "late", Hooks: sluice.Hooks{OnReconnect: func(r sluice.Reconnect) { told <- r }}})
		log(t, s, 1, 3)
		settle(sluice.DefaultOpenTimeout)
		if len(told) != 1 {
			t.Fatalf("told %d times", len(told))
		}
		if r := <-told; r.Open || r.Attempts != 1 || !strings.Contains(r.Err.Error(), "did not open the stream in time") {
			t.Errorf("told %+v", r)
		}
		settle(time.Minute)
		if st := s.Stats(); st.OpenAttempts < 2 || st.State != sluice.Connecting {
			t.Errorf("stats %+v", st)
		}
		closeClean(t, first)
		closeClean(t, s)
		if st := s.Stats(); st.Acked != 3 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A record that nests deeper than protobuf reads is given back all the same.
func TestCloseReportsADeepRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		deep := &sluicev1.AnyValue{}
		for range 6000 {
			list := &sluicev1.ArrayValue{Values: []*sluicev1.AnyValue{deep}}
			deep = &sluicev1.AnyValue{Value: &sluicev1.AnyValue_ArrayValue{ArrayValue: list}}
		}
		want := &sluicev1.LogRecord{Body: deep}
		if err := s.Add(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		log(t, s, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		report, err := s.Close(ctx)
		if err == nil || report.Unsent != 2 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		var wires [][]byte
		for _, r := range report.Records() {
			b, err := proto.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			wires = append(wires, b)
		}
		b, err := proto.Marshal(want)
		if err != nil || len(wires) != 2 || !bytes.Equal(wires[0], b) {
			t.Errorf("%d records, or not as they were added: %v", len(wires), err)
		}
	})
}

// A gateway at its ceiling does not read: HTTP/2 holds the sender, and Close gets it out of there.
func TestGatewayThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.deaf = true
		s := open(t, newClient(t, g), sluice.StreamOptions{QueueRecords: 100})
		body := strings.Repeat("x", 10_000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		for s.Log(ctx, body) == nil {
			n++
		}
		report, err := s.Close(ctx)
		if err == nil || report.Lost() != n {
			t.Errorf("Close: %+v, %v; %d were taken", report, err, n)
		}
	})
}

func TestEndOfTheStreamsContextCutsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.paused = true
		ctx, cancel := context.WithCancel(t.Context())
		s, err := newClient(t, g).Stream(ctx, sluice.StreamOptions{Tag: "t", ID: "s"})
		if err != nil {
			t.Fatal(err)
		}
		log(t, s, 1, 3)
		synctest.Wait()
		cancel()
		<-s.Done()
		if err := s.Log(t.Context(), "4"); !errors.Is(err, context.Canceled) {
			t.Errorf("Log: %v", err)
		}
		report, err := s.Close(t.Context())
		if !errors.Is(err, context.Canceled) || report.Unsent != 3 {
			t.Errorf("Close: %+v, %v", report, err)
		}
	})
}

func TestCloseOfAnIdleStreamDoesNotNeedAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, arrange := range []func(*gateway){
			func(*gateway) {},
			func(g *gateway) { g.silent = true },
			func(g *gateway) { g.refuse = status.Error(codes.Unavailable, "not yet") },
			func(g *gateway) { _ = g.listener.Close() },
		} {
			g := newGateway(t)
			arrange(g)
			client := newClient(t, g)
			for _, wait := range []time.Duration{0, time.Nanosecond, time.Second, time.Minute} {
				s := open(t, client, sluice.StreamOptions{})
				time.Sleep(wait)
				began := time.Now()
				closeClean(t, s)
				if took := time.Since(began); took > time.Second {
					t.Errorf("Close took %v", took)
				}
			}
		}
	})
}

func TestClientClosesItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		client := newClient(t, g)
		for _, id := range []string{"a", "b", "c"} {
			log(t, open(t, client, sluice.StreamOptions{ID: id}), 1, 3)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, id := range []string{"a", "b", "c"} {
			wantTaken(t, g, id, numbers(1, 3), 0)
		}
		if _, err := client.Stream(t.Context(), sluice.StreamOptions{Tag: "t"}); !errors.Is(err, sluice.ErrClosed) {
			t.Errorf("Stream: %v", err)
		}
	})
}

func TestFlushInAHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		var s *sluice.Stream
		ready := make(chan struct{})
		flushed := make(chan error, 1)
		s = open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{OnPause: func(sluice.Pause) {
			<-ready
			flushed <- s.Flush(context.Background())
		}}})
		log(t, s, 1, 10)
		settle(time.Second)
		g.set(func() { g.paused = true })
		synctest.Wait()
		log(t, s, 11, 12)
		close(ready)
		settle(time.Minute)
		g.set(func() { g.paused = false })
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		wantTaken(t, g, "s", numbers(1, 12), 0)
		closeClean(t, s)
	})
}

// While a hook is busy the stream goes on, and the hook sees the newest when it is done, not all there was.
func TestASlowHookSeesTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		var told []string
		release := make(chan struct{})
		s := open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{
			OnPause:  func(p sluice.Pause) { told = append(told, fmt.Sprint("pause ", p.HeldBytes)); <-release },
			OnResume: func(r sluice.Resume) { told = append(told, fmt.Sprint("resume ", r.HeldBytes)) },
		}})
		for i := range 10 {
			settle(time.Second)
			g.set(func() { g.paused, g.held = true, uint64(i) })
			settle(time.Second)
			g.set(func() { g.paused = false })
			log(t, s, i, i)
		}
		settle(time.Second)
		wantTaken(t, g, "s", numbers(0, 9), 0)
		close(release)
		settle(time.Second)
		if st := s.Stats(); st.Pauses != 10 {
			t.Errorf("stats %+v", st)
		}
		if diff := cmp.Diff([]string{"pause 0", "resume 9"}, told); diff != "" {
			t.Error(diff)
		}
		closeClean(t, s)
	})
}

func TestAHookThatHangsDoesNotHoldUpCloseForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		release := make(chan struct{})
		s := open(t, newClient(t, g), sluice.StreamOptions{Hooks: sluice.Hooks{OnPause: func(sluice.Pause) { <-release }}})
		g.set(func() { g.paused = true })
		settle(time.Second)
		g.set(func() { g.paused = false })
		log(t, s, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		close(release)
	})
}
