package null

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func newOutput(t testing.TB, o Options) *Output {
	t.Helper()
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConformance(t *testing.T) {
	enginetest.TestOutput(t, func(t *testing.T) enginetest.OutputFixture {
		return enginetest.OutputFixture{Output: newOutput(t, Options{})}
	})
}

func batch() *engine.Batch {
	return engine.NewBatch(engine.Span{Records: engine.SelectRange(0, 10), Bytes: 1000})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutput(t, Options{Delay: time.Second})
		begun := time.Now()
		if err := o.Write(t.Context(), batch()); err != nil || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := o.Write(ctx, batch()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended: %v", err)
		}
	})
}

func TestFailuresRepeat(t *testing.T) {
	failures := func(seed uint64) (s string) {
		o := newOutput(t, Options{FailureRate: 0.3, Seed: seed})
		for range 1000 {
			switch err := o.Write(t.Context(), batch()); {
			case err == nil:
				s += "."
			case engine.AsWriteError(err).Kind == engine.KindRetryable:
				s += "x"
			default:
				t.Fatal(err)
			}
		}
		return s
	}
	one := failures(1)
	if one != failures(1) || one == failures(2) {
		t.Error("the seed does not make the failures")
	}
	if n := strings.Count(one, "x"); n < 240 || n > 360 {
		t.Errorf("%d of 1000 fail, want about 300", n)
	}
}

func TestKeyIsTheStream(t *testing.T) {
	o := newOutput(t, Options{})
	key := func(tenant, id string) string {
		return string(o.AppendKey(nil, &engine.Chunk{Stream: &engine.Stream{Tenant: tenant, ID: id}}, engine.Record{}))
	}
	if key("a", "s") == key("b", "s") || key("a", "s") == key("a", "r") {
		t.Error("streams share keys")
	}
}

func TestOptionsAreAllChecked(t *testing.T) {
	for _, rate := range []float64{-0.1, 1.1, math.NaN()} {
		_, err := New(Options{Delay: -1, FailureRate: rate})
		if err == nil || !strings.Contains(err.Error(), "delay:") || !strings.Contains(err.Error(), "failure_rate:") {
			t.Errorf("rate %v: %v", rate, err)
		}
	}
}
