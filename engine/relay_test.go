package engine_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// A relay has the Writes of a probe prepare, wait for their turn, send and wait for the answer, and notes when they did.
type relay struct {
	probe
	prepare, flight time.Duration
	quiet           bool   // it does not say that a batch is sent
	then            answer // after the flight; nil takes everything

	notes sync.Mutex // guards what follows
	legs  []*leg
}

// A leg is one Write.
type leg struct {
	key, bodies       string // the first and the last number of its records
	attempt           int    // 0: it never had its turn
	began, went, over time.Time
	err               error
}

// newRelay is a relay that takes a second to prepare, and five to send, all of whose records have a key of their stream's.
func newRelay(then answer) *relay {
	y := &relay{prepare: time.Second, flight: 5 * time.Second, then: then}
	y.key = byStream
	y.answer = y.run
	return y
}

// run is the relay's answer.
func (y *relay) run(ctx context.Context, b *engine.Batch) (err error) {
	l := y.begin(b)
	defer func() { y.end(l, err) }()
	time.Sleep(y.prepare)
	ctx, end, err := b.Turn(ctx)
	if err != nil {
		return engine.Retryable(err)
	}
	defer end()
	y.depart(l, b)
	if !y.quiet {
		b.Sent()
	}
	time.Sleep(y.flight)
	if y.then == nil {
		return nil
	}
	return y.then(ctx, b)
}

func (y *relay) begin(b *engine.Batch) *leg {
	all := bodiesIn(b)
	number := func(body string) string { return body[strings.LastIndex(body, "-")+1:] }
	y.notes.Lock()
	defer y.notes.Unlock()
	l := &leg{key: b.Key, bodies: number(all[0]) + "-" + number(all[len(all)-1]), began: time.Now()}
	y.legs = append(y.legs, l)
	return l
}

func (y *relay) depart(l *leg, b *engine.Batch) {
	y.notes.Lock()
	defer y.notes.Unlock()
	l.went, l.attempt = time.Now(), b.Attempt
}

func (y *relay) end(l *leg, err error) {
	y.notes.Lock()
	defer y.notes.Unlock()
	l.over, l.err = time.Now(), err
}

// all are the legs so far, in the order in which they began.
func (y *relay) all() []leg {
	y.notes.Lock()
	defer y.notes.Unlock()
	var all []leg
	for _, l := range y.legs {
		all = append(all, *l)
	}
	return all
}

// flown are those that had their turn, in that order.
func (y *relay) flown() []leg {
	flown := slices.DeleteFunc(y.all(), func(l leg) bool { return l.attempt == 0 })
	slices.SortStableFunc(flown, func(a, b leg) int { return cmp.Or(a.went.Compare(b.went), strings.Compare(a.key, b.key)) })
	return flown
}

// calledOff are those that never had their turn.
func (y *relay) calledOff() []leg {
	return slices.DeleteFunc(y.all(), func(l leg) bool { return l.attempt > 0 })
}

// wantFlown checks which batches had their turn, in order, each as "first-last/attempt".
func (y *relay) wantFlown(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, l := range y.flown() {
		got = append(got, fmt.Sprint(l.bodies, "/", l.attempt))
	}
	if !slices.Equal(got, want) {
		t.Errorf("flown %v, want %v", got, want)
	}
}

// wantCalledOff checks which batches stood by for nothing.
func (y *relay) wantCalledOff(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, l := range y.calledOff() {
		got = append(got, l.bodies)
		if l.err == nil {
			t.Errorf("%s was called off, and had no error", l.bodies)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("called off %v, want %v", got, want)
	}
}

// wantAlone checks that at no time there were more batches between their turn and their return than slots, nor two of a key.
func (y *relay) wantAlone(t testing.TB, slots int) {
	t.Helper()
	for _, l := range y.flown() {
		now, ofKey := 0, 0
		for _, m := range y.flown() {
			if !m.went.After(l.went) && m.over.After(l.went) {
				now++
				if m.key == l.key {
					ofKey++
				}
			}
		}
		if now > slots || ofKey > 1 {
			t.Errorf("with %s of %q %d batches fly, %d of its key", l.bodies, l.key, now, ofKey)
		}
	}
}

// tens are limits of ten records a batch.
func tens() engine.BatchLimits { return engine.BatchLimits{MaxRecords: 10} }

// tenEach is an output that gets ten records at a time.
func tenEach(y *relay, s engine.Scheduler) engine.OutputOptions {
	return engine.OutputOptions{Name: "out", Output: y, Scheduler: s}
}

// ordered are the schedulers with order, by name.
func ordered(slots int) map[string]func() engine.Scheduler {
	return map[string]func() engine.Scheduler{
		"sync":  func() engine.Scheduler { return schedule.NewSync(tens()) },
		"keyed": func() engine.Scheduler { return schedule.NewKeyed(tens(), schedule.Fixed(slots)) },
	}
}
