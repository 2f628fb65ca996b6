package server

import (
	"cmp"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
)

// Options say how a Server speaks gRPC. A zero field means its default, given beside it.
type Options struct {
	// Windows are static. With windows that grow by themselves, one stream whose reader stalls at its limit piles up 8 MiB
	// unread; the connection's window is replenished on receipt, so unread bytes are at most streams x StreamWindow.
	StreamWindow     int32 // bytes: 256 KiB
	ConnectionWindow int32 // bytes: 1 MiB

	MaxStreams    uint32 // calls at a time on one connection: 10,000, as many as the engine knows streams
	MaxHeaderList uint32 // bytes of one call's headers: 16 KiB, where grpc's own default is 16 MB

	HandshakeTimeout time.Duration // for TLS and HTTP/2's preface: 10 s

	Keepalive Keepalive
	TLS       TLS
	Log       *slog.Logger // slog.DiscardHandler
}

// Keepalive finds peers that are gone, and keeps those at bay that ping too much.
type Keepalive struct {
	Time    time.Duration // without a sign of the peer until it is pinged: 30 s
	Timeout time.Duration // for its answer, until the connection is closed: 10 s
	MinTime time.Duration // between a client's pings; one that pings more often is cut off: 10 s

	MaxConnectionIdle     time.Duration // without calls until the connection is closed: never
	MaxConnectionAge      time.Duration // until a connection is told to go away, to spread load anew: never
	MaxConnectionAgeGrace time.Duration // for its calls to end then: for ever
}

// setDefaults fills the zero fields in.
func (o *Options) setDefaults() {
	o.StreamWindow = cmp.Or(o.StreamWindow, 256<<10)
	o.ConnectionWindow = cmp.Or(o.ConnectionWindow, 1<<20)
	o.MaxStreams = cmp.Or(o.MaxStreams, 10_000)
	o.MaxHeaderList = cmp.Or(o.MaxHeaderList, 16<<10)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.Keepalive.Time = cmp.Or(o.Keepalive.Time, 30*time.Second)
	o.Keepalive.Timeout = cmp.Or(o.Keepalive.Timeout, 10*time.Second)
	o.Keepalive.MinTime = cmp.Or(o.Keepalive.MinTime, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// frameSlack is how far a request may exceed the engine's Limits.MaxAppend and still be read: for what stands around an append, and so that an
// append which is a little too large is answered INVALID_ARGUMENT with its field. What is larger still is not read at all;
// grpc answers it RESOURCE_EXHAUSTED with both sizes, and without RetryInfo.
const frameSlack = 64 << 10

// readBuffer is how many bytes of a connection are read at once, twice grpc's own: producers send more than they are sent.
const readBuffer = 64 << 10

// grpcOptions are the options in grpc's terms, but for TLS and interceptors. maxAppend is in bytes.
func (o *Options) grpcOptions(maxAppend int) []grpc.ServerOption {
	k := &o.Keepalive
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		experimental.BufferPool(new(buffers)),
		grpc.StaticStreamWindowSize(o.StreamWindow),
		grpc.StaticConnWindowSize(o.ConnectionWindow),
		grpc.MaxConcurrentStreams(o.MaxStreams),
		grpc.MaxRecvMsgSize(maxAppend + frameSlack),
		grpc.MaxHeaderListSize(o.MaxHeaderList),
		grpc.ConnectionTimeout(o.HandshakeTimeout),
		grpc.ReadBufferSize(readBuffer),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:                  k.Time,
			Timeout:               k.Timeout,
			MaxConnectionIdle:     k.MaxConnectionIdle,
			MaxConnectionAge:      k.MaxConnectionAge,
			MaxConnectionAgeGrace: k.MaxConnectionAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: k.MinTime, PermitWithoutStream: true}),
	}
}
