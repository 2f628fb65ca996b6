package main

import (
	"context"
	"fmt"
	"time"
)

// rest is a quiet phase: all goes well until what was sent before is delivered, and some time longer, in which the gateway's
// usage is taken.
func (t *trial) rest(ctx context.Context) {
	if !t.goesOn(ctx) {
		return
	}
	t.enter("quiet")
	t.cloud.SetFault(nil)
	marks := t.marks()
	if !t.catchUp(ctx, marks) {
		return
	}
	var seen []usage
	length := max(minRest, around(t.random, t.unit))
	for start := time.Now(); t.goesOn(ctx) && time.Since(start) < length; {
		t.look(ctx)
		if time.Since(start) < length/2 {
			continue
		}
		if u, err := t.gateway.usage(ctx); err == nil { // where it is not answered, it is in the next look
			seen = append(seen, u)
		}
	}
	if !t.goesOn(ctx) {
		return
	}
	t.settle(marks)
	t.note(seen)
}

// settle says what of the marks, all acked, has not come.
func (t *trial) settle(marks []sent) {
	lost := t.losses(marks)
	t.mu.Lock()
	t.lost = lost
	t.mu.Unlock()
}

// note notes the usage of a quiet phase. The first is what the gateway started with; no fault had been there.
func (t *trial) note(seen []usage) {
	if len(seen) == 0 {
		return
	}
	t.mu.Lock()
	t.now = median(seen)
	t.most = greatest(append(seen, t.most)...)
	if t.quiet++; t.quiet == 1 {
		t.start = t.now
	} else {
		t.history.add(t.now)
	}
	grown := t.history.growth()
	t.mu.Unlock()
	for _, fault := range grown {
		t.fail(fault)
	}
}

// catchUp waits until the gateway has acked all that was sent before, and something sent since, by each producer. It fails
// the gateway where nothing more of a producer is acked for so long.
func (t *trial) catchUp(ctx context.Context, marks []sent) bool {
	acked, moved := make([]uint64, len(marks)), make([]time.Time, len(marks))
	for i := range moved {
		moved[i] = time.Now()
	}
	for t.goesOn(ctx) {
		behind := false
		for i, p := range t.producers {
			st := p.stream.Stats()
			if st.Acked > acked[i] {
				acked[i], moved[i] = st.Acked, time.Now()
			}
			behind = behind || st.Acked <= marks[i].total
			if still := time.Since(moved[i]); st.Acked <= marks[i].total && still > patience {
				t.fail(fmt.Sprintf("no progress of %s for %s of quiet: %d records sent, %d acked, %s", p.name,
					still.Round(time.Second), p.mark().total, st.Acked, st.State))
				t.tell("%s: its goroutines:\n%s", t.name, t.gateway.stacks(ctx))
				return false
			}
		}
		if !behind {
			return true
		}
		t.look(ctx)
	}
	return false
}

// marks are what the producers have sent.
func (t *trial) marks() []sent {
	marks := make([]sent, len(t.producers))
	for i, p := range t.producers {
		marks[i] = p.mark()
	}
	return marks
}
