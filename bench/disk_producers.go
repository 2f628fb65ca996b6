package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A diskLog is what producers append to: the disk buffer, or the bare loop beside it.
type diskLog interface {
	// append stores what a producer has, and calls safe when it is synced. It does not block.
	append(producer int, payload []byte, safe func()) error
	// commits is how many there were so far.
	commits() int64
	close() error
}

// An appendOrder says what producers append to.
type appendOrder struct {
	Log       string `json:"log"` // JetStream's binary does not look at it
	Dir       string `json:"dir"`
	Payload   int    `json:"payload"` // bytes
	Producers int    `json:"producers"`
}

// The logs.
const (
	logBare      = "bare"
	logBuffer    = "buffer"
	logJetStream = "jetstream" // in a process of its own binary
)

// An appendRound has all producers append for a while.
type appendRound struct {
	Seconds float64 `json:"seconds"`
}

// An appendAnswer says what became of a round.
type appendAnswer struct {
	Seconds float64 `json:"seconds"` // until the last append was safe
	Bytes   int64   `json:"bytes"`   // of payload
	Commits int64   `json:"commits"` // zero for JetStream's, which syncs each payload
}

// beAppender is the producers' process, with the log that they append to. It says that it is ready, and then runs one round
// after the other.
func beAppender(ctx context.Context, text string) (err error) {
	var order appendOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	log, err := openDiskLog(ctx, order)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.close()) }()
	bytes := payloads(order.Payload, order.Producers)
	if err := reply(true); err != nil {
		return err
	}
	return obey(func(round appendRound) (appendAnswer, error) {
		return produce(ctx, log, bytes, order.Producers, time.Duration(round.Seconds*float64(time.Second)))
	})
}

func openDiskLog(ctx context.Context, order appendOrder) (diskLog, error) {
	switch order.Log {
	case logBuffer:
		return openBufferLog(ctx, order.Dir, order.Producers)
	case logBare:
		return openBareLog(order.Dir, bareFileSize)
	default:
		return nil, fmt.Errorf("there is no log %q", order.Log)
	}
}

// payloadMemory is how many bytes of payloads there are, of which producers share some where they would need more: more than
// the processor's caches hold, less than a small machine has.
const payloadMemory = 64 << 20

// payloads are what producers append, as many as there is memory for.
func payloads(size, producers int) [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	all := make([][]byte, min(producers, max(payloadMemory/size, 1)))
	for i := range all {
		all[i] = make([]byte, size)
		_, _ = random.Read(all[i]) // it does not fail
	}
	return all
}

// produceGrace is for how long after the end of a round the last append may be under way.
const produceGrace = time.Minute

// produce has each producer append a payload and wait until it is safe, again and again until the time is over.
func produce(ctx context.Context, log diskLog, bytes [][]byte, producers int, d time.Duration) (appendAnswer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d+produceGrace, errors.New("an append does not get safe"))
	defer cancel()
	appended, errs := make([]int64, producers), make([]error, producers)
	before, start := log.commits(), time.Now()
	until := start.Add(d)
	var running sync.WaitGroup
	for i := range producers {
		running.Go(func() {
			payload := bytes[i%len(bytes)]
			safe := make(chan struct{}, 1)
			told := func() { safe <- struct{}{} }
			for time.Now().Before(until) {
				if errs[i] = log.append(i, payload, told); errs[i] != nil {
					return
				}
				select {
				case <-safe:
				case <-ctx.Done():
					errs[i] = context.Cause(ctx)
					return
				}
				appended[i] += int64(len(payload))
			}
		})
	}
	running.Wait()
	answer := appendAnswer{Seconds: time.Since(start).Seconds(), Commits: log.commits() - before}
	for _, n := range appended {
		answer.Bytes += n
	}
	return answer, errors.Join(errs...)
}
