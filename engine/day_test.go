package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// Twenty-four hours of traffic with faults: outages, throttling, denied keys, panics, lost answers, slow writes, producers
// that break off, come back, start anew and go for good. Nothing is lost or comes twice but for what its output is to blame
// for, and at the end nothing is held and nothing is left behind.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batch := engine.BatchLimits{MaxRecords: 100, MaxBytes: 16 * kib, Linger: time.Second}
		w := newWorld(t, plan{
			outputs: []outputPlan{
				{scheduler: 3, keying: 1, slots: 8, batch: batch, letters: true},
				{scheduler: 0, keying: 2, batch: batch},
				{scheduler: 2, keying: 1, slots: 4, batch: batch, letters: true},
				{scheduler: 1, keying: 0, slots: 2, batch: batch, drops: true},
			},
			limits:    engine.Limits{Stream: 64 * kib, Engine: 2 * mib, Streams: 16, GatherBytes: 8 * kib},
			parkLimit: 10 * time.Minute,
			seed:      24,
		})
		d := &day{world: w, rng: rand.New(rand.NewPCG(24, 24))}
		for range 6 {
			d.hire()
		}
		start := time.Now()
		for hour := range 24 {
			d.retire(hour % 6)
			for time.Since(start) < time.Duration(hour+1)*time.Hour {
				d.traffic()
				d.weather()
				time.Sleep(time.Duration(1+d.rng.IntN(8)) * time.Second)
			}
			w.check()
			if t.Failed() {
				t.Fatalf("in hour %d", hour+1)
			}
		}
		sent := 0
		for _, p := range w.producers {
			sent += len(p.admitted)
		}
		if sent < 20_000 {
			t.Errorf("only %d records were admitted in a day", sent)
		}
		w.end(1, "k2")
		for _, out := range w.Stats().Outputs {
			if out.ParkedKeys > 0 || out.Waiting > 0 || out.InFlight > 0 {
				t.Errorf("left behind: %+v", out)
			}
			if out.Name != "letters" && (out.Attempts["retryable"] == 0 || out.Attempts["panic"] == 0 || out.Attempts["ok"] == 0) {
				t.Errorf("output %s had an easy day: %v", out.Name, out.Attempts)
			}
		}
	})
}

// A day is a world in which producers come and go.
type day struct {
	*world
	rng *rand.Rand

	working []*producer
	until   []time.Time // of each output's mood
}

func (d *day) hire() {
	n := len(d.producers)
	d.working = append(d.working, d.addProducer(fmt.Sprint("s-", n), []string{"all.x", "0.x", "1.x", "2.x"}[n%4]))
}

// retire has one producer finish, and another take its place.
func (d *day) retire(i int) {
	p := d.working[i]
	if p.session == nil {
		p.connect(false)
	}
	p.check()
	p.session.HalfClose()
	p.session.Close()
	p.session, p.retired = nil, true
	d.hire()
	d.working[i] = d.working[len(d.working)-1]
	d.working = d.working[:len(d.working)-1]
}

// traffic is what producers do.
func (d *day) traffic() {
	p := d.working[d.rng.IntN(len(d.working))]
	switch n := d.rng.IntN(200); {
	case n == 0:
		p.connect(true)
	case n < 4:
		p.connect(false)
	case n == 4 && p.session != nil:
		p.check()
		p.session.Close()
		p.session = nil
	default:
		p.send(1+d.rng.IntN(5), n%3, n%50 == 0)
		p.check()
	}
}

// weather is how the outputs feel: for most of the time well.
func (d *day) weather() {
	d.until = append(d.until, make([]time.Time, len(d.outputs)-len(d.until))...)
	for i, f := range d.outputs {
		if time.Now().Before(d.until[i]) {
			continue
		}
		var m mood
		switch d.rng.IntN(9) {
		case 0:
			m = mood{down: true}
		case 1:
			m = mood{throttle: 60}
		case 2:
			m = mood{denied: []string{f.key(origin{stream: d.working[0].id}), "k1"}[d.rng.IntN(2)]}
		case 3:
			m = mood{panicked: 30, garbage: 20}
		case 4:
			m = mood{fail: 20, partial: 20, lost: 20, slow: 5 * time.Second}
		case 5:
			m = mood{fail: 5, slow: 90 * time.Second}
		}
		f.feel(m)
		d.until[i] = time.Now().Add(time.Duration(1+d.rng.IntN(25)) * time.Minute)
	}
}
