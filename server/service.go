package server

import (
	"context"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// serviceDesc describes IngestService to grpc under its generated names, so that clients and reflection see no difference,
// with handlers that receive frames instead of generated messages. It is registered with a *Server.
func serviceDesc() *grpc.ServiceDesc {
	generated := &sluicev1.IngestService_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: generated.ServiceName,
		HandlerType: (*any)(nil),
		Metadata:    generated.Metadata,
		Methods:     []grpc.MethodDesc{{MethodName: "SendLogs", Handler: handleSendLogs}},
		Streams: []grpc.StreamDesc{{
			StreamName:    "StreamLogs",
			Handler:       func(srv any, ss grpc.ServerStream) error { return srv.(*Server).streamLogs(ss) },
			ServerStreams: true,
			ClientStreams: true,
		}},
	}
}

//nolint:revive // grpc says what a handler looks like, with its context second
func handleSendLogs(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	s := srv.(*Server)
	// Reading the request is a part of the call: what cannot be read is counted and logged like any other refusal.
	handle := func(ctx context.Context, request any) (any, error) { return s.sendLogs(ctx, request.(*frame), decode) }
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: sluicev1.IngestService_SendLogs_FullMethodName}
	return intercept(ctx, s.newFrame(), info, handle)
}
