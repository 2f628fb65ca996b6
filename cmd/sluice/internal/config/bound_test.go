package config_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
)

func TestBound(t *testing.T) {
	const mib = 1 << 20
	l := engine.Limits{Engine: 64 * mib, Streams: 100, MaxAppend: 1 * mib}
	if got, want := config.Bound(l, mib/4, 0), int64((32+80+8+125)*mib+100*40<<10); got != want {
		t.Errorf("bound = %d, want %d: 32 MiB at rest, 1.25 and 1/8 x 64 MiB, 100 x 1.25 MiB and 40 KiB", got, want)
	}
}

// What the defaults come to fits the memory limit, wherever it is large enough for a gateway at all.
func TestDefaultsFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.Int64Range(128<<20, 1<<42).Draw(t, "memory")
		c := config.Default()
		l := c.EngineLimits(memory)
		window := int64(c.Server.GRPC.StreamWindow)
		if bound := config.Bound(l, window, 0); bound > config.Available(memory) {
			t.Fatalf("bound %d of %d streams, available %d", bound, l.Streams, config.Available(memory))
		}
		more := l
		more.Streams++
		if l.Streams < 10_000 && config.Bound(more, window, 0) <= config.Available(memory) {
			t.Fatalf("%d streams, and one more fits", l.Streams)
		}
		if l.Engine != memory/4 || l.Tenant != l.Engine {
			t.Fatalf("engine %d, tenant %d of %d", l.Engine, l.Tenant, memory)
		}
	})
}

func TestMemoryIsKnownHere(t *testing.T) {
	if m := config.Memory(); m < 1<<20 {
		t.Errorf("memory limit %d", m)
	}
}
