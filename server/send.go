package server

import (
	"context"
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// sendLogs serves one SendLogs call, whose request it reads into f.
func (s *Server) sendLogs(ctx context.Context, f *frame, decode func(any) error) (*sluicev1.SendLogsResponse, error) {
	defer s.calls.Add(-1)
	if err := s.enter(); err != nil {
		return nil, rpcError(err)
	}
	if err := s.read(f, decode); err != nil {
		return nil, rpcError(err)
	}
	defer f.free()
	if err := s.admits(); err != nil {
		return nil, rpcError(err)
	}
	open, records, fault := scanSendRequest(f.bytes(), s.maxAppend)
	if fault != nil {
		return nil, rpcError(fault)
	}
	records.Slab = f.take()
	st, err := s.engine.Send(ctx, *open, records)
	if err != nil {
		return nil, rpcError(err)
	}
	return &sluicev1.SendLogsResponse{Status: s.statusMessage(&st)}, nil
}

// read reads the request, on a goroutine of its own: only the return of the handler ends a read that waits for the peer.
// The frame is free where it fails.
func (s *Server) read(f *frame, decode func(any) error) error {
	came := make(chan struct{})
	var fault error
	s.loops.Go(func() {
		defer close(came)
		fault = s.contain(func() error { return decode(f) })
	})
	timeout := time.NewTimer(openTimeout)
	defer timeout.Stop()
	if err := s.awaitFirst(came, timeout, "request"); err != nil {
		s.loops.Go(func() { <-came; f.free() })
		return err
	}
	if fault != nil {
		f.free()
	}
	return fault
}
