package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A server is a gateway or a floor that runs in a process of its own.
type server struct {
	*process
	addr  string
	admin string // the gateway's; empty for the floor
}

// gatewayStart is how long a gateway may take to be ready.
const gatewayStart = 20 * time.Second

// startGateway starts the gateway and waits until it takes streams. rest is its config but for where it listens.
func (b bench) startGateway(ctx context.Context, rest string) (*server, error) {
	file, err := os.CreateTemp(b.dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	_, err = file.WriteString("server: {listen: 127.0.0.1:0, admin: 127.0.0.1:0, shutdown_grace: 10s}\n" + rest)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	s := &server{}
	if s.process, err = b.spawn(ctx, b.gateway, "serve", "--config", file.Name(), "--log-format", "json"); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.terminate())
	}
	return s, nil
}

// ready waits until the gateway says where it listens.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, gatewayStart, errors.New("the gateway does not get ready"))
	defer cancel()
	ctx, ended := context.WithCancelCause(ctx)
	go func() { // until the process has ended: it writes nothing to its standard output
		_ = s.answers.Decode(new(any))
		ended(errors.New("the gateway ended"))
	}()
	for s.addr == "" {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
		s.admin, s.addr = s.log.address("admin"), s.log.address("listening")
	}
	return nil
}

// toNull is the config of a gateway from memory to null.
func toNull(scheduler string) string {
	inFlight := ""
	if scheduler != "sync" {
		inFlight = ", in_flight: 16"
	}
	return fmt.Sprintf(`limits: {engine: {memory: 256MiB}, streams: 20000}
outputs:
  - {name: nowhere, type: "null", scheduler: {type: %s%s}}
`, scheduler, inFlight)
}
