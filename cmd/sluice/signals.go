package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// echo is how soon after a signal another one is taken for the same wish: timeout(1) and some supervisors signal a process
// and then its whole group, which must not count as the second signal, the one that ends all at once.
const echo = 50 * time.Millisecond

// stopSignals gives the signals that ask the process to stop, without echoes, until stop is called. SIGHUP is one of them,
// as the end of a terminal must not cost what is held; under nohup it stays ignored. Until then a reader of our output that
// goes away makes writes fail and does not end the process.
func stopSignals() (signals <-chan os.Signal, stop func()) {
	raw, heard, done := make(chan os.Signal, 2), make(chan os.Signal, 2), make(chan struct{})
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(raw, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(raw, syscall.SIGHUP)
	}
	go func() {
		defer close(done)
		withoutEchoes(raw, heard)
	}()
	return heard, func() {
		signal.Stop(raw)
		signal.Reset(syscall.SIGPIPE)
		close(raw)
		<-done
	}
}

// withoutEchoes passes signals on until raw is closed. Those that nobody waits for any more are left out.
func withoutEchoes(raw <-chan os.Signal, heard chan<- os.Signal) {
	var last time.Time
	for s := range raw {
		now := time.Now()
		if now.Sub(last) < echo {
			continue
		}
		last = now
		select {
		case heard <- s:
		default:
		}
	}
}
