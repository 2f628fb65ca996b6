package schedule_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicelog/sluice/engine/schedule"
)

// usual is how long a Write takes in these tests where nothing is the matter.
const usual = 20 * time.Millisecond

// land tells the limit of n landings.
func land(a schedule.Limit, n int, l schedule.Landing) {
	for range n {
		a.Landed(l)
	}
}

// busy is a landing of a limit that binds.
var busy = schedule.Landing{Latency: usual, Bound: true}

func TestAdaptiveDoublesUntilItsMaximum(t *testing.T) {
	a := schedule.NewAdaptive(1, 20)
	for _, want := range []int{1, 2, 4, 8, 16, 20, 20} {
		if got := a.Now(); got != want {
			t.Fatalf("%d may fly, want %d", got, want)
		}
		land(a, a.Now(), busy)
	}
}

func TestAdaptiveBounds(t *testing.T) {
	for _, c := range []struct{ min, max, low, high int }{
		{1, 8, 1, 8}, {0, 8, 1, 8}, {-1, -1, 1, 1}, {4, 8, 4, 8}, {4, 2, 4, 4},
	} {
		a := schedule.NewAdaptive(c.min, c.max)
		if got := a.Now(); got != c.low {
			t.Errorf("NewAdaptive(%d, %d) starts at %d, want %d", c.min, c.max, got, c.low)
		}
		land(a, 100, busy)
		if got := a.Now(); got != c.high {
			t.Errorf("NewAdaptive(%d, %d) rises to %d, want %d", c.min, c.max, got, c.high)
		}
		land(a, 100, schedule.Landing{Pushback: true})
		if got := a.Now(); got != c.low {
			t.Errorf("NewAdaptive(%d, %d) falls to %d, want %d", c.min, c.max, got, c.low)
		}
	}
}

func TestAdaptiveAfterPushback(t *testing.T) {
	a := schedule.NewAdaptive(1, 1000)
	land(a, 1+2+4+8+16+32, busy)
	steps := []struct {
		what    string
		landing schedule.Landing
		n, want int
	}{
		{"the first push-back takes the last doubling", schedule.Landing{Pushback: true, Flying: 63}, 1, 32},
		{"what flew then says nothing new", schedule.Landing{Pushback: true}, 63, 32},
		{"then it adds one a round", busy, 32, 33},
		{"and another", busy, 33, 34},
		{"but not in part of a round", busy, 33, 34},
		{"a later push-back leaves 0.7", schedule.Landing{Pushback: true}, 1, 23},
		{"failures say nothing", schedule.Landing{Failed: true, Bound: true}, 1000, 23},
		{"nor do flights where the limit does not bind", schedule.Landing{Latency: usual}, 1000, 23},
	}
	for _, s := range steps {
		land(a, s.n, s.landing)
		if got := a.Now(); got != s.want {
			t.Fatalf("%s: %d may fly, want %d", s.what, got, s.want)
		}
	}
}

func TestAdaptiveLatency(t *testing.T) {
	risen := func() *schedule.Adaptive {
		a := schedule.NewAdaptive(1, 64)
		land(a, 1+2+4+8+16+32+4*64, busy)
		return a
	}
	slow := schedule.Landing{Latency: 4 * usual, Bound: true}

	t.Run("a rise in latency lowers it", func(t *testing.T) {
		a := risen()
		for n := 0; n < 2*64 && a.Now() == 64; n++ {
			land(a, 1, slow)
		}
		if got := a.Now(); got != 32 {
			t.Errorf("%d may fly, want 32", got)
		}
	})
	t.Run("lasting slowness lowers it once", func(t *testing.T) {
		a := risen()
		land(a, 5000, slow)
		if got := a.Now(); got != 64 {
			t.Errorf("%d may fly, want 64 again", got)
		}
	})
	t.Run("one late answer is no rise", func(t *testing.T) {
		a := risen()
		for range 100 {
			a.Landed(schedule.Landing{Latency: 100 * usual, Bound: true})
			land(a, 63, busy)
		}
		if got := a.Now(); got != 64 {
			t.Errorf("%d may fly, want 64", got)
		}
	})
	t.Run("slow answers do not count where it does not bind", func(t *testing.T) {
		a := risen()
		land(a, 1000, schedule.Landing{Latency: 4 * usual})
		if got := a.Now(); got != 64 {
			t.Errorf("%d may fly, want 64", got)
		}
	})
}

// A destination is one that is always asked for as much as the limit allows.
type destination struct {
	capacity  int     // batches at once, before it does what queues says
	queues    bool    // the others wait, so all take longer; else they are throttled
	deviation float64 // of the logarithm of the latency
	slower    float64 // after a third of the time all takes so many times longer; 0: no
}

// deliver is how many batches get through in a minute, and how many might fly at the end.
func (d destination) deliver(limit schedule.Limit) (delivered, last int) {
	type flight struct{ left, lands float64 }
	random := rand.New(rand.NewPCG(1, 2))
	var flights []flight
	for now := 0.0; now < 60; {
		for len(flights) < limit.Now() {
			latency := usual.Seconds() * math.Exp(random.NormFloat64()*d.deviation)
			if d.slower > 0 && now > 20 {
				latency *= d.slower
			}
			if d.queues {
				latency *= max(1, float64(len(flights)+1)/float64(d.capacity))
			}
			flights = append(flights, flight{now, now + latency})
		}
		first := 0
		for i := range flights {
			if flights[i].lands < flights[first].lands {
				first = i
			}
		}
		f := flights[first]
		flights[first] = flights[len(flights)-1]
		flights = flights[:len(flights)-1]
		now = f.lands
		throttled := !d.queues && len(flights) >= d.capacity
		if !throttled {
			delivered++
		}
		limit.Landed(schedule.Landing{
			Latency:  time.Duration((f.lands - f.left) * float64(time.Second)),
			Pushback: throttled,
			Bound:    true,
			Flying:   len(flights),
		})
	}
	return delivered, limit.Now()
}

func TestAdaptiveFindsWhatADestinationTakes(t *testing.T) {
	for _, c := range []struct {
		name string
		destination
		low, high int     // where it may be at the end
		share     float64 // of what the best fixed limit delivers, at least
	}{
		{"takes all", destination{capacity: 1000}, 64, 64, 0.99},
		{"takes all, unsteadily", destination{capacity: 1000, deviation: 0.5}, 64, 64, 0.99},
		{"takes all, wildly", destination{capacity: 1000, deviation: 1}, 40, 64, 0.9},
		{"throttles", destination{capacity: 20, deviation: 0.3}, 10, 20, 0.8},
		{"throttles all but one", destination{capacity: 1, deviation: 0.3}, 1, 2, 0.5},
		{"queues", destination{capacity: 8, queues: true}, 8, 64, 0.98},
		{"queues, unsteadily", destination{capacity: 8, queues: true, deviation: 0.5}, 8, 64, 0.95},
		{"becomes slower", destination{capacity: 1000, deviation: 0.3, slower: 10}, 64, 64, 0.95},
	} {
		t.Run(c.name, func(t *testing.T) {
			best, _ := c.deliver(schedule.Fixed(min(c.capacity, 64)))
			got, last := c.deliver(schedule.NewAdaptive(1, 64))
			if last < c.low || last > c.high {
				t.Errorf("%d may fly at the end, want %d to %d", last, c.low, c.high)
			}
			if share := float64(got) / float64(best); share < c.share {
				t.Errorf("delivered %d of %d, %.2f, want %.2f", got, best, share, c.share)
			}
		})
	}
}
