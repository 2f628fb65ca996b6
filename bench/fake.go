package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// Where in the fake records are put.
const (
	putRegion   = "eu-west-1"
	putLogGroup = "bench"
)

// A fakeOrder tells a fake of CloudWatch Logs how it is reached, and which streams exist from the start.
type fakeOrder struct {
	TLS     bool          `json:"tls"`
	Latency time.Duration `json:"latency"`
	Streams []string      `json:"streams"`
}

// A fakeAnswer says where the fake is, and whom to trust there.
type fakeAnswer struct {
	URL string `json:"url"`
	CA  string `json:"ca"` // PEM
}

// A tallyOrder asks for what came since the last one, and of which records of a run.
type tallyOrder struct {
	Run string `json:"run"`
}

// A putTally is what came to the fake.
type putTally struct {
	Calls       int64         `json:"calls"`
	Events      int64         `json:"events"`
	Bytes       int64         `json:"bytes"` // as AWS counts
	Wire        int64         `json:"wire"`  // of bodies, as sent
	Connections int64         `json:"connections"`
	Flight      time.Duration `json:"flight"` // of all calls together
	Busy        time.Duration `json:"busy"`   // with a call in flight

	// The part of the time between the first call and the last in which one was in flight.
	BusyPart float64 `json:"busy_part"`

	Arrived    int64 `json:"arrived"` // records of the run, duplicates included
	Reordered  int64 `json:"reordered"`
	Duplicates int64 `json:"duplicates"`
}

// A fake is the server with what it said the last time.
type fake struct {
	server *cwfake.Server
	span   putSpan
	last   cwfake.Stats
}

// newFake makes a fake in which the order's streams exist. It serves nothing yet.
func newFake(order fakeOrder) (*fake, error) {
	f := &fake{}
	f.server = cwfake.New(cwfake.Options{
		Regions: []string{putRegion}, Latency: order.Latency, CountOnly: true, Sequence: readNumber,
		Fault: func(c cwfake.Call) cwfake.Fault { // there is none: it is where calls pass
			if c.Operation == cwfake.PutLogEvents {
				f.span.note(time.Now(), f.server.Stats().Busy)
			}
			return cwfake.Fault{}
		},
	})
	for _, stream := range order.Streams {
		if err := f.server.CreateStream(cwfake.Target{Region: putRegion, Group: putLogGroup, Stream: stream}); err != nil {
			return nil, errors.Join(err, f.server.Close())
		}
	}
	return f, nil
}

// start has the fake listen.
func (f *fake) start(ctx context.Context, secure bool) (fakeAnswer, error) {
	lis, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fakeAnswer{}, err
	}
	if secure {
		lis = f.server.TLS(lis)
	}
	return fakeAnswer{URL: f.server.Start(lis), CA: string(f.server.CertPEM())}, nil
}

// beFake is the fake's process. It answers orders for tallies until it is let go.
func beFake(ctx context.Context, text string) error {
	var order fakeOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	f, err := newFake(order)
	if err != nil {
		return err
	}
	answer, err := f.start(ctx, order.TLS)
	if err == nil {
		err = reply(answer)
	}
	if err == nil {
		err = obey(f.tally)
	}
	return errors.Join(err, f.server.Close())
}

// tally gives what came since it was last asked.
func (f *fake) tally(order tallyOrder) (putTally, error) {
	now, was := f.server.Stats(), f.last
	f.last = now
	t := putTally{
		Calls: now.Puts - was.Puts, Events: now.Events - was.Events, Bytes: now.Bytes - was.Bytes, Wire: now.Wire - was.Wire,
		Connections: now.Connections - was.Connections,
		Flight:      now.Flight - was.Flight, Busy: now.Busy - was.Busy, BusyPart: f.span.take(),
	}
	for _, target := range f.server.Targets() {
		for _, s := range f.server.Order(target).Sources {
			if s.Name == order.Run {
				t.Arrived += s.Events
				t.Reordered += s.Reordered
				t.Duplicates += s.Duplicates
			}
		}
	}
	return t, nil
}

// A putSpan knows how busy a server was from one of its calls to a later one. It is safe for concurrent use.
type putSpan struct {
	mu          sync.Mutex // guards what follows
	first, last time.Time
	from, to    time.Duration // in which a call was in flight, by then
}

// note notes a call at a time, up to which the server was busy so long.
func (s *putSpan) note(at time.Time, busy time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first, s.from = at, busy
	}
	if at.After(s.last) {
		s.last, s.to = at, busy
	}
}

// take gives the part of the time that was busy, and begins anew.
func (s *putSpan) take() (part float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.last.Sub(s.first); d > 0 {
		part = float64(s.to-s.from) / float64(d)
	}
	s.first, s.last = time.Time{}, time.Time{}
	return part
}
