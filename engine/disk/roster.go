package disk

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// An account is what is known of a stream: what of it is committed, and how much of that is still needed.
type account struct {
	tenant, id string
	tag        string
	epoch      uint64     // of the last chunk whose epoch is its producer's; 0: there was none
	last       uint64     // its last sequence
	lsn        seglog.LSN // of the chunk that says so
	seen       int64      // when the last chunk arrived, in nanoseconds since 1970
	need       []int64    // bytes, by cursor
	stored     int64      // the most that any cursor needs that blocks
	needed     bool       // by any cursor
}

type accountName struct{ tenant, id string }

// A roster has the accounts of all streams that have something in the log, or may come back to go on where they were. It is safe for
// concurrent use; its lock is taken last.
type roster struct {
	mu       sync.Mutex // guards what follows, and the accounts
	accounts map[accountName]*account
	tenants  map[string]int64 // stored
	blocks   []bool           // by cursor: what it needs counts against the limits of its streams
}

// newRoster makes one for cursors, and says which of them block: not those of outputs that drop, or are not configured.
func newRoster(blocks ...bool) *roster {
	return &roster{accounts: map[accountName]*account{}, tenants: map[string]int64{}, blocks: blocks}
}

// account gives a stream's, or makes it. The lock is held.
func (r *roster) account(name streamName) *account {
	key := accountName{name.tenant, name.id}
	a := r.accounts[key]
	if a == nil {
		a = &account{tenant: name.tenant, id: name.id, need: make([]int64, len(r.blocks))}
		r.accounts[key] = a
	}
	return a
}

// commit notes a chunk that is committed, for these cursors.
func (r *roster) commit(c *engine.Chunk, name streamName, l seglog.Label, lsn seglog.LSN, cursors engine.OutputSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.account(name)
	a.seen = max(a.seen, l.Time)
	if c.Resumable {
		a.tag, a.epoch, a.last, a.lsn = name.tag, c.Epoch, c.Last, lsn
	} else if a.epoch == 0 {
		a.tag = name.tag
	}
	for i := range cursors.All() {
		r.add(a, i, int64(l.Bytes))
	}
}

// add books what a cursor needs of a stream from now on, or no more. The lock is held.
func (r *roster) add(a *account, cursor int, bytes int64) {
	a.need[cursor] += bytes
	before := a.stored
	a.stored, a.needed = 0, false
	for i, n := range a.need {
		a.needed = a.needed || n > 0
		if r.blocks[i] {
			a.stored = max(a.stored, n)
		}
	}
	if r.tenants[a.tenant] += a.stored - before; r.tenants[a.tenant] == 0 {
		delete(r.tenants, a.tenant)
	}
	if !a.needed && a.epoch == 0 { // nobody comes back to it
		delete(r.accounts, accountName{a.tenant, a.id})
	}
}

// done says that a cursor needs a chunk of a stream no more.
func (r *roster) done(name streamName, cursor int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.accounts[accountName{name.tenant, name.id}]; a != nil {
		r.add(a, cursor, -bytes)
	}
}

// clear says that a cursor needs nothing: what was lost unread was not told as done.
func (r *roster) clear(cursor int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.accounts {
		if a.need[cursor] != 0 {
			r.add(a, cursor, -a.need[cursor])
		}
	}
}

// stored is how many bytes of a stream, and of a tenant, are still needed.
func (r *roster) stored(tenant, id string) (stream, ofTenant int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.accounts[accountName{tenant, id}]; a != nil {
		stream = a.stored
	}
	return stream, r.tenants[tenant]
}

// forget forgets those that nothing was seen of since a time and that have nothing in the log; and of those the ones that were
// seen longest ago, where there are more than most.
func (r *roster) forget(before time.Time, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var idle []*account
	for name, a := range r.accounts {
		switch {
		case a.needed:
		case a.seen < before.UnixNano():
			delete(r.accounts, name)
		default:
			idle = append(idle, a)
		}
	}
	if excess := len(r.accounts) - most; excess > 0 {
		slices.SortFunc(idle, func(a, b *account) int { return cmp.Compare(a.seen, b.seen) })
		for _, a := range idle[:min(excess, len(idle))] {
			delete(r.accounts, accountName{a.tenant, a.id})
		}
	}
}

// A savedStream is an account as a checkpoint has it.
type savedStream struct {
	Tenant string        `json:"tenant"`
	ID     string        `json:"id"`
	Tag    string        `json:"tag"`
	Epoch  uint64        `json:"epoch,omitempty"`
	Last   uint64        `json:"last,omitempty"`
	LSN    seglog.LSN    `json:"lsn,omitempty"`  // of the chunk that says so
	Seen   int64         `json:"seen"`           // in nanoseconds since 1970
	Need   map[int]int64 `json:"need,omitempty"` // bytes, by the id of the cursor
}

// save gives all accounts.
func (r *roster) save(cursors []*cursor) []savedStream {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]savedStream, 0, len(r.accounts))
	for _, a := range r.accounts {
		s := savedStream{Tenant: a.tenant, ID: a.id, Tag: a.tag, Epoch: a.epoch, Last: a.last, LSN: a.lsn, Seen: a.seen}
		for i, bytes := range a.need {
			if bytes != 0 {
				if s.Need == nil {
					s.Need = map[int]int64{}
				}
				s.Need[cursors[i].id] = bytes
			}
		}
		all = append(all, s)
	}
	return all
}

// restore takes over what a checkpoint has.
func (r *roster) restore(saved []savedStream, cursors []*cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range saved {
		s := &saved[i]
		a := r.account(streamName{s.Tenant, s.ID, s.Tag})
		a.tag, a.epoch, a.last, a.lsn, a.seen = s.Tag, s.Epoch, s.Last, s.LSN, s.Seen
		for j, c := range cursors {
			if bytes := s.Need[c.id]; bytes > 0 {
				r.add(a, j, bytes)
			}
		}
	}
}

// lose says that the log lost what came from an LSN on. Where that was a stream's last, nobody knows how far it is stored: its producer
// sends again what it was not acked for, which may be stored twice, and is not lost.
func (r *roster) lose(from seglog.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.accounts {
		if a.lsn >= from {
			a.epoch, a.last, a.lsn = 0, 0, 0
		}
	}
}

// resumable gives the streams that a producer may come back to, the one that was seen last first.
func (r *roster) resumable() []engine.Resumption {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*account
	for _, a := range r.accounts {
		if a.epoch > 0 {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *account) int { return cmp.Compare(b.seen, a.seen) })
	all := make([]engine.Resumption, len(found))
	for i, a := range found {
		all[i] = engine.Resumption{Tenant: a.tenant, StreamID: a.id, Tag: a.tag, Epoch: a.epoch, Acked: a.last}
	}
	return all
}
