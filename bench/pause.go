package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A pauseResult is how long it takes from the append that crosses a stream's limit to the producer's pause hook, beside a
// round trip of a bare gRPC stream: the least that any signal could take. Times are in microseconds.
type pauseResult struct {
	Crossings int        `json:"crossings"`
	Missed    int        `json:"missed"` // the first append was delivered before the second came: no crossing
	Median    comparison `json:"median_us"`
	P99       comparison `json:"p99_us"` // of all rounds together, which are too few apart

	trips, hooks []float64
}

const (
	crossLimit = 100_000 // of the stream, in bytes
	crossHold  = 40 * time.Millisecond
	// beneath and across are two records that together cross the limit. The second is small, so that it is the signal that
	// is measured and not the sending.
	beneath = 99_000
	across  = 1_500
	// calm is how long both sides rest before each measurement.
	calm = 10 * time.Millisecond
)

// toSlow is the config of a gateway whose stream holds what it was sent for a while.
func toSlow() string {
	return fmt.Sprintf(`limits: {stream: {memory: %d}, engine: {memory: 256MiB}, streams: 100}
outputs:
  - {name: slow, type: "null", "null": {delay: %s}}
`, crossLimit, crossHold)
}

// pauses measures crossings, a round trip after each.
func (b bench) pauses(ctx context.Context) (result *pauseResult, err error) {
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.end()) }()
	gateway, err := b.startGateway(ctx, toSlow())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gateway.end()) }()

	c, err := newCrosser(ctx, gateway.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	p, err := newPinger(ctx, floor.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.conn.Close()) }()

	rounds, each := 4, 50
	if b.quick {
		rounds = 3
	}
	result = &pauseResult{}
	for range rounds {
		if err := result.round(ctx, c, p, each); err != nil {
			return nil, err
		}
	}
	result.P99.add(quantile(result.trips, 0.99), quantile(result.hooks, 0.99))
	progress("pause: %d crossings, us: median %s, p99 %s", result.Crossings, &result.Median, &result.P99)
	return result, nil
}

// round measures so many crossings, each with its round trip.
func (r *pauseResult) round(ctx context.Context, c *crosser, p *pinger, crossings int) error {
	var trips, hooks []float64
	for len(hooks) < crossings {
		took, crossed, err := c.cross(ctx)
		if err != nil {
			return fmt.Errorf("cross the limit: %w", err)
		}
		if !crossed {
			if r.Missed++; r.Missed > 10*crossings {
				return errors.New("the limit is not crossed: the machine is too slow, or the pauses do not come")
			}
			continue
		}
		hooks = append(hooks, took)
		trip, err := p.ping(ctx)
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		trips = append(trips, trip)
	}
	r.Crossings += len(hooks)
	r.Median.add(quantile(trips, 0.5), quantile(hooks, 0.5))
	r.trips, r.hooks = append(r.trips, trips...), append(r.hooks, hooks...)
	return nil
}

// A crosser sends a stream over its limit.
type crosser struct {
	client *sluice.Client
	stream *sluice.Stream
	paused chan time.Time // when the hook was called
	small  string
	large  string
}

func newCrosser(ctx context.Context, addr string) (*crosser, error) {
	client, err := sluice.New(addr, sluice.WithPlaintext())
	if err != nil {
		return nil, err
	}
	c := &crosser{
		client: client, paused: make(chan time.Time, 1),
		small: strings.Repeat("s", across), large: strings.Repeat("l", beneath),
	}
	c.stream, err = client.Stream(ctx, sluice.StreamOptions{
		Tag: "bench", Linger: -1, Hooks: sluice.Hooks{OnPause: func(sluice.Pause) { c.paused <- time.Now() }},
	})
	if err != nil {
		return nil, errors.Join(err, client.Close(ctx))
	}
	return c, c.stream.Ready(ctx)
}

func (c *crosser) close(ctx context.Context) error {
	_, err := c.stream.Close(ctx)
	return errors.Join(err, c.client.Close(ctx))
}

// cross goes over the limit once, from rest to rest, and gives the microseconds from the record that crosses it to the
// hook. A stream that was not paused by then had delivered the first record already.
func (c *crosser) cross(ctx context.Context) (took float64, crossed bool, err error) {
	if err := c.stream.Log(ctx, c.large); err != nil {
		return 0, false, err
	}
	if err := pause(ctx, calm); err != nil {
		return 0, false, err
	}
	start := time.Now()
	if err := c.stream.Log(ctx, c.small); err != nil {
		return 0, false, err
	}
	if err := c.stream.Flush(ctx); err != nil {
		return 0, false, err
	}
	select {
	case at := <-c.paused:
		return micros(at.Sub(start)), true, nil
	default: // all is acked: the pause would have been told
		return 0, false, nil
	}
}

// A pinger makes round trips on a bare gRPC stream.
type pinger struct {
	conn *grpc.ClientConn
	rpc  grpc.ClientStream
	body *sluicev1.StreamLogsRequest
}

func newPinger(ctx context.Context, addr string) (*pinger, error) {
	conns, err := connect(addr, 1)
	if err != nil {
		return nil, err
	}
	p := &pinger{conn: conns[0]}
	desc := &grpc.StreamDesc{StreamName: "Ping", ServerStreams: true, ClientStreams: true}
	if p.rpc, err = p.conn.NewStream(ctx, desc, pingMethod, grpc.WaitForReady(true)); err != nil {
		return nil, errors.Join(err, p.conn.Close())
	}
	record := &sluicev1.LogRecord{Body: text(strings.Repeat("s", across))}
	p.body = &sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Append{
		Append: &sluicev1.Append{FirstSequence: 1, Records: []*sluicev1.LogRecord{record}},
	}}
	return p, nil
}

// ping gives the microseconds of one round trip, after the same rest as a crossing's.
func (p *pinger) ping(ctx context.Context) (float64, error) {
	if err := pause(ctx, calm); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := p.rpc.SendMsg(p.body); err != nil {
		return 0, err
	}
	if err := p.rpc.RecvMsg(new(sluicev1.StreamLogsResponse)); err != nil {
		return 0, err
	}
	return micros(time.Since(start)), nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
