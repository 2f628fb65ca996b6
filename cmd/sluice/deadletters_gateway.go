package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server/admin"
)

// maxResponse bounds a response of the gateway, in bytes. A letter in it is at most what the gateway takes for a record, and its
// resource as much again.
const maxResponse = 256 << 20

// A letterGateway is a gateway that runs.
type letterGateway struct {
	address string
	conn    *grpc.ClientConn
	client  sluicev1.AdminServiceClient
}

var _ letterPlace = (*letterGateway)(nil)

func openGateway(address string) (*letterGateway, error) {
	if host, port, err := net.SplitHostPort(address); err != nil || port == "" || strings.ContainsAny(host, "/@ ") {
		return nil, &exitError{exitUsage, fmt.Errorf("--admin %q: want HOST:PORT, such as 127.0.0.1:9317 or [::1]:9317", address)}
	}
	conn, err := grpc.NewClient("dns:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)))
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--admin: %w", err)}
	}
	return &letterGateway{address, conn, sluicev1.NewAdminServiceClient(conn)}, nil
}

func (g *letterGateway) each(ctx context.Context, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	responses, err := g.client.ListDeadLetters(ctx, &sluicev1.ListDeadLettersRequest{Filter: filterMessage(f), Limit: limit})
	if err != nil {
		return g.explain(err)
	}
	var missing error
	for {
		response, err := responses.Recv()
		if errors.Is(err, io.EOF) {
			return missing
		} else if err != nil {
			return errors.Join(g.explain(err), missing)
		}
		missing = noLetters(response.GetMissingIds())
		for _, m := range response.GetDeadLetters() {
			l, err := letterOf(m)
			if err == nil {
				err = do(l)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (g *letterGateway) replay(ctx context.Context, f engine.LetterFilter, told func(n int64)) (int64, error) {
	responses, err := g.client.ReplayDeadLetters(ctx, &sluicev1.ReplayDeadLettersRequest{Filter: filterMessage(f)})
	if err != nil {
		return 0, g.explain(err)
	}
	n, missing := int64(0), error(nil)
	for {
		response, err := responses.Recv()
		if errors.Is(err, io.EOF) {
			return n, missing
		} else if err != nil {
			return n, errors.Join(g.explain(err), missing)
		}
		n, missing = int64(response.GetReplayed()), noLetters(response.GetMissingIds())
		if !response.GetDone() {
			told(n)
		}
	}
}

func (g *letterGateway) drop(ctx context.Context, f engine.LetterFilter) (admin.Dropped, error) {
	response, err := g.client.DropDeadLetters(ctx, &sluicev1.DropDeadLettersRequest{Filter: filterMessage(f), All: f.All()})
	return admin.Dropped{
		Letters: int64(response.GetDropped()), Unread: int64(response.GetDroppedUnread()), Left: int64(response.GetLeft()),
		Faults: response.GetFaults(), Missing: response.GetMissingIds(),
	}, g.explain(err)
}

func (g *letterGateway) close() error { return g.conn.Close() }

// explain makes an error of gRPC's one for people.
func (g *letterGateway) explain(err error) error {
	st := status.Convert(err)
	switch {
	case st.Code() == codes.Unavailable && strings.Contains(st.Message(), "connection error"):
		return fmt.Errorf("no gateway answers at %s; --dir looks in the buffer's directory of one that does not run (%w)", g.address, err)
	case st.Code() == codes.Unimplemented:
		return fmt.Errorf("%s is not the admin address of a gateway that keeps dead letters, see server.admin (%w)", g.address, err)
	default:
		return err
	}
}

func filterMessage(f engine.LetterFilter) *sluicev1.DeadLetterFilter {
	m := &sluicev1.DeadLetterFilter{Output: f.Output, Reason: f.Reason, Tag: f.Tag, StreamId: f.StreamID, Ids: f.IDs}
	if !f.Since.IsZero() {
		m.Since = timestamppb.New(f.Since)
	}
	if !f.Until.IsZero() {
		m.Until = timestamppb.New(f.Until)
	}
	return m
}

// letterOf is a letter as the engine has it.
func letterOf(m *sluicev1.DeadLetter) (*engine.Letter, error) {
	resource, err := proto.Marshal(m.GetResource())
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: resource: %w", m.GetId(), err)
	}
	record, err := proto.Marshal(m.GetRecord())
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: record: %w", m.GetId(), err)
	}
	return &engine.Letter{
		ID: m.GetId(),
		DeadLetter: engine.DeadLetter{
			Output: m.GetOutput(), Target: m.GetTarget(), Reason: m.GetReason(), Message: m.GetMessage(),
			RequestID: m.GetRequestId(), Attempts: int(m.GetAttempts()),
			First: timeOf(m.GetFirstAttempt()), Last: timeOf(m.GetLastAttempt()),
		},
		Tenant: m.GetTenant(), StreamID: m.GetStreamId(), Tag: m.GetTag(), Epoch: m.GetEpoch(), Sequence: m.GetSequence(),
		Arrived: timeOf(m.GetArrived()), Resource: resource, Record: engine.Record{Wire: record},
	}, nil
}

// timeOf is the zero time where there is none.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
