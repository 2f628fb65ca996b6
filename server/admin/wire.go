package admin

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// maxIDs bounds the IDs of a filter: each letter is compared with all of them.
const maxIDs = 1000

// letterFilter is a filter as the engine has it.
func letterFilter(m *sluicev1.DeadLetterFilter) (f engine.LetterFilter, err error) {
	f.Output, f.Reason, f.IDs = m.GetOutput(), m.GetReason(), m.GetIds()
	f.Tag, f.StreamID = m.GetTag(), m.GetStreamId()
	if len(f.IDs) > maxIDs {
		return f, status.Errorf(codes.InvalidArgument, "filter.ids: %d of them; at most %d", len(f.IDs), maxIDs)
	}
	if f.Since, err = timeOf(m.GetSince()); err != nil {
		return f, status.Errorf(codes.InvalidArgument, "filter.since: %v", err)
	}
	if f.Until, err = timeOf(m.GetUntil()); err != nil {
		return f, status.Errorf(codes.InvalidArgument, "filter.until: %v", err)
	}
	return f, nil
}

// letterMessage is a letter as it goes over the wire. It shares no memory with the letter.
func letterMessage(l *engine.Letter) (*sluicev1.DeadLetter, error) {
	m := &sluicev1.DeadLetter{
		Id:           l.ID,
		Output:       l.Output,
		Target:       text(l.Target),
		Reason:       text(l.Reason),
		Message:      text(l.Message),
		RequestId:    text(l.RequestID),
		Attempts:     uint32(max(l.Attempts, 0)),
		FirstAttempt: timestampOf(l.First),
		LastAttempt:  timestampOf(l.Last),
		Tenant:       l.Tenant,
		StreamId:     l.StreamID,
		Tag:          l.Tag,
		Epoch:        l.Epoch,
		Sequence:     l.Sequence,
		Arrived:      timestampOf(l.Arrived),
		Resource:     &sluicev1.Resource{},
		Record:       &sluicev1.LogRecord{},
	}
	if err := proto.Unmarshal(l.Resource, m.GetResource()); err != nil {
		return nil, fmt.Errorf("dead letter %d: resource: %w", l.ID, err)
	}
	if err := proto.Unmarshal(l.Record.Wire, m.GetRecord()); err != nil {
		return nil, fmt.Errorf("dead letter %d: record: %w", l.ID, err)
	}
	return m, nil
}

// text makes words of a destination valid, as strings on the wire must be.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// timestampOf is nil where there is no time.
func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	return t.AsTime(), t.CheckValid()
}
