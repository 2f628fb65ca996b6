package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	sluice "github.com/sluicelog/sluice/clients/go"
)

// A pushOrder tells a pusher how many clients it is.
type pushOrder struct {
	Addr    string `json:"addr"`
	Clients int    `json:"clients"`
}

// A pushAnswer is what all clients of a pusher saw, by their own statistics.
type pushAnswer struct {
	Added      uint64        `json:"added"`
	Acked      uint64        `json:"acked"`
	Rejected   uint64        `json:"rejected"`
	Dropped    uint64        `json:"dropped"`
	Reconnects uint64        `json:"reconnects"`
	Pauses     uint64        `json:"pauses"`
	PausedFor  time.Duration `json:"paused_for"`
	Faults     string        `json:"faults,omitempty"`
}

// bePusher is the pusher's process: clients that add records as fast as they may until it is let go, and then wait until
// all is acked.
func bePusher(ctx context.Context, text string) error {
	var order pushOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	adding, stop := context.WithCancel(ctx)
	defer stop()
	stats := make([]sluice.Stats, order.Clients)
	errs := make([]error, order.Clients)
	var running sync.WaitGroup
	for i := range order.Clients {
		running.Go(func() { stats[i], errs[i] = push(ctx, adding, order.Addr, "push-"+strconv.Itoa(i)) })
	}
	if err := dismissed(); err != nil {
		return err
	}
	stop()
	running.Wait()
	var answer pushAnswer
	for i := range stats {
		s := &stats[i]
		answer.Added += s.Added
		answer.Acked += s.Acked
		answer.Rejected += s.Rejected
		answer.Dropped += s.Dropped.Total()
		answer.Reconnects += s.Reconnects
		answer.Pauses += s.Pauses
		answer.PausedFor += s.PausedFor
	}
	if err := errors.Join(errs...); err != nil {
		answer.Faults = err.Error()
	}
	return reply(answer)
}

// push is one client, with a connection of its own. It adds records until adding is done.
func push(ctx, adding context.Context, addr, id string) (_ sluice.Stats, err error) {
	client, err := sluice.New(addr, sluice.WithPlaintext())
	if err != nil {
		return sluice.Stats{}, err
	}
	defer func() { err = errors.Join(err, client.Close(ctx)) }()
	stream, err := client.Stream(ctx, sluice.StreamOptions{Tag: "bench", ID: id})
	if err != nil {
		return sluice.Stats{}, err
	}
	rest := strings.Repeat(" the gateway holds what the output does not take", bodySize)[:bodySize-numberSize]
	for n := 1; adding.Err() == nil; n++ {
		if err = stream.Log(adding, fmt.Sprintf("%0*d%s", numberSize, n, rest)); err != nil {
			break
		}
	}
	if adding.Err() != nil {
		err = nil // it waited for room when it was let go
	}
	_, closed := stream.Close(ctx)
	return stream.Stats(), errors.Join(err, closed)
}
