package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

//go:embed gateway.yaml
var gatewayConfig []byte

// processes is the host of gateways that are processes of their own, over TCP.
type processes struct {
	binary string
	dir    string
}

func (h processes) listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

// A process is a gateway of its own.
type process struct {
	cmd         *exec.Cmd
	log         journal
	addr, admin string
	gone        chan struct{} // closed when it has ended
	err         error         // how; to be read once gone is closed
}

const (
	startTime  = time.Minute // how long a gateway may take to say where it listens
	scrapeTime = 5 * time.Second
)

// start starts a gateway and waits until it listens. The gateway outlives ctx.
func (h processes) start(ctx context.Context, o order) (gateway, error) {
	config := filepath.Join(h.dir, "gateway.yaml")
	if err := os.WriteFile(config, gatewayConfig, 0o600); err != nil {
		return nil, err
	}
	p := &process{gone: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), h.binary, "serve", "--config", config, "--log-format", "json")
	p.cmd.Env = []string{
		"AWS_SHARED_CREDENTIALS_FILE=" + o.keys, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"SOAK_SCHEDULER=" + o.scheduler, "SOAK_KEEPALIVE=" + strconv.FormatBool(o.keepalive),
		"SOAK_ENDPOINT=" + o.endpoint, "SOAK_PROFILE=" + o.profile,
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for us: we end it in our time
	p.cmd.Stdout, p.cmd.Stderr = o.dead, &p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", h.binary, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	if err := p.await(ctx); err != nil {
		_ = p.cmd.Process.Kill() // it may be gone already
		<-p.gone
		return nil, fmt.Errorf("%w; it said:\n%s", err, p.log.String())
	}
	return p, nil
}

// await waits until the gateway has said where it listens.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if p.addr, p.admin = p.log.address("listening"), p.log.address("admin"); p.addr != "" && p.admin != "" {
			return nil
		}
		select {
		case <-p.gone:
			return fmt.Errorf("the gateway has ended: %w", p.err)
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return errors.New("the gateway does not listen")
		}
	}
}

func (p *process) client() (*sluice.Client, error) { return sluice.New(p.addr, sluice.WithPlaintext()) }
func (p *process) done() <-chan struct{}           { return p.gone }
func (p *process) said() string                    { return p.log.String() }

// stop asks the gateway to drain, and waits for its end. When ctx ends, it is killed.
func (p *process) stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.gone:
		return p.err
	case <-ctx.Done():
	}
	err := p.cmd.Process.Kill()
	<-p.gone
	return errors.Join(errors.New("it did not end when told to, and was killed"), err)
}

// usage reads what the kernel knows of the process, and the number of its goroutines from its own metrics.
func (p *process) usage(ctx context.Context) (u usage, err error) {
	pid := strconv.Itoa(p.cmd.Process.Pid)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &u.RSS); err != nil {
		return u, fmt.Errorf("VmRSS of process %s: %w", pid, err)
	}
	u.RSS <<= 10 // it is in KiB
	files, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return u, err
	}
	u.Files = int64(len(files))
	u.Goroutines, err = p.metric(ctx, "go_goroutines")
	return u, err
}

// metric reads one metric without labels.
func (p *process) metric(ctx context.Context, name string) (int64, error) {
	answer, err := p.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(answer) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// stacks are those of all goroutines.
func (p *process) stacks(ctx context.Context) string {
	text, err := p.get(ctx, "/debug/pprof/goroutine?debug=2")
	if err != nil {
		return err.Error()
	}
	return text
}

// get asks the admin port, on a connection of its own.
func (p *process) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, http.NoBody)
	if err != nil {
		return "", err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return string(b), err
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
