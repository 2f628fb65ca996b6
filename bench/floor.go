package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// The floor is what is left of a gateway that does nothing: a bare grpc-go server with the gateway's windows, which
// discards the bytes of what it receives. No gateway that is built on grpc-go can be cheaper.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
	maxMessage       = 1<<20 + 64<<10
	maxHeaders       = 16 << 10
	maxStreams       = 20_000
)

// pingMethod answers each message with an empty one.
const pingMethod = "/bench.Floor/Ping"

// startFloor starts a floor and waits until it listens.
func (b bench) startFloor(ctx context.Context) (*server, error) {
	p, err := b.role(ctx, roleFloor, nil)
	if err != nil {
		return nil, err
	}
	s := &server{process: p}
	if err := p.answer(&s.addr); err != nil {
		return nil, err
	}
	return s, nil
}

// beFloor is the floor's process. It ends when it is let go.
func beFloor() error {
	lis, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(discard{encoding.GetCodecV2(encproto.Name)}),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
	)
	s.RegisterService(floorService(sluicev1.IngestService_ServiceDesc.ServiceName, "StreamLogs", swallow), nil)
	s.RegisterService(floorService("bench.Floor", "Ping", pong), nil)
	if err := reply(lis.Addr().String()); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	err = dismissed()
	s.Stop()
	return errors.Join(err, <-served)
}

func floorService(service, method string, handle func(grpc.ServerStream) error) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    method,
			Handler:       func(_ any, ss grpc.ServerStream) error { return handle(ss) },
			ServerStreams: true,
			ClientStreams: true,
		}},
	}
}

// swallow answers the first message, as the gateway answers Open, and no other.
func swallow(ss grpc.ServerStream) error {
	if err := receive(ss); err != nil {
		return err
	}
	if err := ss.SendMsg(&sluicev1.StreamLogsResponse{}); err != nil {
		return err
	}
	for {
		if err := receive(ss); err != nil {
			return ended(err)
		}
	}
}

func pong(ss grpc.ServerStream) error {
	for {
		if err := receive(ss); err != nil {
			return ended(err)
		}
		if err := ss.SendMsg(&sluicev1.StreamLogsResponse{}); err != nil {
			return err
		}
	}
}

func receive(ss grpc.ServerStream) error { return ss.RecvMsg(nil) }

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// discard is a codec that does not look at what comes in.
type discard struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (discard) Unmarshal(mem.BufferSlice, any) error { return nil }
