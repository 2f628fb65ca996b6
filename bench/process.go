package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The roles that this binary plays besides measuring, each in a process of its own, so that nobody's CPU time and memory
// is counted as another's. A role's second argument is its order, in JSON; what it answers are lines of JSON.
const (
	roleFloor = "floor"
	roleLoad  = "load"
	roleHold  = "hold"
	rolePush  = "push"
	roleFake  = "fake"
	rolePut   = "put"
)

// A process is a child: a server that is measured, or a client of one.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder // further ones, of roles that take any
	answers *json.Decoder
	log     journal // its standard error
}

// A journal keeps what a child says on its standard error. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex // guards what follows
	text []byte
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, b...)
	return len(b), nil
}

// String is all of it.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// address finds the line of slog's JSON with that message, and gives its address.
func (j *journal) address(message string) string {
	for line := range strings.Lines(j.String()) {
		var said struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == message {
			return said.Address
		}
	}
	return ""
}

// stopping is how long a child may take to end by itself.
const stopping = 30 * time.Second

// spawn starts a child. It is killed when ctx ends.
func (b bench) spawn(ctx context.Context, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, path, args...)}
	p.cmd.Env = b.env
	p.cmd.WaitDelay = stopping
	p.cmd.Stderr = &p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(bufio.NewReader(stdout))
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.orders = json.NewEncoder(p.stdin)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// role starts this binary in a role.
func (b bench) role(ctx context.Context, name string, order any) (*process, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	return b.spawn(ctx, b.self, name, string(text))
}

// answer reads the child's next answer.
func (p *process) answer(v any) error {
	if err := p.answers.Decode(v); err != nil {
		_ = p.cmd.Process.Kill() // it may be gone already
		return fmt.Errorf("%w: %w\n%s", err, p.cmd.Wait(), p.log.String())
	}
	return nil
}

// ask gives the child a further order and reads its answer.
func (p *process) ask(order, answer any) error {
	if err := p.orders.Encode(order); err != nil {
		_ = p.cmd.Process.Kill() // it may be gone already
		return fmt.Errorf("%w: %w\n%s", err, p.cmd.Wait(), p.log.String())
	}
	return p.answer(answer)
}

// pid is the child's.
func (p *process) pid() int { return p.cmd.Process.Pid }

// finish lets a role go by closing its standard input, and waits for it.
func (p *process) finish() error {
	return p.wait(p.stdin.Close())
}

// terminate ends a server.
func (p *process) terminate() error {
	return p.wait(p.cmd.Process.Signal(syscall.SIGTERM))
}

func (p *process) wait(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err = errors.Join(err, p.cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Args[1], err, p.log.String())
	}
	return nil
}

// reply is a role's answer.
func reply(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// obey carries out one order after the other, and answers each, until the role is let go.
func obey[Order, Answer any](carryOut func(Order) (Answer, error)) error {
	orders := json.NewDecoder(os.Stdin)
	for {
		var order Order
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer, err := carryOut(order)
		if err != nil {
			return err
		}
		if err := reply(answer); err != nil {
			return err
		}
	}
}

// dismissed returns once the role is let go.
func dismissed() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// pause waits for the clock.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
