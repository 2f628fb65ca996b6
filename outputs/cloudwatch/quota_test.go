package cloudwatch

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// grants is how many tokens a bucket gives in a while to many who want them.
func grants(t testing.TB, b *bucket, in time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), in)
	defer cancel()
	n := 0
	for b.take(ctx) == nil {
		n++
	}
	<-ctx.Done()
	return n
}

func TestBucketAdapts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(600)
		within := func(what string, got, low, high int) {
			t.Helper()
			if got < low || got > high {
				t.Errorf("%s: %d, want %d to %d", what, got, low, high)
			}
		}
		within("at first", grants(t, b, 10*time.Second), 6000, 6061)
		b.slow(time.Now())
		b.slow(time.Now()) // of the same moment
		within("throttled once", grants(t, b, 10*time.Second), 3000, 3100)
		time.Sleep(5 * time.Minute)
		b.count(time.Now())
		within("after five minutes", grants(t, b, time.Second), 590, 661)
		for range 30 {
			b.slow(time.Now())
			time.Sleep(time.Second)
		}
		within("at the floor", grants(t, b, 4*time.Second), 3, 20)
		time.Sleep(10 * time.Minute)
		b.count(time.Now())
		within("all of it again", grants(t, b, 10*time.Second), 6000, 6061)
	})
}

// A throttle halves what was really asked for, not a quota that was never reached.
func TestBucketHalvesWhatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(5000)
		for range 300 {
			must(t, b.take(t.Context()))
			time.Sleep(10 * time.Millisecond)
		}
		b.slow(time.Now())
		if b.limit < 45 || b.limit > 55 {
			t.Errorf("limit %v after 100 puts a second", b.limit)
		}
	})
}

// Who waits is served in order of arrival: one target that asks for much does not hold up the others.
func TestBucketIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(10)
		var mu sync.Mutex
		got := map[string]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			all.Go(func() {
				for b.take(ctx) == nil {
					mu.Lock()
					got[name]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for name, n := range got {
			if n < 240 || n > 260 {
				t.Errorf("%s got %d of 1000", name, n)
			}
		}
	})
}

// Outputs that share quotas share the bucket of one account and region.
func TestQuotasAreShared(t *testing.T) {
	environment(t)
	q := NewQuotas()
	role := AssumeRole{ARN: "arn:aws:iam::999999999999:role/r"}
	one := newOutput(t, Options{Quotas: q}).region("eu-west-1").bucket
	for name, x := range map[string]struct {
		o      Options
		region string
		same   bool
	}{
		"the same":        {Options{Quotas: q, PutsPerSecond: 7}, "eu-west-1", true},
		"another region":  {Options{Quotas: q}, "eu-west-2", false},
		"another account": {Options{Quotas: q, AssumeRole: role}, "eu-west-1", false},
		"not shared":      {Options{}, "eu-west-1", false},
	} {
		if got := newOutput(t, x.o).region(x.region).bucket == one; got != x.same {
			t.Errorf("%s: shared %v", name, got)
		}
	}
}

// A throttle is told to the engine, and slows the region down; what it can take in the time it is given goes through.
func TestThrottle(t *testing.T) {
	environment(t)
	synctest.Test(t, func(t *testing.T) {
		s, o := piped(t, cwfake.Options{}, Options{})
		must(t, o.Write(t.Context(), bodies(o, "one")))
		s.Queue(cwfake.PutLogEvents, cwfake.Throttle())
		wantKind(t, o.Write(t.Context(), bodies(o, "two")), engine.KindThrottled, "")
		if limit := o.region(testRegion).bucket.limit; limit > 2 {
			t.Errorf("limit %v after few puts and a throttle", limit)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for range 5 {
			if err := o.Write(ctx, bodies(o, "x")); err != nil {
				wantKind(t, err, engine.KindRetryable, "")
			}
		}
	})
}

// Any number of regions, as a template may make them up, takes no more than so much.
func TestRegionsAreBounded(t *testing.T) {
	environment(t)
	o := newOutput(t, Options{})
	first := o.region("r0")
	for i := range 3 * maxRegions {
		o.region("r" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		o.region("r0")
	}
	if n := o.regions.order.Len(); n != maxRegions || len(o.regions.known) != n {
		t.Errorf("%d regions are kept", n)
	}
	if o.region("r0") != first {
		t.Error("a region that is in use was forgotten")
	}
}

// Of outputs that share a bucket the smallest wish counts, whoever puts first.
func TestSmallestQuotaCounts(t *testing.T) {
	environment(t)
	q := NewQuotas()
	large := newOutput(t, Options{Quotas: q, PutsPerSecond: 100})
	small := newOutput(t, Options{Quotas: q, PutsPerSecond: 7})
	if quota := large.region(testRegion).bucket.quota; quota != 7 {
		t.Errorf("quota %v, want the smaller one", quota)
	}
	smallest := newOutput(t, Options{Quotas: q, PutsPerSecond: 3})
	b := smallest.region(testRegion).bucket
	if b != small.region(testRegion).bucket || b.quota != 3 || b.limit != 3 {
		t.Errorf("quota %v, limit %v, want what came last and is least", b.quota, b.limit)
	}
}

// Who waited while the rate was low is served before whoever comes when it is high again, and all of them by the rate that
// there is.
func TestBucketServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(100)
		for range 11 {
			must(t, b.take(t.Context()))
		}
		set := func(limit float64) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.limit = limit
			b.apply(time.Now())
		}
		set(1)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		arrive := func(i int) {
			all.Go(func() {
				if err := b.take(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait()
		}
		for i := range 20 {
			arrive(i)
		}
		time.Sleep(1500 * time.Millisecond)
		set(100)
		start := time.Now()
		for i := range 20 {
			arrive(20 + i)
		}
		all.Wait()
		if !slices.IsSorted(order) || len(order) != 40 {
			t.Errorf("served in the order %v", order)
		}
		if took := time.Since(start); took > 2*time.Second || took < 250*time.Millisecond {
			t.Errorf("it took %v for 39 at 100 a second, one of whom waits for his second to end", took)
		}
	})
}
