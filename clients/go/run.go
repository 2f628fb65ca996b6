package sluice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// run keeps the stream connected until it ends. It owns all calls.
func (s *Stream) run() {
	defer close(s.ended)
	err := s.connections()
	if err == nil {
		err = ErrClosed
	}
	s.cancel(err)
	s.mu.Lock()
	s.err = err
	s.room.ring()
	s.moved.ring()
	s.mu.Unlock()
	if s.spill != nil {
		s.finish()
	}
}

// connections makes one connection after the other. It returns nil when the stream was closed and nothing is held, and
// otherwise why it gives up.
func (s *Stream) connections() error {
	var old *call // its gateway drains, and may still ack
	defer func() {
		if old != nil {
			old.hangUp()
		}
	}()
	for {
		began := time.Now()
		err := s.connection(&old)
		var final *finalError
		switch {
		case s.isEmpty():
			return nil
		case s.ctx.Err() != nil:
			return fmt.Errorf("stream is cut: %w", context.Cause(s.ctx))
		case errors.As(err, &final):
			return final.err
		case errors.Is(err, errEpochRaised), errors.Is(err, errNotOpened), errors.Is(err, errAdvance):
			continue
		}
		if wait := s.lost(err, time.Since(began), old != nil); wait > 0 {
			s.sleep(wait)
		}
	}
}

// connection makes one connection and serves it to its end, or until its gateway drains: then it becomes old, which goes on
// receiving statuses while the next one is made.
func (s *Stream) connection(old **call) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	if *old != nil {
		over, err := (*old).handOver(c)
		if over {
			*old = nil
		}
		if err != nil {
			c.hangUp()
			return err
		}
	}
	err = c.serve()
	if errors.Is(err, errDraining) {
		*old = c
		return err
	}
	c.hangUp()
	return err
}

// lost notes that a connection was lost, or did not come about, and gives how long to wait before the next: full jitter, or
// nothing where the gateway drains after having been of use. While one drains it is no failure that the same gateway, or
// another one, refuses the stream because it drains.
func (s *Stream) lost(err error, lasted time.Duration, draining bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if draining && refusal(err, reasonDraining) != nil {
		return max(jitter(s.opts.BackoffBase, s.opts.BackoffCap, 1), retryAfter(err))
	}
	if s.stats.State == Active && lasted > s.opts.BackoffCap {
		s.attempts = 0
	}
	if !draining {
		s.stats.State = Connecting
	}
	var wait time.Duration
	if !errors.Is(err, errDraining) || lasted < s.opts.BackoffBase {
		s.attempts++
		wait = max(jitter(s.opts.BackoffBase, s.opts.BackoffCap, s.attempts), retryAfter(err))
	}
	s.lastErr = err
	r := Reconnect{Attempts: s.attempts, Err: err}
	s.notes.post(func(m *mailbox) { m.addReconnect(r) })
	return wait
}

// jitter is a random wait below base x 2^(attempt-1), capped: full jitter spreads the clients of a gateway that restarts.
func jitter(base, limit time.Duration, attempt int) time.Duration {
	for ; attempt > 1 && base < limit; attempt-- {
		base *= 2
	}
	return rand.N(min(base, limit)) + 1
}

// sleep waits for d, or until there is no more reason to.
func (s *Stream) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.empty:
	case <-s.ctx.Done():
	}
}

// isEmpty tells whether the stream is closing and nothing is held.
func (s *Stream) isEmpty() bool {
	select {
	case <-s.empty:
		return true
	default:
		return false
	}
}
