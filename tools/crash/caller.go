package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// callTimeout is how long a call may take. It is made again then.
const callTimeout = 10 * time.Second

// A caller is a producer without an SDK: it makes one SendLogs after the other, each until it is OK.
type caller struct {
	name   string
	rate   int
	bodies bodies
	random *rand.Rand
	client sluicev1.IngestServiceClient
	number atomic.Uint64             // of the last record
	again  atomic.Uint64             // records that were sent again
	paused atomic.Uint64             // calls that were
	left   *sluicev1.SendLogsRequest // that is not OK yet; run's, and then close's
}

func newCaller(conn *grpc.ClientConn, name string, rate int, b bodies, random *rand.Rand) *caller {
	return &caller{name: name, rate: rate, bodies: b, random: random, client: sluicev1.NewIngestServiceClient(conn)}
}

func (p *caller) run(ctx context.Context) error {
	return pace(ctx, p.rate, p.random, func(records int) error {
		last := p.number.Load()
		p.left = &sluicev1.SendLogsRequest{StreamId: p.name, Tag: tag, Epoch: epoch, FirstSequence: last + 1}
		for range records {
			last++
			p.left.Records = append(p.left.Records, p.bodies.record(p.name, last, time.Now().UnixNano()))
		}
		p.number.Store(last)
		return p.send(ctx)
	})
}

// send makes the call until it is OK.
func (p *caller) send(ctx context.Context) error {
	for {
		err := p.call(ctx)
		switch status.Code(err) {
		case codes.OK:
			p.left = nil
			return nil
		case codes.ResourceExhausted:
			p.paused.Add(1)
		case codes.Unavailable, codes.DeadlineExceeded:
			p.again.Add(uint64(len(p.left.Records)))
		default:
			return fmt.Errorf("send %s %d: %w", p.name, p.left.FirstSequence, err)
		}
		timer := time.NewTimer(backoffCap)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (p *caller) call(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := p.client.SendLogs(ctx, p.left)
	if err == nil && len(answer.GetStatus().GetRejections()) > 0 {
		err = fmt.Errorf("rejected: %v", answer.GetStatus().GetRejections())
	}
	return err
}

func (p *caller) close(ctx context.Context) error {
	if p.left == nil {
		return nil
	}
	return p.send(ctx)
}

func (p *caller) logged() (stream string, records uint64) { return p.name, p.number.Load() }
func (p *caller) resent() uint64                          { return p.again.Load() }
func (p *caller) pauses() uint64                          { return p.paused.Load() }
