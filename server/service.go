package server

import (
	"context"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// ingestService is what the methods of the service descriptor are called on.
type ingestService interface {
	streamLogs(ss grpc.ServerStream) error
	sendLogs(ctx context.Context, f *frame) (*sluicev1.SendLogsResponse, error)
	newFrame() *frame
}

// serviceDesc describes IngestService to grpc under its generated names, so that clients and reflection see no difference,
// with handlers that receive frames instead of generated messages.
func serviceDesc() *grpc.ServiceDesc {
	generated := &sluicev1.IngestService_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: generated.ServiceName,
		HandlerType: (*ingestService)(nil),
		Metadata:    generated.Metadata,
		Methods:     []grpc.MethodDesc{{MethodName: "SendLogs", Handler: handleSendLogs}},
		Streams: []grpc.StreamDesc{{
			StreamName:    "StreamLogs",
			Handler:       func(srv any, ss grpc.ServerStream) error { return srv.(ingestService).streamLogs(ss) },
			ServerStreams: true,
			ClientStreams: true,
		}},
	}
}

//nolint:revive // grpc says what a handler looks like, with its context second
func handleSendLogs(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	s := srv.(ingestService)
	// Reading the request is a part of the call: what cannot be read is counted and logged like any other refusal.
	handle := func(ctx context.Context, request any) (any, error) {
		f := request.(*frame)
		if err := decode(f); err != nil {
			f.free()
			return nil, err
		}
		return s.sendLogs(ctx, f)
	}
	if intercept == nil {
		return handle(ctx, s.newFrame())
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: sluicev1.IngestService_SendLogs_FullMethodName}
	return intercept(ctx, s.newFrame(), info, handle)
}
