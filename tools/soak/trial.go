package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// A host is where gateways run, and how one reaches what they write to.
type host interface {
	listen(ctx context.Context) (net.Listener, error) // for the CloudWatch of one gateway
	start(ctx context.Context, o order) (gateway, error)
}

// An order is how a gateway is to be started.
type order struct {
	combination
	endpoint string // of its CloudWatch
	keys     string // path of the credentials file
	profile  string // in there
	dead     *deadLetters
}

// A gateway is one that runs.
type gateway interface {
	client() (*sluice.Client, error)
	usage(ctx context.Context) (usage, error)
	stop(ctx context.Context) error // as SIGTERM does: it drains
	done() <-chan struct{}          // closed when it has ended, told to or not
	said() string                   // the end of its log
	stacks(ctx context.Context) string
}

// settings are what all trials of a run have in common.
type settings struct {
	length time.Duration // of a trial
	unit   time.Duration // about how long a phase is
	rate   int           // records a second and producer
	tell   func(format string, args ...any)
}

const (
	logStreams       = 3 // that each producer writes to
	producersPerTag  = 2
	step             = time.Second      // of looking
	minRest          = 10 * time.Second // of a quiet phase, once all is delivered: idle connections are closed after 4 s
	patience         = 2 * time.Minute  // without progress in a quiet phase
	stopTime         = 90 * time.Second // of a gateway, that has 60 s of grace
	settleTime       = 50 * time.Millisecond
	maxFaults        = 10 // that are kept
	producerStopTime = 30 * time.Second
)

// tags are the streams' and so the log groups'.
func tags() []string { return []string{"shop", "billing"} }

// A trial is one gateway under faults, from its start to its drain. It is run once; what it has come to can be asked for
// meanwhile.
type trial struct {
	combination
	settings
	name   string
	seed   uint64
	host   host
	keys   *keys
	random *rand.Rand

	cloud     *cwfake.Server
	targets   []cwfake.Target
	hidden    hidden
	dead      deadLetters
	gateway   gateway
	client    *sluice.Client
	producers []*producer
	sending   sync.WaitGroup
	cease     context.CancelFunc // ends the producers
	renewals  int

	mu         sync.Mutex // guards what follows
	began, end time.Time
	failed     time.Time // zero: not
	faults     []string
	phase      string
	past       []string // the last phases
	quiet      int      // phases
	lost, left int64
	start, now usage
	most       usage
	history    history
}

func newTrial(c combination, name string, seed uint64, set settings, h host, k *keys) *trial {
	t := &trial{
		combination: c, settings: set, name: name, seed: seed, host: h, keys: k, random: rand.New(rand.NewPCG(seed, 0)),
		cloud: cwfake.New(cwfake.Options{
			Regions: []string{region}, CountOnly: true, Sequence: readBody, Quotas: cwfake.DefaultQuotas(), Settle: settleTime,
		}),
		phase: waiting,
	}
	for i := range producersPerTag * len(tags()) {
		p := newProducer(i, tags()[i%len(tags())], set, seed)
		t.producers = append(t.producers, p)
		for _, stream := range p.streams {
			if target := p.target(stream); !slices.Contains(t.targets, target) {
				t.targets = append(t.targets, target)
			}
		}
	}
	return t
}

// run runs the trial to its end, or until ctx is done: then it ends early, but in order. The error says what kept it from
// running; what went wrong with the gateway is told by report.
func (t *trial) run(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", t.name, err), t.cloud.Close())
	}
	t.rest(ctx)
	for t.goesOn(ctx) && time.Since(t.began) < t.length {
		for _, p := range newStorm(t.random, t.unit) {
			t.suffer(ctx, p)
		}
		t.rest(ctx)
	}
	t.finish(context.WithoutCancel(ctx))
	return t.cloud.Close()
}

// open starts CloudWatch, gateway and producers.
func (t *trial) open(ctx context.Context) error {
	if err := t.renew(); err != nil {
		return err
	}
	listener, err := t.host.listen(ctx)
	if err != nil {
		return err
	}
	t.gateway, err = t.host.start(ctx, order{
		combination: t.combination, endpoint: t.cloud.Start(listener), keys: t.keys.path, profile: t.name, dead: &t.dead,
	})
	if err != nil {
		return err
	}
	if t.client, err = t.gateway.client(); err != nil {
		return errors.Join(err, t.gateway.stop(ctx))
	}
	t.mu.Lock()
	t.began = time.Now()
	t.mu.Unlock()
	life := context.WithoutCancel(ctx) // finish ends them in order
	life, t.cease = context.WithCancel(life)
	for _, p := range t.producers {
		if err := p.open(context.WithoutCancel(ctx), t.client); err != nil {
			t.cease()
			return errors.Join(err, t.client.Close(ctx), t.gateway.stop(ctx))
		}
	}
	for _, p := range t.producers {
		t.sending.Go(func() { p.run(life) })
	}
	return nil
}

// renew makes new credentials, the only ones that are good.
func (t *trial) renew() error {
	t.renewals++
	c := cwfake.Credentials{KeyID: fmt.Sprintf("AKID%d", t.renewals), Secret: fmt.Sprintf("secret-%d", t.renewals)}
	t.cloud.SetCredentials(c)
	return t.keys.set(t.name, c)
}

// suffer lets a phase pass.
func (t *trial) suffer(ctx context.Context, p *phase) {
	t.enter(p.String())
	t.cloud.SetFault(t.hidden.watch(cwfake.First(p.faults...)))
	slices.SortStableFunc(p.deeds, func(a, b deed) int { return int(a.after - b.after) })
	start := time.Now()
	for t.goesOn(ctx) && time.Since(start) < p.length {
		for len(p.deeds) > 0 && time.Since(start) >= p.deeds[0].after {
			t.try(p.deeds[0])
			p.deeds = p.deeds[1:]
		}
		t.look(ctx)
	}
	for _, d := range p.deeds { // who was deprived of something gets it back
		t.try(d)
	}
}

func (t *trial) try(d deed) {
	if err := d.do(t); err != nil {
		t.fail("the soak itself: " + err.Error())
	}
}

// look waits for a step and judges what there is.
func (t *trial) look(ctx context.Context) {
	if pause(ctx, step) != nil {
		return
	}
	select {
	case <-t.gateway.done():
		t.fail("the gateway has ended by itself")
		return
	default:
	}
	for _, fault := range t.count().faults(t.ordered()) {
		t.fail(fault)
	}
	for _, p := range t.producers {
		if err := p.stream.Err(); err != nil {
			t.fail(fmt.Sprintf("the stream of %s has ended: %v", p.name, err))
		}
	}
}

// goesOn reports whether the trial has neither failed nor been called off.
func (t *trial) goesOn(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return ctx.Err() == nil && t.failed.IsZero()
}

// fail notes what is wrong. The first ends the trial.
func (t *trial) fail(fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed.IsZero() {
		t.failed = time.Now()
	}
	if len(t.faults) < maxFaults && !slices.Contains(t.faults, fault) {
		t.faults = append(t.faults, fault)
	}
}

// waiting is the phase of a trial that has not begun.
const waiting = "waiting"

const maxPast = 6

// enter notes that a phase begins.
func (t *trial) enter(phase string) {
	t.mu.Lock()
	t.phase = phase
	if t.past = append(t.past, phase); len(t.past) > maxPast {
		t.past = slices.Delete(t.past, 0, 1)
	}
	after := time.Since(t.began)
	t.mu.Unlock()
	t.tell("%s: after %s %s", t.name, after.Round(time.Second), phase)
}
