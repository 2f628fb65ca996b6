package server

import (
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// statusMessage is a status as it goes over the wire. The engine's states, reasons and fault codes have the wire's numbers.
func (s *Server) statusMessage(st *engine.Status) *sluicev1.StreamStatus {
	m := &sluicev1.StreamStatus{
		State:          sluicev1.State(st.State),
		Reason:         sluicev1.Reason(st.Reason),
		AckedSequence:  st.Acked,
		NextSequence:   st.Next,
		HeldBytes:      uint64(max(st.Held, 0)),
		LimitBytes:     uint64(max(st.Limit, 0)),
		StreamId:       st.StreamID,
		MaxAppendBytes: uint64(s.maxAppend),
		Durable:        s.durable > engine.DurabilityMemory,
		Durability:     sluicev1.Durability(s.durable),
	}
	if st.RetryAfter > 0 {
		m.RetryAfter = durationpb.New(st.RetryAfter)
	}
	for i := range st.Rejections {
		r := &st.Rejections[i]
		m.Rejections = append(m.Rejections, &sluicev1.Rejection{
			FirstSequence: r.First,
			LastSequence:  r.Last,
			Count:         r.Count,
			Code:          sluicev1.RejectionCode(r.Code),
			Message:       r.Message,
		})
	}
	return m
}
