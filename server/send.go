package server

import (
	"context"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// sendLogs serves one SendLogs call. It takes the frame over.
func (s *Server) sendLogs(_ context.Context, f *frame) (*sluicev1.SendLogsResponse, error) {
	defer f.free()
	if err := s.admits(); err != nil {
		return nil, rpcError(err)
	}
	open, records, fault := scanSendRequest(f.bytes(), s.maxAppend)
	if fault != nil {
		return nil, rpcError(fault)
	}
	records.Slab = f.take()
	st, err := s.engine.Send(*open, records)
	if err != nil {
		return nil, rpcError(err)
	}
	return &sluicev1.SendLogsResponse{Status: s.statusMessage(&st)}, nil
}
