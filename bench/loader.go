package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A loadOrder tells a loader what to do.
type loadOrder struct {
	Addr     string   `json:"addr"`
	Workload workload `json:"workload"`
	Acks     bool     `json:"acks"` // the server acks: all must be acked in the end
}

// A loadAnswer says what a loader did.
type loadAnswer struct {
	Seconds float64 `json:"seconds"` // from when all streams were open until all was acked
	CPU     float64 `json:"cpu"`     // seconds that it took itself
	Pauses  int     `json:"pauses"`
}

// load has a loader send a workload to a server. What it answers is the CPU time that the server took meanwhile, too.
func (b bench) load(ctx context.Context, s *server, w workload) (loadAnswer, time.Duration, error) {
	var a loadAnswer
	before, err := cpuTime(s.pid())
	if err != nil {
		return a, 0, err
	}
	p, err := b.role(ctx, roleLoad, loadOrder{Addr: s.addr, Workload: w, Acks: s.admin != ""})
	if err != nil {
		return a, 0, err
	}
	if err := p.answer(&a); err != nil {
		return a, 0, fmt.Errorf("loader: %w", err)
	}
	after, err := cpuTime(s.pid())
	return a, after - before, errors.Join(err, p.finish())
}

// beLoader is the loader's process.
func beLoader(ctx context.Context, text string) error {
	var order loadOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	w := order.Workload
	appends, err := w.template()
	if err != nil {
		return err
	}
	conns, err := connect(order.Addr, w.Connections)
	if err != nil {
		return err
	}
	streams := make([]*loadStream, w.Streams)
	for i := range streams {
		if streams[i], err = openStream(ctx, conns[i%len(conns)], "load-"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	start := time.Now()
	var running sync.WaitGroup
	errs := make([]error, len(streams))
	for i, s := range streams {
		running.Go(func() { errs[i] = s.run(&w, appends, order.Acks) })
	}
	running.Wait()
	answer := loadAnswer{Seconds: time.Since(start).Seconds()}
	for _, s := range streams {
		answer.Pauses += s.pauses
	}
	own, err := cpuTime(os.Getpid())
	answer.CPU = own.Seconds()
	if err := errors.Join(err, errors.Join(errs...)); err != nil {
		return err
	}
	return reply(answer)
}

// connect makes connections that are apart even though they go to one address.
func connect(addr string, n int) ([]*grpc.ClientConn, error) {
	conns := make([]*grpc.ClientConn, n)
	for i := range conns {
		var err error
		conns[i], err = grpc.NewClient("passthrough:///"+addr,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newFraming())),
		)
		if err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// A loadStream sends as fast as HTTP/2 lets it, but for when the gateway has paused it.
type loadStream struct {
	rpc grpc.ClientStream

	mu     sync.Mutex // guards what follows
	turned sync.Cond
	paused bool
	over   bool
	pauses int
	acked  uint64
}

// openStream opens a stream and waits for the first answer. A gateway that knows the stream goes on with a new epoch.
func openStream(ctx context.Context, conn *grpc.ClientConn, id string) (*loadStream, error) {
	desc := &sluicev1.IngestService_ServiceDesc.Streams[0]
	rpc, err := conn.NewStream(ctx, desc, sluicev1.IngestService_StreamLogs_FullMethodName, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", id, err)
	}
	s := &loadStream{rpc: rpc}
	s.turned.L = &s.mu
	open := &sluicev1.Open{StreamId: id, Tag: "bench", Epoch: uint64(time.Now().UnixNano())}
	if err := rpc.SendMsg(&sluicev1.StreamLogsRequest{Request: &sluicev1.StreamLogsRequest_Open{Open: open}}); err != nil {
		return nil, fmt.Errorf("open %s: %w", id, errors.Join(err, rpc.RecvMsg(new(sluicev1.StreamLogsResponse))))
	}
	if err := rpc.RecvMsg(new(sluicev1.StreamLogsResponse)); err != nil {
		return nil, fmt.Errorf("open %s: %w", id, err)
	}
	return s, nil
}

// run sends all appends and waits until the server has ended the stream, and acked all where it acks.
func (s *loadStream) run(w *workload, appends *template, acks bool) error {
	received := make(chan error, 1)
	go func() { received <- s.listen() }()
	last := w.perStream()
	for first := uint64(1); first <= last && s.mayGo(); first += uint64(w.Append) {
		if s.rpc.SendMsg(&frame{first: first, records: appends.at(first)}) != nil {
			break // the receiver gets to know why
		}
	}
	if err := s.rpc.CloseSend(); err != nil {
		return err
	}
	if err := <-received; err != nil {
		return err
	}
	if acks && s.acked != last {
		return fmt.Errorf("acked %d of %d", s.acked, last)
	}
	return nil
}

// mayGo waits while the stream is paused, and tells whether there is anybody to send to.
func (s *loadStream) mayGo() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.paused && !s.over {
		s.turned.Wait()
	}
	return !s.over
}

// listen takes statuses until the stream has ended.
func (s *loadStream) listen() error {
	response := new(sluicev1.StreamLogsResponse)
	for {
		err := s.rpc.RecvMsg(response)
		s.mu.Lock()
		if st := response.GetStatus(); err == nil {
			paused := st.GetState() == sluicev1.State_STATE_PAUSED
			if paused && !s.paused {
				s.pauses++
			}
			s.paused, s.acked = paused, st.GetAckedSequence()
			if len(st.GetRejections()) > 0 {
				err = fmt.Errorf("rejected: %v", st.GetRejections())
			}
		}
		s.over = err != nil
		s.turned.Signal()
		s.mu.Unlock()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
