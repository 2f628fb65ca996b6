// Demo shows sluice at work: it streams a log file of this machine through `sluice send` into a gateway whose output is
// slow, lets the pauses and resumes be seen, and then checks that the output holds every record once and in order.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed gateway.yaml
var gatewayConfig []byte

const (
	binary = "bin/sluice"
	size   = 50 << 20 // of what is sent
	tag    = "demo.log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	return errors.Join(show(ctx, dir), os.RemoveAll(dir))
}

// show works in dir.
func show(ctx context.Context, dir string) error {
	start := time.Now()

	sent := filepath.Join(dir, "sent.log")
	from, lines, err := writeSource(sent, size)
	if err != nil {
		return fmt.Errorf("make the log to send: %w", err)
	}
	fmt.Printf("sending   %s, repeated to %d MiB: %d lines\n", from, size>>20, lines)
	fmt.Printf("through   a gateway whose stream may hold 2 MiB, to a file that takes 8 MiB/s\n\n")
	pauses, err := stream(ctx, dir, sent)
	if err != nil {
		return err
	}
	got, err := verify(sent, filepath.Join(dir, tag+".ndjson"))
	if err != nil {
		return fmt.Errorf("verify the output: %w", err)
	}
	fmt.Printf("\nsent %d delivered %d lost %d duplicated %d pauses %d in %s\n",
		lines, got.delivered, lines-got.delivered, got.duplicated, pauses, time.Since(start).Round(100*time.Millisecond))
	switch {
	case got.wrong > 0:
		return fmt.Errorf("%d records are out of order or not what was sent", got.wrong)
	case got.delivered != lines || got.duplicated > 0:
		return errors.New("not every record was delivered once")
	case pauses == 0:
		return errors.New("the sender was never paused")
	}
	return nil
}

// stream runs the gateway and the sender, and says how often the sender was paused.
func stream(ctx context.Context, dir, sent string) (pauses int, err error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	admin, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	config := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(config, gatewayConfig, 0o600); err != nil {
		return 0, err
	}
	gatewayLog := &strings.Builder{}
	gateway := command(ctx, "serve", "--config", config, "--log-level", "warn")
	gateway.Env = append(os.Environ(), "DEMO_LISTEN="+listen, "DEMO_ADMIN="+admin, "DEMO_DIR="+dir)
	gateway.Stderr = gatewayLog
	if err := gateway.Start(); err != nil {
		return 0, fmt.Errorf("start the gateway: %w", err)
	}
	pauses, sendErr := send(ctx, listen, sent)
	stopErr := errors.Join(gateway.Process.Signal(syscall.SIGTERM), gateway.Wait())
	if err := errors.Join(sendErr, stopErr); err != nil {
		return 0, fmt.Errorf("%w\nthe gateway said: %s", err, gatewayLog)
	}
	return pauses, nil
}

// send runs `sluice send` with its pauses and resumes on our standard error.
func send(ctx context.Context, addr, file string) (pauses int, err error) {
	said := &strings.Builder{}
	cmd := command(ctx, "send", "--addr", addr, "--tag", tag, file)
	cmd.Stderr = io.MultiWriter(os.Stderr, said)
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	found := regexp.MustCompile(`(\d+) pauses?`).FindAllStringSubmatch(said.String(), -1)
	if len(found) == 0 {
		return 0, errors.New("send did not say how often it was paused")
	}
	return strconv.Atoi(found[len(found)-1][1])
}

// command is one of sluice, ended as a user would end it when ctx is.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
