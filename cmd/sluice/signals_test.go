package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A signal that comes twice at once is one; a second one is what comes later.
func TestEchoesAreOneSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, heard := make(chan os.Signal), make(chan os.Signal, 2)
		go withoutEchoes(raw, heard)
		for _, wait := range []time.Duration{0, time.Millisecond, echo} {
			time.Sleep(wait)
			raw <- syscall.SIGTERM
			synctest.Wait()
			want := 1
			if wait == echo {
				want = 2
			}
			if got := len(heard); got != want {
				t.Errorf("%d signals heard %s after the one before, want %d", got, wait, want)
			}
		}
		close(raw)
	})
}

func TestSignalsReachTheProcess(t *testing.T) {
	signals, stop := stopSignals()
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-signals; got != syscall.SIGTERM {
		t.Errorf("heard %v", got)
	}
}

// inProcess is the command line in a process of its own, which is this test's binary.
func inProcess(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SLUICE_RUN_MAIN=1")
	return cmd
}

// Whoever reads what serve writes to standard output goes away: the write fails and is tried again, the gateway lives, and
// when its terminal goes away, too, it still tells what it could not deliver.
func TestServeOutlivesItsTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, "server: {listen: '127.0.0.1:0', admin: '', shutdown_grace: 1ms}\noutputs: [{name: o, type: stdout}]")
	reader, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	hangups := make(chan os.Signal, 1) // else serve would ignore them wherever the tests do, as under nohup
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	life, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	serve := inProcess(life, "serve", "--config", file)
	serve.Stdout = stdout
	logs, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	_ = stdout.Close()

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	sent := make(chan int, 1)
	var told []string
	for scan := bufio.NewScanner(logs); scan.Scan(); {
		var l struct{ Msg, Address string }
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("log is not JSON: %s", scan.Text())
		}
		switch told = append(told, l.Msg); l.Msg {
		case "listening":
			go func() {
				args := []string{"send", "--addr", l.Address, "--grace", "1ms"}
				sent <- run(ctx, args, terminal{strings.NewReader("1\n"), io.Discard, io.Discard})
			}()
		case "flush failed":
			_ = serve.Process.Signal(syscall.SIGHUP)
		}
	}
	if err := serve.Wait(); serve.ProcessState.ExitCode() != exitUndelivered {
		t.Errorf("serve: %v, logged %q", err, told)
	}
	interrupt()
	if code := <-sent; code != exitFailure {
		t.Errorf("send: exit %d", code)
	}
	if all := strings.Join(told, "; "); !strings.Contains(all, "draining; ") || !strings.Contains(all, "not delivered; stopped") {
		t.Errorf("logged %q", told)
	}
}
