package server

import (
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// Stats is a snapshot for metrics. Counters only rise.
type Stats struct {
	Calls  map[CallLabel]int64 // that ended
	Panics int64               // in handlers, each answered INTERNAL
}

// A CallLabel says how calls of a method ended.
type CallLabel struct {
	Method string // "StreamLogs", "SendLogs" or "other"
	Code   codes.Code
}

// Methods are counted apart by their index; what is not IngestService's is counted together.
const (
	streamLogs = iota
	sendLogs
	otherMethod
	methodCount
)

func methodIndex(fullMethod string) int {
	switch fullMethod {
	case sluicev1.IngestService_StreamLogs_FullMethodName:
		return streamLogs
	case sluicev1.IngestService_SendLogs_FullMethodName:
		return sendLogs
	default:
		return otherMethod
	}
}

func methodName(index int) string { return [...]string{"StreamLogs", "SendLogs", "other"}[index] }

// A tally counts calls and panics.
type tally struct {
	calls  [methodCount][codes.Unauthenticated + 1]atomic.Int64
	panics atomic.Int64
}

// ended counts a call.
func (t *tally) ended(fullMethod string, err error) {
	code := status.Code(err)
	if code > codes.Unauthenticated {
		code = codes.Unknown
	}
	t.calls[methodIndex(fullMethod)][code].Add(1)
}

// Stats is what the server has counted so far.
func (s *Server) Stats() Stats {
	stats := Stats{Calls: make(map[CallLabel]int64), Panics: s.tally.panics.Load()}
	for m := range s.tally.calls {
		for code := range s.tally.calls[m] {
			if n := s.tally.calls[m][code].Load(); n > 0 {
				stats.Calls[CallLabel{methodName(m), codes.Code(code)}] = n
			}
		}
	}
	return stats
}
