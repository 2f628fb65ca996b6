// Jetstream is producers that publish to an embedded JetStream which syncs every write: what the disk buffer is measured
// against. It is a module of its own, so that the gateway's has none of NATS. It takes the orders of bench's producers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An order says what producers publish, and where it is stored. See bench's appendOrder.
type order struct {
	Dir       string `json:"dir"`
	Payload   int    `json:"payload"` // bytes
	Producers int    `json:"producers"`
}

// A round has all producers publish for a while.
type round struct {
	Seconds float64 `json:"seconds"`
}

// An answer says what became of a round.
type answer struct {
	Seconds float64 `json:"seconds"` // until the last PubAck
	Bytes   int64   `json:"bytes"`   // of payload
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "jetstream:", err)
		os.Exit(1)
	}
}

func run(args []string) (err error) {
	if len(args) != 1 {
		return errors.New("the one argument is an order")
	}
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	s, err := start(o)
	if err != nil {
		return err
	}
	defer s.stop()
	rounds, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := answers.Encode(true); err != nil {
		return err
	}
	for {
		var r round
		if err := rounds.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := s.publish(time.Duration(r.Seconds * float64(time.Second)))
		if err != nil {
			return err
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// The stream keeps about as much as a buffer whose output keeps up. What it takes in while it syncs is bounded by nothing but
// the producers.
const (
	keep    = 1 << 30
	queue   = 4 << 30
	grace   = time.Minute
	readyIn = 20 * time.Second
)

// producers are those of one order, with their server and their one connection to it: with several it was no faster.
type producers struct {
	order
	server   *server.Server
	conn     *nats.Conn
	stream   jetstream.JetStream
	payloads [][]byte
}

func start(o order) (_ *producers, err error) {
	s := &producers{order: o, payloads: payloads(o.Payload, o.Producers)}
	s.server, err = server.NewServer(&server.Options{
		ServerName: "bench", DontListen: true, NoLog: true, NoSigs: true, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: o.Dir, SyncAlways: true, StreamMaxBufferedSize: queue,
	})
	if err != nil {
		return nil, err
	}
	s.server.Start()
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if !s.server.ReadyForConnections(readyIn) {
		return nil, errors.New("the server does not get ready")
	}
	if s.conn, err = nats.Connect("", nats.InProcessServer(s.server)); err != nil {
		return nil, err
	}
	if s.stream, err = jetstream.New(s.conn); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyIn)
	defer cancel()
	_, err = s.stream.CreateStream(ctx, jetstream.StreamConfig{
		Name: "bench", Subjects: []string{"bench.*"}, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardOld, MaxBytes: keep,
	})
	return s, err
}

func (s *producers) stop() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// publish has each producer publish a payload and wait for its PubAck, again and again until the time is over.
func (s *producers) publish(d time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d+grace, errors.New("a PubAck does not come"))
	defer cancel()
	published, errs := make([]int64, s.Producers), make([]error, s.Producers)
	start := time.Now()
	until := start.Add(d)
	var running sync.WaitGroup
	for i := range s.Producers {
		running.Go(func() {
			payload, subject := s.payloads[i%len(s.payloads)], "bench."+strconv.Itoa(i)
			for time.Now().Before(until) {
				if _, err := s.stream.Publish(ctx, subject, payload); err != nil {
					errs[i] = fmt.Errorf("publish: %w (%w)", err, context.Cause(ctx))
					return
				}
				published[i] += int64(len(payload))
			}
		})
	}
	running.Wait()
	a := answer{Seconds: time.Since(start).Seconds()}
	for _, n := range published {
		a.Bytes += n
	}
	return a, errors.Join(errs...)
}

// payloadMemory is bench's.
const payloadMemory = 64 << 20

// payloads are what producers publish, as many as there is memory for.
func payloads(size, producers int) [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	all := make([][]byte, min(producers, max(payloadMemory/size, 1)))
	for i := range all {
		all[i] = make([]byte, size)
		_, _ = random.Read(all[i]) // it does not fail
	}
	return all
}
