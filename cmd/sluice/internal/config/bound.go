package config

import (
	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/sluicelog/sluice/engine"
)

// memoryShare is the part of the memory limit that the gateway may take: the rest is for what nobody counts. It is
// automemlimit's default.
const memoryShare = 0.9

const (
	// atRest is what the process takes before the first stream: the binary, the runtime and its metrics.
	atRest = 32 << 20
	// perStream is what an open stream takes by itself: 36 to 37 KiB with a connection of its own, in plaintext, as
	// bench/results has it.
	perStream = 40 << 10
	// minStreams is what it is at least: a gateway for fewer is of no use, and check warns.
	minStreams = 16
)

// Memory is the memory limit that this process sees, in bytes: the smaller of its cgroup's and the machine's. 0: neither is
// known.
func Memory() int64 {
	memory := int64(0)
	for _, provider := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if limit, err := provider(); err == nil && limit < 1<<62 && (memory == 0 || int64(limit) < memory) {
			memory = int64(limit)
		}
	}
	return memory
}

// EngineLimits are the engine's limits where the process may take so much memory, in bytes; 0: not known.
func (c *Config) EngineLimits(memory int64) engine.Limits {
	if memory <= 0 {
		memory = 1 << 30
	}
	l := engine.Limits{
		Stream:      int64(c.Limits.Stream.Memory),
		ResumeAt:    c.Limits.Stream.ResumeAt,
		Ceiling:     int64(c.Limits.Stream.Ceiling),
		Engine:      c.Limits.Engine.Memory.Of(memory),
		Streams:     c.Limits.Streams,
		MaxAppend:   int(c.Limits.MaxAppend),
		GatherBytes: int(c.Buffer.Gather.Size),
		GatherDelay: c.Buffer.Gather.Delay,
	}
	l.Tenant = c.Limits.Tenant.Memory.Of(l.Engine)
	if d := c.Buffer.Disk; d != nil {
		l.StoredStream = c.Limits.Stream.Storage.Of(int64(d.Storage))
		l.StoredTenant = c.Limits.Tenant.Storage.Of(int64(d.Storage))
	}
	if l.Streams == 0 {
		l.Streams = fitStreams(l, int64(c.Server.GRPC.StreamWindow), c.ReadBack(l), memory)
	}
	return l
}

// ReadBack is how much what is read back from a disk may take, in bytes, of all outputs together.
func (c *Config) ReadBack(l engine.Limits) int64 {
	if c.Buffer.Disk == nil {
		return 0
	}
	return c.Buffer.Disk.ReadBack.Of(l.Engine)
}

// Bound is the most memory that the gateway takes under these limits, in bytes: what it takes at rest, what the engine may
// hold, what is read back from a disk, and for each stream what it takes by itself and what gRPC may hold of it, which is a window
// and, because a stream's window grows to the message that is being read, one append.
func Bound(l engine.Limits, window, readBack int64) int64 {
	return atRest + l.Chunks() + l.Resources() + readBack + int64(l.Streams)*streamBound(l, window)
}

func streamBound(l engine.Limits, window int64) int64 { return perStream + window + int64(l.MaxAppend) }

// Available is how much of a memory limit Bound may come to.
func Available(memory int64) int64 { return int64(memoryShare * float64(memory)) }

// RuntimeLimit is Go's own memory limit, GOMEMLIMIT: 90 % of the process's less the engine's ceiling and what is read back, for
// chunks do not lie in Go's heap. A tenth of the process's is left to Go in any case. 0: the process's limit is not known.
func RuntimeLimit(l engine.Limits, readBack, memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	return max(Available(memory)-l.Chunks()-readBack, memory/10)
}

// fitStreams is how many streams there may be for Bound to be Available, from minStreams to the engine's own default.
func fitStreams(l engine.Limits, window, readBack, memory int64) int {
	l.Streams = 0
	left := Available(memory) - Bound(l, window, readBack)
	return int(min(max(left/streamBound(l, window), minStreams), engine.DefaultStreams))
}
