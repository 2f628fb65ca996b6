// Package sluice is the Go SDK of the sluice log gateway: it streams log records to a gateway and keeps them until the
// gateway has taken responsibility for them.
//
//	client, err := sluice.New("gateway.internal:4317")
//	if err != nil {
//		return err
//	}
//	defer client.Close(ctx)
//	stream, err := client.Stream(ctx, sluice.StreamOptions{
//		Tag:      "shop.checkout",
//		ID:       "checkout-7f9c",
//		Resource: sluice.NewResource(slog.String("service.name", "checkout")),
//	})
//	if err != nil {
//		return err
//	}
//	logger := slog.New(sluice.NewHandler(stream, nil))
//	logger.Info("order placed", "order", 4711, "total", 12.5)
//
//	report, err := stream.Close(ctx) // all acked, or a report of exactly what was not
//
// [Stream.Add] takes OTLP-shaped records, [Stream.Log] a line with attributes, and a [Handler] whatever goes through
// log/slog.
//
// # What is promised
//
// A record that Add took is delivered at least once and in order, unless it is dropped by the [Policy] that the stream was
// made with, refused by the gateway, or left over in the [Report] of Close; each of these is counted in [Stats], and drops
// are told in the stream itself. Acked means that losing the gateway's process would not lose the record, or, on a gateway
// that buffers in memory, that its outputs are done with it; Stats.Durable tells which.
//
// A gateway that has enough says so, and the stream pauses: it stops sending, and goes on queueing. Lost connections are
// made again with backoff, and what was not acked is sent again from where the gateway stands. When a gateway drains, the
// stream connects elsewhere and goes on there once the old gateway is done, without a duplicate.
//
// # Spill
//
// A producer that must neither wait nor drop while the gateway is away gives its stream a spill: a directory in which each
// record is written before Add returns, and stays until it is acked.
//
//	Spill: &sluice.SpillOptions{Path: "/var/lib/checkout/spill", MaxBytes: 1 << 30}
//
// What the queue has no room for is sent from there, in order, and what is new waits behind it. A producer that was killed, or
// closed before all was acked, is started again with the same ID and Path: it goes on with the epoch and the sequences that
// its records had, so that a gateway that has them already stores none twice, and only then begins an epoch of its own. A
// record costs one write to the page cache, some 2 us, or with [SyncAlways] an fsync, shared by all who add at the time: then
// it outlives a crash of the machine, too. The bound is SpillOptions.MaxBytes; when it is reached the [Policy] decides. A disk
// that fails is told by Add ([ErrSpillFailed]), and nothing is lost in silence: what cannot be read back is counted, told to
// the hook, and reported in the stream in its place.
//
// # What is final
//
// Two things are final: another producer with the same stream ID, started later, fences this one ([ErrFenced]); and the
// gateway may refuse the stream, for instance because no route takes its tag. Then all methods return that error, and
// Close still reports what was not acked.
package sluice
