package cloudwatch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var done atomic.Int32
		fault := errors.New("fault")
		errs := make(chan error, 10)
		for range 10 {
			go func() {
				errs <- f.do(t.Context(), "key", func() error {
					time.Sleep(time.Second)
					done.Add(1)
					return fault
				})
			}()
		}
		for range 10 {
			if err := <-errs; !errors.Is(err, fault) {
				t.Error(err)
			}
		}
		if n := done.Load(); n != 1 || len(f.aloft) != 0 {
			t.Errorf("done %d times, %d kept", n, len(f.aloft))
		}
	})
}

// Who waits goes when its own time is over, and does the work itself where the pilot's was.
func TestFlightWhosePilotLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		pilot, leave := context.WithTimeout(t.Context(), 2*time.Second)
		defer leave()
		hurried, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		first, second, third := make(chan error), make(chan error), make(chan error)
		go func() {
			first <- f.do(pilot, "key", func() error { <-pilot.Done(); return pilot.Err() })
		}()
		synctest.Wait()
		go func() { second <- f.do(hurried, "key", func() error { return errors.New("not mine") }) }()
		go func() { third <- f.do(t.Context(), "key", func() error { return nil }) }()
		if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who is in a hurry: %v", err)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the pilot: %v", err)
		}
		if err := <-third; err != nil {
			t.Errorf("who does it after all: %v", err)
		}
	})
}

func TestFlightThatPanics(t *testing.T) {
	var f flights
	func() {
		defer func() { _ = recover() }()
		_ = f.do(t.Context(), "key", func() error { panic("no") })
	}()
	if err := f.do(t.Context(), "key", func() error { return nil }); err != nil || len(f.aloft) != 0 {
		t.Errorf("%v, %d kept", err, len(f.aloft))
	}
}
