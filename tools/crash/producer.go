package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A producer logs numbered records. It lives through all deaths of the gateway.
type producer interface {
	// run logs until ctx is done, or something is wrong.
	run(ctx context.Context) error
	// close returns once all that was logged is acked.
	close(ctx context.Context) error
	logged() (stream string, records uint64)
	// resent is how many records were sent more than once, and pauses how often it was paused.
	resent() uint64
	pauses() uint64
}

const (
	beat       = 10 * time.Millisecond // of producers
	flushEvery = 2 * time.Second       // about
	tag        = "crash.records"
	epoch      = 1

	// A gateway is back soon, so there is little to wait for.
	backoffBase, backoffCap = 10 * time.Millisecond, 50 * time.Millisecond
)

// pace calls log so often that there are rate records a second, until ctx is done or there is an error. How many there are at
// a time varies.
func pace(ctx context.Context, rate int, random *rand.Rand, log func(records int) error) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		owed += float64(rate) * beat.Seconds()
		if records := int(owed); records > 0 && random.IntN(4) == 0 {
			if err := log(records); ctx.Err() != nil {
				return nil
			} else if err != nil {
				return err
			}
			owed -= float64(records)
		}
	}
}

// A streamer is a producer with a stream of the SDK.
type streamer struct {
	name   string
	rate   int // records a second
	bodies bodies
	random *rand.Rand
	stream *sluice.Stream
	number atomic.Uint64 // of the last record
}

func newStreamer(c *sluice.Client, name string, rate int, b bodies, random *rand.Rand) (*streamer, error) {
	stream, err := c.Stream(context.Background(), sluice.StreamOptions{ // close ends it
		Tag: tag, ID: name, Epoch: epoch, QueueBytes: 4 << 20, BackoffBase: backoffBase, BackoffCap: backoffCap,
	})
	if err != nil {
		return nil, err
	}
	return &streamer{name: name, rate: rate, bodies: b, random: random, stream: stream}, nil
}

func (p *streamer) run(ctx context.Context) error {
	flushed := time.Now()
	return pace(ctx, p.rate, p.random, func(records int) error {
		for range records {
			number := p.number.Load() + 1
			if err := p.stream.Add(ctx, p.bodies.record(p.name, number, time.Now().UnixNano())); err != nil {
				return fmt.Errorf("log %s %d: %w", p.name, number, err) // it is not queued
			}
			p.number.Store(number)
		}
		if time.Since(flushed) < flushEvery/2+time.Duration(p.random.Int64N(int64(flushEvery))) {
			return nil
		}
		flushed = time.Now()
		if err := p.stream.Flush(ctx); err != nil {
			return fmt.Errorf("flush %s: %w", p.name, err)
		}
		return nil
	})
}

func (p *streamer) close(ctx context.Context) error {
	if _, err := p.stream.Close(ctx); err != nil {
		return err
	}
	if st := p.stream.Stats(); st.Rejected > 0 || st.Dropped.Total() > 0 || st.Acked != p.number.Load() {
		return fmt.Errorf("of the %d records of %s %d are acked, %d rejected, %d dropped", p.number.Load(), p.name, st.Acked,
			st.Rejected, st.Dropped.Total())
	}
	return nil
}

func (p *streamer) logged() (stream string, records uint64) { return p.name, p.number.Load() }
func (p *streamer) resent() uint64                          { return p.stream.Stats().Resent }
func (p *streamer) pauses() uint64                          { return p.stream.Stats().Pauses }
