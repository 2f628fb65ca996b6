package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A gateway is a process. It is killed, or stopped, once.
type gateway struct {
	cmd  *exec.Cmd
	log  *journal
	gone chan struct{} // closed when it has ended, and all that it said was heard
	err  error         // how; to be read once gone is closed
}

// An order is how gateways are started.
type order struct {
	binary, config string
	env            []string
	log            io.Writer
}

const (
	startTime  = 30 * time.Second // how long a gateway may take to say that it listens
	stopTime   = 90 * time.Second // or to stop, with 60 s of grace
	scrapeTime = 5 * time.Second
)

// start starts a gateway, and does not wait for it. When ctx ends it is killed.
func (o order) start(ctx context.Context) (*gateway, error) {
	g := &gateway{log: newJournal(o.log), gone: make(chan struct{})}
	g.cmd = exec.CommandContext(ctx, o.binary, "serve", "--config", o.config, "--log-format", "json")
	g.cmd.Env = o.env
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for us: we end it in our time
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.binary, err)
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.gone)
	}()
	return g, nil
}

// verify has the binary read all of a buffer that no gateway has open.
func (o order) verify(ctx context.Context, dir string) error {
	verify := exec.CommandContext(ctx, o.binary, "buffer", "verify", dir) //nolint:gosec // G702: which binary is up to who runs us
	if said, err := verify.CombinedOutput(); err != nil {
		return fmt.Errorf("verify the buffer: %w: %s", err, said)
	}
	return nil
}

// listens waits until the gateway has said that it listens.
func (g *gateway) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case <-g.log.listening:
		return nil
	case <-g.gone:
		return g.ended()
	case <-ctx.Done():
		return errors.New("the gateway does not listen")
	}
}

// lives waits for a while, in which the gateway is not to end.
func (g *gateway) lives(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-g.gone:
		return g.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gateway) ended() error {
	if g.err == nil {
		return errors.New("the gateway has ended by itself")
	}
	return fmt.Errorf("the gateway has ended by itself: %w", g.err)
}

// kill kills the gateway, and gives when. The error says that it had ended before.
func (g *gateway) kill() (time.Time, error) {
	at := time.Now()
	err := g.cmd.Process.Kill()
	<-g.gone
	if status, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil && ok && status.Signal() != syscall.SIGKILL {
		err = g.ended()
	}
	return at, err
}

// stop asks the gateway to drain, and waits for its end.
func (g *gateway) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%w; %w", err, g.ended())
	}
	select {
	case <-g.gone:
		if g.err != nil {
			return fmt.Errorf("the gateway has stopped with: %w", g.err)
		}
		return nil
	case <-ctx.Done():
		_, err := g.kill()
		return errors.Join(errors.New("the gateway does not stop, and was killed"), err)
	}
}

// repeated is how many records it has taken for repeats, by its own metrics; 0 where it does not say.
func (g *gateway) repeated(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.log.adminAddress()+"/metrics", http.NoBody)
	if err != nil {
		return 0
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0
	}
	for metric := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(metric, "sluice_repeated_records_total "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64) // 0 where it is none
			return int64(n)
		}
	}
	return 0
}
