package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// An idleRow is what open streams cost that send nothing.
type idleRow struct {
	Streams int        `json:"streams"`
	Shared  bool       `json:"shared_connection"`
	KiB     comparison `json:"kib_per_stream"`
	Goal    float64    `json:"goal_kib,omitempty"`
	Skipped string     `json:"skipped,omitempty"` // why it was not measured
}

// The goals, in KiB a stream.
const (
	goalShared = 16
	goalOwn    = 36
)

// idle measures the memory of idle streams. Memory that was taken once is hardly given back, so that each figure is of a
// process of its own.
func (b bench) idle(ctx context.Context) ([]idleRow, error) {
	files, err := openFiles()
	if err != nil {
		return nil, err
	}
	var rows []idleRow
	for _, shared := range []bool{true, false} {
		for _, streams := range []int{1, 1_000, 10_000} {
			row := idleRow{Streams: streams, Shared: shared}
			if row.Goal = goalOwn; shared {
				row.Goal = goalShared
			}
			if need := streams + 200; !shared && files < need {
				row.Skipped = fmt.Sprintf("needs %d open files, and %d are allowed", need, files)
				progress("idle: %d connections: %s", streams, row.Skipped)
			} else if err := b.idleRow(ctx, &row); err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (b bench) idleRow(ctx context.Context, row *idleRow) error {
	rounds := 3
	if b.quick && row.Streams > 1000 {
		rounds = 1
	}
	for range rounds {
		floor, err := b.startFloor(ctx)
		if err != nil {
			return err
		}
		beneath, err := b.idleKiB(ctx, floor, row)
		if err != nil {
			return err
		}
		gateway, err := b.startGateway(ctx, toNull("keyed"))
		if err != nil {
			return err
		}
		kib, err := b.idleKiB(ctx, gateway, row)
		if err != nil {
			return err
		}
		if row.Streams == 1 { // a page or two this way or that: nothing to compare with
			beneath = 0
		}
		row.KiB.add(beneath, kib)
	}
	progress("idle: %5d streams, shared connection %-5t  KiB a stream: %s", row.Streams, row.Shared, &row.KiB)
	return nil
}

// idleKiB is what a stream adds to the server's memory. It ends the server.
func (b bench) idleKiB(ctx context.Context, s *server, row *idleRow) (kib float64, err error) {
	defer func() { err = errors.Join(err, s.end()) }()
	// Some streams that come and go first: what the first of all costs is not a stream's.
	warm, err := b.hold(ctx, s, 16, false)
	if err != nil {
		return 0, err
	}
	if err := warm.finish(); err != nil {
		return 0, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	before, _, err := residentMemory(s.pid())
	if err != nil {
		return 0, err
	}
	held, err := b.hold(ctx, s, row.Streams, row.Shared)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, held.finish()) }()
	if err := pause(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	after, _, err := residentMemory(s.pid())
	return float64(after-before) / float64(row.Streams) / 1024, err
}

// A holdOrder tells a holder which streams to keep open.
type holdOrder struct {
	Addr    string `json:"addr"`
	Streams int    `json:"streams"`
	Shared  bool   `json:"shared"`
}

// hold has a holder open streams and keep them until it is let go.
func (b bench) hold(ctx context.Context, s *server, streams int, shared bool) (*process, error) {
	p, err := b.role(ctx, roleHold, holdOrder{Addr: s.addr, Streams: streams, Shared: shared})
	if err != nil {
		return nil, err
	}
	var open int
	if err := p.answer(&open); err != nil {
		return nil, fmt.Errorf("holder: %w", err)
	}
	return p, nil
}

// opening is how many streams are being opened at a time.
const opening = 64

// beHolder is the holder's process.
func beHolder(ctx context.Context, text string) error {
	var order holdOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	connections := order.Streams
	if order.Shared {
		connections = 1
	}
	conns, err := connect(order.Addr, connections)
	if err != nil {
		return err
	}
	streams := make([]*loadStream, order.Streams)
	errs := make([]error, order.Streams)
	slots := make(chan struct{}, opening)
	var opened sync.WaitGroup
	for i := range streams {
		slots <- struct{}{}
		opened.Go(func() {
			streams[i], errs[i] = openStream(ctx, conns[i%len(conns)], "idle-"+strconv.Itoa(i))
			<-slots
		})
	}
	opened.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := reply(len(streams)); err != nil {
		return err
	}
	return dismissed()
}
