package sluice_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestEpochTooSmallIsRaisedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		future := uint64(time.Now().Add(time.Hour).UnixNano()) // the clock was set back since
		g.streams["s"] = &state{epoch: future, next: 50}
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 3)
		synctest.Wait()
		if st := s.Stats(); st.State != sluice.Active { // no backoff before the second attempt
			t.Errorf("stats %+v", st)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTaken(t, g, "s", numbers(1, 3), 0)
		if st := s.Stats(); st.Epoch != future+1 {
			t.Errorf("epoch %d, want %d", st.Epoch, future+1)
		}
		closeClean(t, s)
	})
}

func TestEpochTooSmallTwiceIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.refuse = epochTooSmall(1 << 62)
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		<-s.Done()
		g.saw(func() {
			if len(g.opens) != 2 || g.opens[1].GetEpoch() != 1<<62+1 {
				t.Errorf("opens %v", g.opens)
			}
		})
		if err := s.Err(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("Err: %v", err)
		}
		_, _ = s.Close(t.Context())
	})
}

func TestFencedIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		client := newClient(t, g)
		s := open(t, client, sluice.StreamOptions{})
		g.set(func() { g.hold = true })
		log(t, s, 1, 5)
		settle(time.Second)
		blocked := make(chan error, 1)
		go func() { blocked <- s.Flush(context.Background()) }()
		synctest.Wait()
		newer := open(t, client, sluice.StreamOptions{})
		settle(time.Second)
		for name, err := range map[string]error{
			"Err": s.Err(), "Flush": <-blocked, "Log": s.Log(t.Context(), "x"), "Add": s.Add(t.Context(), &sluicev1.LogRecord{}),
		} {
			if !errors.Is(err, sluice.ErrFenced) {
				t.Errorf("%s: %v", name, err)
			}
		}
		settle(time.Minute)
		report, err := s.Close(t.Context())
		if !errors.Is(err, sluice.ErrFenced) || report.Unacked != 5 || report.First != 1 || report.Last != 5 {
			t.Errorf("Close: %+v, %v", report, err)
		}
		g.saw(func() {
			if len(g.opens) != 2 {
				t.Errorf("%d opens", len(g.opens))
			}
			g.hold = false
		})
		closeClean(t, newer)
	})
}

// A stream that is away while its successor starts must not fence it when it comes back.
func TestSuccessorIsNotFencedByAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 5)
		settle(time.Second)
		g.saw(func() { g.streams["s"] = &state{epoch: g.opens[0].GetEpoch() + 1, next: 1} })
		g.cut(status.Error(codes.Unavailable, "gone"))
		settle(time.Minute)
		if err := s.Err(); !errors.Is(err, sluice.ErrFenced) {
			t.Errorf("Err: %v", err)
		}
		_, _ = s.Close(t.Context())
	})
}

func TestRefusalIsFinal(t *testing.T) {
	for _, code := range []codes.Code{codes.FailedPrecondition, codes.InvalidArgument, codes.Unauthenticated, codes.Unimplemented} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t)
				g.silent = true
				s := open(t, newClient(t, g), sluice.StreamOptions{})
				log(t, s, 1, 2)
				synctest.Wait()
				g.cut(status.Error(code, `no route takes tag "test.stream"`)) // what was logged is queued
				err := s.Flush(t.Context())
				if err == nil || !strings.Contains(err.Error(), `no route takes tag "test.stream"`) {
					t.Errorf("Flush: %v", err)
				}
				report, err := s.Close(t.Context())
				if err == nil || report.Unsent != 2 || report.Unacked != 0 {
					t.Errorf("Close: %+v, %v", report, err)
				}
				g.saw(func() {
					if len(g.opens) != 1 {
						t.Errorf("%d opens", len(g.opens))
					}
				})
			})
		})
	}
}

func TestBackoffGrowsWhileTheGatewayIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		g.refuse = status.Error(codes.Unavailable, "not yet")
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		log(t, s, 1, 2)
		settle(10 * time.Minute)
		var opens int
		g.saw(func() { opens = len(g.opens) })
		if opens < 60 || opens > 300 { // 5 s apart on average
			t.Errorf("%d attempts in 10 minutes", opens)
		}
		g.set(func() { g.refuse = nil })
		settle(sluice.DefaultBackoffCap)
		wantTaken(t, g, "s", numbers(1, 2), 0)
		closeClean(t, s)
	})
}
