package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// An acker takes whatever comes and acks it, at little cost: it reads appends as unknown fields.
func acker(b *testing.B) string {
	b.Helper()
	desc := grpc.ServiceDesc{
		ServiceName: "sluice.v1.IngestService", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "StreamLogs", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, rpc grpc.ServerStream) error {
				var next uint64 = 1
				for {
					req := new(emptypb.Empty)
					if err := rpc.RecvMsg(req); err != nil {
						if errors.Is(err, io.EOF) {
							return nil
						}
						return err
					}
					if raw := req.ProtoReflect().GetUnknown(); raw[0] == 0x12 {
						next = countAppend(raw)
					}
					if err := rpc.SendMsg(&sluicev1.StreamLogsResponse{Status: &sluicev1.StreamStatus{
						State: sluicev1.State_STATE_ACTIVE, AckedSequence: next - 1, NextSequence: next, LimitBytes: 8 << 20,
					}}); err != nil {
						return err
					}
				}
			},
		}},
	}
	server := grpc.NewServer(grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(1<<20))
	server.RegisterService(&desc, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	b.Cleanup(func() { server.Stop(); <-served })
	return listener.Addr().String()
}

// BenchmarkLog is the way of a record from Log to its ack, over TCP, the server's share of the CPU included.
func BenchmarkLog(b *testing.B) {
	for _, size := range []int{7, 256} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			body := strings.Repeat("x", size)
			run(b, sluice.StreamOptions{}, func(s *sluice.Stream) error { return s.Log(context.Background(), body) })
		})
	}
	b.Run("slog", func(b *testing.B) {
		var logger *slog.Logger
		run(b, sluice.StreamOptions{}, func(s *sluice.Stream) error {
			if logger == nil {
				logger = slog.New(sluice.NewHandler(s, nil)).With("service", "checkout")
			}
			logger.Info("order placed", "order", 4711, "total", 12.5)
			return nil
		})
	})
	b.Run("add", func(b *testing.B) {
		record := &sluicev1.LogRecord{
			TimeUnixNano: 1, SeverityNumber: 9,
			Body: &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: strings.Repeat("x", 256)}},
		}
		run(b, sluice.StreamOptions{}, func(s *sluice.Stream) error { return s.Add(context.Background(), record) })
	})
}

// BenchmarkSpill is BenchmarkLog with a spill: each record is written before Log returns, for one who logs and for 32 at once.
func BenchmarkSpill(b *testing.B) {
	body := strings.Repeat("x", 256)
	for name, sync := range map[string]sluice.SyncPolicy{"never": sluice.SyncNever, "always": sluice.SyncAlways} {
		opts := sluice.StreamOptions{ID: "bench", Spill: &sluice.SpillOptions{Sync: sync}}
		b.Run("sync="+name+"/loggers=1", func(b *testing.B) {
			opts.Spill.Path = b.TempDir()
			run(b, opts, func(s *sluice.Stream) error { return s.Log(context.Background(), body) })
		})
		b.Run("sync="+name+"/loggers=32", func(b *testing.B) {
			opts.Spill.Path = b.TempDir()
			measure(b, opts, func(s *sluice.Stream) {
				b.SetParallelism(32 / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := s.Log(context.Background(), body); err != nil {
							b.Error(err)
						}
					}
				})
			})
		})
	}
}

func run(b *testing.B, opts sluice.StreamOptions, add func(*sluice.Stream) error) {
	measure(b, opts, func(s *sluice.Stream) {
		for b.Loop() {
			if err := add(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// measure runs loop with a stream that is open, and waits until all is acked.
func measure(b *testing.B, opts sluice.StreamOptions, loop func(*sluice.Stream)) {
	client, err := sluice.New(acker(b), sluice.WithPlaintext())
	if err != nil {
		b.Fatal(err)
	}
	opts.Tag = "bench"
	s, err := client.Stream(context.Background(), opts)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Ready(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	loop(s)
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := client.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// countAppend gives the sequence after an append.
func countAppend(request []byte) uint64 {
	body, _ := protowire.ConsumeBytes(request[1:])
	var next uint64
	for len(body) > 0 {
		num, kind, n := protowire.ConsumeTag(body)
		body = body[n:]
		if num == 1 {
			next, _ = protowire.ConsumeVarint(body)
		}
		n = protowire.ConsumeFieldValue(num, kind, body)
		if num == 2 {
			next++
		}
		body = body[n:]
	}
	return next
}
