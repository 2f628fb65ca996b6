package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A destination is what an http output posts to. It can be down, and checks what it is given.
type destination struct {
	url    string
	server http.Server
	served chan error

	mu      sync.Mutex // guards what follows
	down    bool
	refused int
	streams map[string]*arrivals
	wrong   int      // records that are not what was to come next
	faults  []string // the first of them
}

// arrivals are what came of one stream.
type arrivals struct {
	last    uint64 // the highest number
	records uint64
}

// A delivery is a record as the http output writes it.
type delivery struct {
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Body     string `json:"body"`
}

// numberSize is how many digits a record's body begins with: its number in its stream, from 1, by its producer's count.
const numberSize = 10

func newDestination(lis net.Listener) *destination {
	d := &destination{
		url:     "http://" + lis.Addr().String(),
		served:  make(chan error, 1),
		streams: map[string]*arrivals{},
	}
	d.server.Handler = d
	d.server.ReadHeaderTimeout = time.Minute
	go func() { d.served <- d.server.Serve(lis) }()
	return d
}

func (d *destination) close() error {
	err := d.server.Close()
	if served := <-d.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// setDown says whether requests are refused from now on: with a 503 or, every other one, by hanging up.
func (d *destination) setDown(down bool) {
	d.mu.Lock()
	d.down = down
	d.mu.Unlock()
}

// ServeHTTP implements http.Handler.
func (d *destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	down := d.down
	if down {
		d.refused++
	}
	hangUp := d.refused%2 == 0
	d.mu.Unlock()
	switch {
	case down && hangUp:
		panic(http.ErrAbortHandler)
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var batch []delivery
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		var one delivery
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			d.fault("not JSON: %v", err)
			continue
		}
		batch = append(batch, one)
	}
	if lines.Err() != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.take(batch)
}

// take checks that every record is the one after the last of its stream.
func (d *destination) take(batch []delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batch {
		one := &batch[i]
		s := d.streams[one.Stream]
		if s == nil {
			s = &arrivals{}
			d.streams[one.Stream] = s
		}
		number, err := strconv.ParseUint(strings.TrimLeft(one.Body[:min(numberSize, len(one.Body))], "0"), 10, 64)
		if err != nil || number != s.last+1 || one.Sequence != number {
			d.faultLocked("stream %s: record %d with sequence %d came after %d", one.Stream, number, one.Sequence, s.last)
		}
		s.records++
		s.last = max(s.last, number)
	}
}

func (d *destination) fault(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faultLocked(format, args...)
}

func (d *destination) faultLocked(format string, args ...any) {
	if d.wrong++; len(d.faults) < 5 {
		d.faults = append(d.faults, fmt.Sprintf(format, args...))
	}
}

// A tally is what arrived.
type tally struct {
	Records uint64
	Refused int // requests
	Wrong   int
	Faults  []string
}

func (d *destination) tally() tally {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := tally{Refused: d.refused, Wrong: d.wrong, Faults: d.faults}
	for _, s := range d.streams {
		t.Records += s.records
	}
	return t
}
