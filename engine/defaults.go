package engine

import (
	"cmp"
	"time"
)

// DefaultStreams is Limits.Streams unless it is given.
const DefaultStreams = 10_000

func (l Limits) withDefaults() Limits {
	l.Stream = cmp.Or(l.Stream, 8<<20)
	l.ResumeAt = cmp.Or(l.ResumeAt, 0.8)
	l.Ceiling = cmp.Or(l.Ceiling, 2*l.Stream)
	l.Engine = cmp.Or(l.Engine, 256<<20)
	l.Tenant = cmp.Or(l.Tenant, l.Engine)
	l.Streams = cmp.Or(l.Streams, DefaultStreams)
	l.MaxAppend = cmp.Or(l.MaxAppend, 1<<20)
	l.GatherBytes = cmp.Or(l.GatherBytes, 256<<10)
	l.GatherDelay = cmp.Or(l.GatherDelay, 50*time.Millisecond)
	return l
}

func (o OutputOptions) withDefaults(engineLimit int64, outputs int) OutputOptions {
	o.Retry.Base = cmp.Or(o.Retry.Base, 500*time.Millisecond)
	o.Retry.Cap = cmp.Or(o.Retry.Cap, 30*time.Second)
	o.FlushTimeout = cmp.Or(o.FlushTimeout, time.Minute)
	o.ParkLimit = cmp.Or(o.ParkLimit, 10*time.Minute)
	if o.Share == 0 {
		o.Share = engineLimit
		if outputs > 1 {
			o.Share = engineLimit / int64(outputs+1)
		}
	}
	return o
}
