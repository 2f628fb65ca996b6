package engine

import "time"

// effective is the stream's limit at this moment and what binds it. The caller holds the lock.
func (in *intake) effective() (int64, Reason) { return in.effectiveFor(in.outputs) }

// effectiveFor is effective where the stream's records go to these outputs.
func (in *intake) effectiveFor(outputs OutputSet) (int64, Reason) {
	e := in.engine
	h := headroom{
		stream:     e.limits.Stream,
		engineFree: e.free(),
		tenant:     in.tenant.Limit(),
		tenantUsed: in.tenant.Used(),
		shareFree:  e.limits.Engine,
	}
	if e.buffer.Durable() { // see fullness
		return h.effective()
	}
	for i := range outputs.All() {
		if d := e.outputs[i]; !d.DropOldest {
			h.shareFree = min(h.shareFree, d.share.Free())
			h.shareFull = h.shareFull || float64(d.share.Used()) >= engineCeiling*float64(d.share.Limit())
		}
	}
	return h.effective()
}

// judge compares what is held with the limit, and pauses or resumes. The caller holds the lock.
func (in *intake) judge() { in.judgeFor(in.outputs) }

// judgeFor is judge where the stream's records go to these outputs.
func (in *intake) judgeFor(outputs OutputSet) {
	if in.state == StateDraining {
		return
	}
	limit, reason := in.effectiveFor(outputs)
	full := in.fullness(outputs)
	resumeAt := in.engine.limits.ResumeAt
	switch low := float64(in.held) <= resumeAt*float64(limit); {
	case in.state == StateActive && full.full():
		in.pauseForRoom(full)
	case in.state == StateActive && in.held >= limit:
		in.pause(reason)
	case in.state == StatePaused && in.reason != ReasonBufferFull && full.full():
		in.unpause() // what it waits for is something else by now
		in.pauseForRoom(full)
	case in.state == StatePaused && low && (in.reason != ReasonBufferFull || full.eased(in.forFairness, resumeAt)):
		in.resume()
	}
}

// pauseForRoom pauses for what is stored, and not for what is held.
func (in *intake) pauseForRoom(full fullness) {
	in.forFairness = full.hard < 1
	in.pause(ReasonBufferFull)
}

// pause tells the producer to stop, and lets what it has waiting go without linger: a limit smaller than a batch must not
// turn into one batch per linger.
func (in *intake) pause(reason Reason) {
	in.state, in.reason, in.pausedAt = StatePaused, reason, time.Now()
	in.engine.count.pauses[reason].Add(1)
	in.engine.reviews.add(in)
	in.hurry()
	in.tell()
}

func (in *intake) resume() {
	in.unpause()
	in.state, in.reason = StateActive, ReasonNone
	if in.stream != nil {
		in.stream.SetUrgent(in.session != nil && in.session.halfClosed)
	}
	in.tell()
}

// unpause ends the books of a pause.
func (in *intake) unpause() {
	if in.state == StatePaused {
		in.engine.count.pausedFor[in.reason].Add(int64(time.Since(in.pausedAt)))
		if in.blocked == 0 {
			in.engine.reviews.remove(in)
		}
	}
}

// block says that an append waits for room. The caller holds the lock.
func (in *intake) block() {
	in.blocked++
	in.engine.reviews.add(in)
}

// unblock says that it waits no more. The caller holds the lock.
func (in *intake) unblock() {
	if in.blocked--; in.blocked == 0 && in.state != StatePaused {
		in.engine.reviews.remove(in)
	}
}

// drain is for good: the engine is going away.
func (in *intake) drain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.unpause()
	in.state, in.reason = StateDraining, ReasonShutdown
	in.hurry()
	in.tell()
}

// hurry lets all that the stream has waiting, and all that comes until it is active again, fly without linger.
func (in *intake) hurry() {
	if in.stream == nil { // nothing was let in yet
		return
	}
	in.stream.SetUrgent(true)
	in.seal(false)
	in.post()
}

// post tells the stream's outputs that it is in a hurry.
func (in *intake) post() {
	for i := range in.outputs.All() {
		in.engine.outputs[i].box.hurry(in.stream)
	}
}

func (in *intake) tell() {
	if in.session != nil {
		in.session.tell()
	}
}

// review looks at a paused or blocked stream again after others released memory.
func (in *intake) review() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.judge()
	if in.session != nil {
		in.session.room.ring()
	}
}
