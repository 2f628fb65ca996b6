package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	sluice "github.com/sluicelog/sluice/clients/go"
)

//go:embed *.yaml
var configs embed.FS

// kinds are the names of the configs, each of which makes a trial.
func kinds() []string {
	paths, _ := fs.Glob(configs, "*.yaml") // the pattern is good
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(path, ".yaml")
	}
	return paths
}

// settings are what all trials of a run have in common.
type settings struct {
	binary            string
	kills             int
	rate              int           // records a second and stream
	shortest, longest time.Duration // that a gateway lives once it listens
	window            window
	seed              uint64
	tell              func(format string, args ...any)
}

// streams are those of the SDK. There is one more without.
const streams = 4

// A trial is one buffer, and the gateways that have it one after the other. It is run once.
type trial struct {
	settings
	kind    string
	dir     string
	address string // of the gateways
	random  *rand.Rand

	log       *os.File
	order     order
	watch     *watch
	client    *sluice.Client
	conn      *grpc.ClientConn // for what is sent without the SDK
	producers []producer

	report report
}

func newTrial(set settings, kind, dir string) *trial {
	return &trial{
		settings: set, kind: kind, dir: dir, random: rand.New(rand.NewPCG(set.seed, 0)),
		report: report{kind: kind, planned: set.kills},
	}
}

// run kills gateways, and has the last one drain. That happens early once enough is closed. When ctx is done all ends at once.
// The error says what kept the trial from running; what is wrong with the gateway is in the report.
func (t *trial) run(ctx context.Context, enough <-chan struct{}) (_ report, err error) {
	if err := t.open(ctx); err != nil {
		return t.report, errors.Join(err, t.close())
	}
	began := time.Now()
	defer func() { err = errors.Join(err, t.close()) }()
	producing, cease := context.WithCancel(ctx)
	defer cease()
	var logging sync.WaitGroup
	faults := make(chan error, len(t.producers))
	for _, p := range t.producers {
		logging.Go(func() { faults <- p.run(producing) })
	}
	for t.report.kills < t.kills && t.goesOn(ctx, enough) {
		t.live(ctx)
	}
	cease()
	logging.Wait()
	for range t.producers {
		t.fault(<-faults)
	}
	if ctx.Err() != nil {
		return t.report, context.Cause(ctx)
	}
	t.finish(ctx)
	t.report.took = time.Since(began)
	return t.report, context.Cause(ctx)
}

// open makes the directory, and what talks to the gateways.
func (t *trial) open(ctx context.Context) (err error) {
	if t.address, err = freeAddress(ctx); err != nil {
		return err
	}
	if err := t.prepare(); err != nil {
		return err
	}
	params := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: backoffBase, Multiplier: 1, MaxDelay: backoffCap},
		MinConnectTimeout: callTimeout,
	})
	if t.client, err = sluice.New(t.address, sluice.WithPlaintext(), sluice.WithDialOptions(params)); err != nil {
		return err
	}
	t.conn, err = grpc.NewClient(t.address, grpc.WithTransportCredentials(insecure.NewCredentials()), params)
	if err != nil {
		return err
	}
	b := newBodies()
	t.watch = newWatch(filepath.Join(t.dir, "out"), t.window, b)
	for i := range streams {
		random := rand.New(rand.NewPCG(t.seed, uint64(i)+1))
		p, err := newStreamer(t.client, fmt.Sprintf("stream-%d", i+1), t.rate, b, random)
		if err != nil {
			return err
		}
		t.producers = append(t.producers, p)
	}
	random := rand.New(rand.NewPCG(t.seed, streams+1))
	t.producers = append(t.producers, newCaller(t.conn, "caller", t.rate, b, random))
	return nil
}

// prepare writes the config.
func (t *trial) prepare() (err error) {
	config, err := configs.ReadFile(t.kind + ".yaml")
	if err != nil {
		return err
	}
	t.log, err = os.OpenFile(filepath.Join(t.dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	t.order = order{
		binary: t.binary, config: filepath.Join(t.dir, "gateway.yaml"), log: t.log,
		env: []string{"CRASH_LISTEN=" + t.address, "CRASH_DIR=" + t.dir, "CRASH_CHECKPOINT=" + t.window.interval.String()},
	}
	return os.WriteFile(t.order.config, config, 0o600)
}

// freeAddress finds a port that stays free while no gateway listens on it: one that the system does not give out. A port that
// it does could be taken meanwhile, even by a producer's own attempt to connect to it.
func freeAddress(ctx context.Context) (string, error) {
	const first, ports, tries = 10000, 20000, 100
	var err error
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(ports)))
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no free port: %w", err)
}

// goesOn reports whether there is neither a fault nor enough of it.
func (t *trial) goesOn(ctx context.Context, enough <-chan struct{}) bool {
	select {
	case <-enough:
		return false
	default:
		return ctx.Err() == nil && len(t.report.mishaps) == 0 && t.watch.verdict().wrong() == 0
	}
}

func (t *trial) fault(err error) {
	if err != nil {
		t.report.mishaps = append(t.report.mishaps, err.Error())
	}
}

// close ends what talks to the gateways, wherever it is.
func (t *trial) close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var err error
	if t.client != nil {
		_ = t.client.Close(ended) // finish has closed its streams, or all is over anyway
	}
	if t.conn != nil {
		err = t.conn.Close()
	}
	if t.watch != nil {
		err = errors.Join(err, t.watch.close())
	}
	if t.log != nil {
		err = errors.Join(err, t.log.Close())
	}
	return err
}
