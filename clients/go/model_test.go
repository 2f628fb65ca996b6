package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A move is one thing that happens in a history.
type move struct {
	kind  string
	n     int // records, or the gateway that it happens to
	after time.Duration
}

var moveKinds = []string{
	"log", "log", "log", "log", "flush", "cut", "end", "forget", "hold", "release", "pause", "resume", "drain", "shrink", "wait",
}

func drawMoves(t *rapid.T) []move {
	one := rapid.Custom(func(t *rapid.T) move {
		return move{
			kind:  rapid.SampledFrom(moveKinds).Draw(t, "kind"),
			n:     rapid.IntRange(1, 30).Draw(t, "n"),
			after: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 50, 1000, 20_000}).Draw(t, "ms")) * time.Millisecond,
		}
	})
	return rapid.SliceOfN(one, 1, 40).Draw(t, "moves")
}

// Whatever happens to connections and gateways, every record arrives, the first arrivals are in order, and nothing is acked
// that did not arrive.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := drawMoves(rt)
		opts := sluice.StreamOptions{
			BatchRecords: rapid.IntRange(1, 8).Draw(rt, "batch"),
			QueueRecords: rapid.SampledFrom([]int{3, 50, 100_000}).Draw(rt, "queue"),
			WindowBytes:  rapid.SampledFrom([]int{0, 1}).Draw(rt, "window"),
			Linger:       time.Duration(rapid.SampledFrom([]int{-1, 0, 100}).Draw(rt, "linger")) * time.Millisecond,
		}
		gateways := rapid.IntRange(1, 3).Draw(rt, "gateways")
		var err error
		synctest.Test(t, func(t *testing.T) { err = play(t, gateways, opts, moves) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// play runs a history and checks what came of it.
func play(t *testing.T, n int, opts sluice.StreamOptions, moves []move) error {
	var gateways []*gateway
	for range n {
		g := newGateway(t)
		g.limit = 200
		gateways = append(gateways, g)
	}
	arrived := recordArrivals(gateways)
	s := open(t, newClient(t, gateways...), opts)

	var restarts sync.WaitGroup
	defer restarts.Wait()
	lines := make(chan int, 10_000) // what to log; the producer may block
	finish := sync.OnceFunc(func() { close(lines) })
	defer finish()
	var logged int
	produced := make(chan error, 1)
	go func() {
		for i := range lines {
			if err := s.Log(context.Background(), strconv.Itoa(i)); err != nil {
				produced <- err
				return
			}
		}
		produced <- nil
	}()
	for _, m := range moves {
		if m.kind == "log" {
			for range m.n {
				logged++
				lines <- logged
			}
		} else {
			do(s, gateways[m.n%n], m, &restarts)
		}
		time.Sleep(m.after)
		if err := ackedIsTrue(s, arrived); err != nil {
			return fmt.Errorf("after %+v: %w", m, err)
		}
	}
	restarts.Wait()
	for _, g := range gateways { // in the end all is well
		g.set(func() { g.hold, g.paused, g.draining, g.maxAppend = false, false, false, 0 })
	}
	finish()
	if err := <-produced; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if report, err := s.Close(ctx); err != nil {
		return fmt.Errorf("%w: %+v, %+v", err, report, s.Stats())
	}
	if st := s.Stats(); st.Acked != uint64(logged) || st.Added != st.Acked {
		return fmt.Errorf("logged %d: %+v", logged, st)
	}
	return ackedIsTrue(s, arrived)
}

func do(s *sluice.Stream, g *gateway, m move, restarts *sync.WaitGroup) {
	switch m.kind {
	case "flush":
		ctx, cancel := context.WithTimeout(context.Background(), m.after+time.Millisecond)
		defer cancel()
		_ = s.Flush(ctx)
	case "cut":
		g.cut(status.Error(codes.Unavailable, "cut"))
	case "end":
		g.cut(nil)
	case "forget":
		g.forget()
	case "hold":
		g.set(func() { g.hold = true })
	case "release":
		g.set(func() { g.hold = false })
	case "pause":
		g.set(func() { g.paused = true })
	case "resume":
		g.set(func() { g.paused = false })
	case "drain":
		g.set(func() { g.draining = true })
		restarts.Go(func() {
			time.Sleep(10 * time.Second)
			g.forget()
			g.set(func() { g.draining = false })
		})
	case "shrink":
		g.set(func() { g.maxAppend = 1024 })
	}
}

// recordArrivals has every gateway note what it takes into one order.
func recordArrivals(gateways []*gateway) *arrivals {
	a := &arrivals{}
	for _, g := range gateways {
		g.arrival = a.note
	}
	return a
}

// Arrivals are the records that all gateways took together, in order.
type arrivals struct {
	mu      sync.Mutex
	highest int
	err     error
}

func (a *arrivals) note(body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := strconv.Atoi(body)
	if err == nil && n > a.highest+1 {
		err = fmt.Errorf("record %d came after %d", n, a.highest)
	}
	a.err = errors.Join(a.err, err)
	a.highest = max(a.highest, n)
}

// ackedIsTrue checks that what is acked has arrived, and all in order.
func ackedIsTrue(s *sluice.Stream, a *arrivals) error {
	acked := s.Stats().Acked
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && acked > uint64(a.highest) {
		return fmt.Errorf("%d records acked, and %d arrived", acked, a.highest)
	}
	return a.err
}
