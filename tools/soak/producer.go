package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A producer sends numbered records on a stream of its own into several log streams, at an even rate. While the gateway has
// it paused it makes none.
type producer struct {
	name    string
	tag     string
	streams []string // log streams
	rate    int      // records a second
	random  *rand.Rand
	stream  *sluice.Stream
	paused  atomic.Bool
	pauses  atomic.Int64

	mu   sync.Mutex // guards what follows
	sent sent
}

// sent is what a producer has sent.
type sent struct {
	numbers map[string]uint64 // the last one, by log stream
	stale   uint64            // too old to be delivered
	total   uint64
}

const (
	beat       = 100 * time.Millisecond // of producers
	staleShare = 0.002                  // of records
)

func newProducer(index int, tag string, set settings, seed uint64) *producer {
	p := &producer{
		name: fmt.Sprintf("p%d", index+1), tag: tag, rate: set.rate,
		random: rand.New(rand.NewPCG(seed, uint64(index))), sent: sent{numbers: map[string]uint64{}},
	}
	for i := range logStreams {
		p.streams = append(p.streams, fmt.Sprintf("web-%d", i+1))
	}
	return p
}

// open starts the producer's stream.
func (p *producer) open(ctx context.Context, c *sluice.Client) (err error) {
	p.stream, err = c.Stream(ctx, sluice.StreamOptions{
		Tag: p.tag, ID: p.name, QueueBytes: 64 << 10,
		Hooks: sluice.Hooks{
			OnPause:  func(sluice.Pause) { p.paused.Store(true); p.pauses.Add(1) },
			OnResume: func(sluice.Resume) { p.paused.Store(false) },
		},
	})
	return err
}

// run sends until ctx is done, or the stream has ended. Time is taken from the monotonic clock, as a producer whose clock
// steps back would see its records sorted by it.
func (p *producer) run(ctx context.Context) {
	start := time.Now()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	owed := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.stream.Done():
			return
		case <-tick.C:
		}
		if p.paused.Load() {
			continue
		}
		for owed += float64(p.rate) * beat.Seconds(); owed >= 1; owed-- {
			if p.send(ctx, start.Add(time.Since(start))) != nil {
				return
			}
		}
	}
}

// send sends one record. A number is used once its record is queued.
func (p *producer) send(ctx context.Context, at time.Time) error {
	to := p.streams[p.random.IntN(len(p.streams))]
	number := p.sent.numbers[to] + 1 // nobody else writes it
	stale := p.random.Float64() < staleShare
	if stale {
		number = 0
	}
	if err := p.stream.Add(ctx, newRecord(p.name, to, number, at)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent.total++
	if stale {
		p.sent.stale++
	} else {
		p.sent.numbers[to] = number
	}
	return nil
}

// mark is what was sent so far. What is being sent may be missing.
func (p *producer) mark() sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sent
	s.numbers = maps.Clone(s.numbers)
	return s
}
