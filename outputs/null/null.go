// Package null is an output that takes everything and keeps nothing, for trials. It can be slow and it can fail.
package null

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluicelog/sluice/engine"
)

var (
	_ engine.Output = (*Output)(nil)
	_ engine.Keyer  = (*Output)(nil)
)

// errTrial is what a failure on purpose says.
var errTrial = errors.New("failed on purpose: failure_rate")

// Options say how to pretend to be a destination.
type Options struct {
	Delay       time.Duration `yaml:"delay"`        // of every Write: none
	FailureRate float64       `yaml:"failure_rate"` // part of the Writes that fail, from 0 to 1, retryably: 0
	Seed        uint64        `yaml:"seed"`         // of the failures: the same seed, the same failures
}

// An Output discards what it is given. Its key is the stream, so that keyed has something to keep in order.
type Output struct {
	set Options

	mu   sync.Mutex // guards what follows
	rand *rand.Rand
}

// New makes an output. All that is wrong with the options is said at once, each by its key.
func New(o Options) (*Output, error) {
	var errs []error
	if o.Delay < 0 {
		errs = append(errs, errors.New("delay: it must not be negative"))
	}
	if !(o.FailureRate >= 0 && o.FailureRate <= 1) { // not a number neither
		errs = append(errs, fmt.Errorf("failure_rate: %v is not from 0 to 1", o.FailureRate))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Output{set: o, rand: rand.New(rand.NewPCG(o.Seed, 0))}, nil
}

// PerRecord implements [engine.Keyer].
func (o *Output) PerRecord(*engine.Chunk) bool { return false }

// AppendKey implements [engine.Keyer].
func (o *Output) AppendKey(dst []byte, c *engine.Chunk, _ engine.Record) []byte {
	dst = append(dst, c.Stream.Tenant...)
	dst = append(dst, '/')
	return append(dst, c.Stream.ID...)
}

// Write discards the batch, or fails.
func (o *Output) Write(ctx context.Context, _ *engine.Batch) error {
	if err := o.wait(ctx); err != nil {
		return engine.Retryable(err)
	}
	if o.fails() {
		return engine.Retryable(errTrial)
	}
	return nil
}

func (o *Output) wait(ctx context.Context) error {
	if o.set.Delay == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(o.set.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *Output) fails() bool {
	if o.set.FailureRate == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rand.Float64() < o.set.FailureRate
}
