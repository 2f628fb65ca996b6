package sluice

import (
	"context"
	"sync"
	"time"

	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// Hooks are called as a stream's state changes, one at a time, on a goroutine of the stream's own: a slow hook holds up
// other hooks, never the stream. What happens meanwhile is not queued up but merged, and the hook sees the newest: many
// pauses become one, drops are added up. Only [Stats] counts exactly. A hook may call every method of the stream, Flush
// among them, but Close, which waits for the hooks.
type Hooks struct {
	// OnPause: the gateway takes no more for now. Records go on being queued.
	OnPause func(Pause)
	// OnResume: it takes records again. Pauses and resumes are told in turn, pause first.
	OnResume func(Resume)
	// OnDrop: records were dropped.
	OnDrop func(Drop)
	// OnReconnect: the connection was lost, another attempt failed, or the stream is open again. It is not called for the
	// first connection that comes about at once.
	OnReconnect func(Reconnect)
	// OnReject: the gateway refused records for faults of their own. They are not sent again.
	OnReject func([]Rejection)
}

// A Pause says why the gateway takes no more.
type Pause struct {
	Reason                sluicev1.Reason
	HeldBytes, LimitBytes uint64
	RetryAfter            time.Duration // 0: no telling
}

// A Resume ends a pause.
type Resume struct {
	HeldBytes, LimitBytes uint64
	Paused                time.Duration // how long it was
}

// A DropReason says why records were dropped.
type DropReason string

// The reasons for drops.
const (
	DropQueueFull DropReason = "queue full"
	DropTooLarge  DropReason = "too large"
	DropMalformed DropReason = "malformed"
	// DropSpillFailed: could not be written to the spill, as whoever added them was told.
	DropSpillFailed DropReason = "spill failed"
	// DropSpillLost: was in the spill, and cannot be read from it.
	DropSpillLost DropReason = "lost from the spill"
)

// A Drop says how many records were dropped for one reason since the hook was called last.
type Drop struct {
	Reason  DropReason
	Records uint64
	Bytes   uint64 // of the records' encoding, as in [Stats]; 0 for malformed and lost ones, of which it is not known
}

// A Reconnect says how the stream stands with its gateway.
type Reconnect struct {
	Open     bool  // it is open again; otherwise another attempt follows
	Attempts int   // that failed since the stream was open last
	Err      error // why the last one failed, or the connection ended
}

// A Rejection names records that the gateway refused.
type Rejection struct {
	First, Last uint64 // their sequences
	Count       uint64 // how many of that range; less than its width where this stands for several ranges
	Code        sluicev1.RejectionCode
	Message     string // what is wrong, naming the field
}

// maxRejections is how many rejections wait for a slow hook; further ones are added to the last.
const maxRejections = 100

// A mailbox holds what the hooks are to be told, merged. The zero mailbox is empty.
type mailbox struct {
	paused     bool // what the hooks were told last
	pause      *Pause
	resume     *Resume
	drops      []Drop // one a reason
	reconnect  *Reconnect
	rejections []Rejection
}

// addPause notes that the stream is paused. What waits of pauses and resumes is at most one of each, and leaves the hooks
// at the newest state: a pause that ended and began again, untold, is one pause.
func (m *mailbox) addPause(p Pause) {
	m.pause = &p
	if !m.paused {
		m.resume = nil
	}
}

func (m *mailbox) addResume(r Resume) {
	m.resume = &r
	if m.paused {
		m.pause = nil
	}
}

func (m *mailbox) addReconnect(r Reconnect) { m.reconnect = &r }

func (m *mailbox) addDrop(d Drop) {
	for i := range m.drops {
		if m.drops[i].Reason == d.Reason {
			m.drops[i].Records += d.Records
			m.drops[i].Bytes += d.Bytes
			return
		}
	}
	m.drops = append(m.drops, d)
}

func (m *mailbox) addRejection(r Rejection) {
	if n := len(m.rejections); n >= maxRejections {
		last := &m.rejections[n-1]
		last.First, last.Last = min(last.First, r.First), max(last.Last, r.Last)
		last.Count += r.Count
		return
	}
	m.rejections = append(m.rejections, r)
}

// take empties the mailbox. What it gives is as good as told.
func (m *mailbox) take() mailbox {
	taken := *m
	*m = mailbox{paused: m.paused}
	if taken.paused && taken.resume != nil {
		m.paused = taken.pause != nil
	} else if !taken.paused && taken.pause != nil {
		m.paused = taken.resume == nil
	}
	return taken
}

func (m *mailbox) empty() bool {
	return m.pause == nil && m.resume == nil && m.reconnect == nil && len(m.drops) == 0 && len(m.rejections) == 0
}

// deliver calls the hooks.
func (m *mailbox) deliver(h Hooks) {
	tell(h.OnReconnect, m.reconnect)
	if m.paused {
		tell(h.OnResume, m.resume)
		tell(h.OnPause, m.pause)
	} else {
		tell(h.OnPause, m.pause)
		tell(h.OnResume, m.resume)
	}
	for i := range m.drops {
		tell(h.OnDrop, &m.drops[i])
	}
	if len(m.rejections) > 0 {
		tell(h.OnReject, &m.rejections)
	}
}

func tell[T any](hook func(T), v *T) {
	if hook != nil && v != nil {
		hook(*v)
	}
}

// A notifier calls a stream's hooks on its one goroutine. Safe for concurrent use.
type notifier struct {
	hooks Hooks
	wake  chan struct{} // capacity 1
	quit  chan struct{}
	once  sync.Once // closes quit
	done  chan struct{}

	mu  sync.Mutex // guards what follows; taken last, held for no call
	box mailbox
}

// newNotifier starts a notifier; without hooks there is none, and nil is one that does nothing.
func newNotifier(h Hooks) *notifier {
	if h.OnPause == nil && h.OnResume == nil && h.OnDrop == nil && h.OnReconnect == nil && h.OnReject == nil {
		return nil
	}
	n := &notifier{hooks: h, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go n.run()
	return n
}

// post changes the mailbox. It does not block.
func (n *notifier) post(change func(*mailbox)) {
	if n == nil {
		return
	}
	n.mu.Lock()
	change(&n.box)
	n.mu.Unlock()
	poke(n.wake)
}

func (n *notifier) run() {
	defer close(n.done)
	for quit := false; ; {
		n.mu.Lock()
		box := n.box.take()
		n.mu.Unlock()
		if !box.empty() {
			box.deliver(n.hooks)
			continue
		}
		if quit {
			return
		}
		select {
		case <-n.wake:
		case <-n.quit:
			quit = true // and look once more
		}
	}
}

// stop waits until the hooks were told what there is, as long as ctx allows; a hook that hangs is left behind. It is
// called after the last post, and may be called again.
func (n *notifier) stop(ctx context.Context) {
	if n == nil {
		return
	}
	n.once.Do(func() { close(n.quit) })
	select {
	case <-n.done:
	case <-ctx.Done():
	}
}
