package sluice_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// An application logs through log/slog. The gateway of this example runs in the same process; elsewhere its address and
// nothing else is given to New.
func Example() {
	gateway, stop := startGateway()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := sluice.New("test:///gateways", connectTo(gateway)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(ctx) }()
	stream, err := client.Stream(ctx, sluice.StreamOptions{
		Tag:      "shop.checkout",
		ID:       "checkout-1",
		Resource: sluice.NewResource(slog.String("service.name", "checkout")),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	logger := slog.New(sluice.NewHandler(stream, nil))
	logger.InfoContext(ctx, "order placed", "order", 4711)
	logger.ErrorContext(ctx, "payment refused", slog.Group("card", "last4", "4242"))

	report, err := stream.Close(ctx)
	fmt.Println(report.Lost(), "records not acked,", err)
	for _, r := range gateway.records() {
		fmt.Println(r.GetSeverityText(), r.GetBody().GetStringValue(), values(r.GetAttributes()))
	}
	// Output:
	// 0 records not acked, <nil>
	// INFO order placed map[order:4711]
	// ERROR payment refused map[card:map[last4:4242]]
}

// Records in OTLP's shape go in as they are.
func ExampleStream_Add() {
	gateway, stop := startGateway()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := sluice.New("test:///gateways", connectTo(gateway)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(ctx) }()
	stream, err := client.Stream(ctx, sluice.StreamOptions{Tag: "shop.audit"})
	if err != nil {
		fmt.Println(err)
		return
	}

	err = stream.Add(ctx, &sluicev1.LogRecord{
		TimeUnixNano:   uint64(time.Now().UnixNano()),
		SeverityNumber: sluicev1.SeverityNumber_SEVERITY_NUMBER_INFO,
		Body:           &sluicev1.AnyValue{Value: &sluicev1.AnyValue_StringValue{StringValue: "door opened"}},
	})
	fmt.Println("queued:", err)
	fmt.Println("acked:", stream.Flush(ctx), stream.Stats().Acked)
	// Output:
	// queued: <nil>
	// acked: <nil> 1
}

// A producer that must not wait drops records while the gateway takes none. The stream says so itself.
func ExamplePolicy() {
	gateway, stop := startGateway()
	defer stop()
	gateway.paused = true // its output is down
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := sluice.New("test:///gateways", connectTo(gateway)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(ctx) }()
	paused := make(chan struct{})
	stream, err := client.Stream(ctx, sluice.StreamOptions{
		Tag: "shop.clicks", QueueRecords: 2, WhenFull: sluice.DropOldest,
		Hooks: sluice.Hooks{OnPause: func(p sluice.Pause) {
			fmt.Println("paused:", p.Reason)
			close(paused)
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-paused
	for i := range 5 {
		if err := stream.Log(ctx, fmt.Sprint("click ", i)); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("dropped:", stream.Stats().Dropped.QueueFull)

	gateway.set(func() { gateway.paused = false })
	if _, err := stream.Close(ctx); err != nil {
		fmt.Println(err)
	}
	for _, r := range gateway.records() {
		fmt.Println(r.GetBody().GetStringValue())
	}
	// Output:
	// paused: REASON_STREAM_LIMIT
	// dropped: 3
	// sluice: 3 records dropped: queue full
	// click 3
	// click 4
}

// A producer with a spill neither waits nor drops while the gateway is away, and goes on where it was when it is started
// again.
func ExampleSpillOptions() {
	gateway, stop := startGateway()
	defer stop()
	gateway.refuse = status.Error(codes.Unavailable, "restarting")
	dir, err := os.MkdirTemp("", "spill")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	client, err := sluice.New("test:///gateways", connectTo(gateway)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()
	opts := sluice.StreamOptions{Tag: "shop.orders", ID: "orders-1", Spill: &sluice.SpillOptions{Path: dir}}

	for _, bodies := range [][]string{{"first", "second"}, {"third"}} { // two lives of the producer
		stream, err := client.Stream(context.Background(), opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("resumed:", stream.Stats().Spill.Resumed)
		for _, body := range bodies {
			if err := stream.Log(context.Background(), body); err != nil {
				fmt.Println(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		report, err := stream.Close(ctx)
		cancel()
		fmt.Println("kept:", report.Kept, err)
	}

	gateway.set(func() { gateway.refuse = nil }) // and a third
	stream, err := client.Stream(context.Background(), opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := stream.Close(context.Background())
	fmt.Println("kept:", report.Kept, err)
	for _, r := range gateway.records() {
		fmt.Println(r.GetBody().GetStringValue())
	}
	// Output:
	// resumed: 0
	// kept: 2 <nil>
	// resumed: 2
	// kept: 3 <nil>
	// kept: 0 <nil>
	// first
	// second
	// third
}

// Close waits until all is acked, as long as its context allows, and reports exactly what was not.
func ExampleStream_Close() {
	gateway, stop := startGateway()
	defer stop()
	gateway.hold = true // it takes records, and does not get rid of them
	sent := make(chan string, 2)
	gateway.arrival = func(body string) { sent <- body }
	client, err := sluice.New("test:///gateways", connectTo(gateway)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()
	stream, err := client.Stream(context.Background(), sluice.StreamOptions{Tag: "shop.orders", ID: "orders-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{"first", "second"} {
		if err := stream.Log(context.Background(), body); err != nil {
			fmt.Println(err)
		}
	}
	<-sent
	<-sent // now this example always prints the same

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	report, err := stream.Close(ctx)
	fmt.Println(err)
	for sequence, r := range report.Records() {
		fmt.Println(sequence, r.GetBody().GetStringValue())
	}
	// Output:
	// close stream "orders-1": 2 records not acked: stream is cut: context deadline exceeded
	// 1 first
	// 2 second
}
