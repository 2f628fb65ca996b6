package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

// A phase is a time in which things go wrong in one way, or in several.
type phase struct {
	ills   []string // their names
	length time.Duration
	faults []cwfake.Faults // of calls; the first that has something to say
	deeds  []deed          // what somebody does meanwhile
}

// A deed is done once, so long after the phase began.
type deed struct {
	after time.Duration
	do    func(*trial) error
}

func (p *phase) String() string {
	return fmt.Sprintf("%s for %s", strings.Join(p.ills, "+"), p.length.Round(100*time.Millisecond))
}

// An ill is one way for things to go wrong. What it does to a phase is drawn by lot.
type ill struct {
	name   string
	strike func(*phase, *rand.Rand)
}

// ills are all that there are.
func ills() []ill {
	return []ill{
		{"throttle", func(p *phase, r *rand.Rand) { p.some(r, 0.3, 1, cwfake.Throttle()) }},
		{"5xx", func(p *phase, r *rand.Rand) {
			p.some(r, 0.1, 0.6, cwfake.InternalError())
			p.some(r, 0.1, 0.6, cwfake.Unavailable())
		}},
		{"html", func(p *phase, r *rand.Rand) { p.some(r, 0.1, 1, cwfake.BadGateway()) }},
		{"empty", func(p *phase, r *rand.Rand) { p.some(r, 0.1, 1, cwfake.EmptyOK()) }},
		{"reset", func(p *phase, r *rand.Rand) {
			p.some(r, 0.02, 0.3, cwfake.ResetBefore())
			p.some(r, 0.02, 0.3, cwfake.ResetAfter())
			p.some(r, 0.02, 0.3, cwfake.TruncatedBody())
		}},
		{"hang", func(p *phase, r *rand.Rand) {
			p.some(r, 0.02, 0.2, cwfake.HangBefore())
			p.some(r, 0.02, 0.2, cwfake.HangAfter())
		}},
		{"slow", func(p *phase, r *rand.Rand) {
			p.some(r, 0.1, 0.5, cwfake.SlowBody(time.Millisecond))
			p.some(r, 0.02, 0.1, cwfake.SlowBody(crawl))
		}},
		{"late", func(p *phase, r *rand.Rand) { p.some(r, 0.1, 1, cwfake.Late(2*time.Second)) }},
		{"denied", deny},
		{"expired", expire},
		{"deleted", remove},
	}
}

// crawl is so slow that the gateway's patience ends before the answer does.
const crawl = time.Second

// some lets a part of all calls go wrong.
func (p *phase) some(r *rand.Rand, least, most float64, fault cwfake.Fault) {
	part := least + r.Float64()*(most-least)
	p.faults = append(p.faults, cwfake.On(cwfake.Share(part, r.Uint64()), fault))
}

// deny lets nobody into one of the groups.
func deny(p *phase, r *rand.Rand) {
	group := prefix + tags()[r.IntN(len(tags()))]
	p.faults = append(p.faults, cwfake.On(cwfake.InGroup(group), cwfake.Denied()))
}

// expire makes the credentials invalid for a while. Then there are new ones.
func expire(p *phase, r *rand.Rand) {
	from := time.Duration(r.Float64() * float64(p.length) / 2)
	to := from + time.Duration(r.Float64()*float64(p.length)/2)
	p.deeds = append(p.deeds,
		deed{from, func(t *trial) error { t.cloud.ExpireCredentials(); return nil }},
		deed{to, (*trial).renew})
}

// remove deletes a group now and then.
func remove(p *phase, r *rand.Rand) {
	for range 1 + r.IntN(4) {
		group := prefix + tags()[r.IntN(len(tags()))]
		after := time.Duration(r.Float64() * float64(p.length))
		p.deeds = append(p.deeds, deed{after, func(t *trial) error { t.cloud.DeleteGroup(region, group); return nil }})
	}
}

// newPhase draws a phase of about that length: one ill, or two or three at once.
func newPhase(r *rand.Rand, length time.Duration) *phase {
	p := &phase{length: around(r, length)}
	all := ills()
	for _, i := range r.Perm(len(all))[:1+r.IntN(3)] {
		p.ills = append(p.ills, all[i].name)
		all[i].strike(p, r)
	}
	return p
}

// newStorm draws phases that follow one another without a rest.
func newStorm(r *rand.Rand, length time.Duration) []*phase {
	storm := make([]*phase, 1+r.IntN(3))
	for i := range storm {
		storm[i] = newPhase(r, length)
	}
	return storm
}

// around is from half of the length to one and a half.
func around(r *rand.Rand, length time.Duration) time.Duration {
	return time.Duration((0.5 + r.Float64()) * float64(length))
}

// hidden counts the records of puts that were carried out and whose answer was kept back, by target: as many may come twice.
// It is safe for concurrent use.
type hidden struct {
	mu      sync.Mutex // guards what follows
	records map[cwfake.Target]int64
}

// watch gives the same faults, and counts those that hide a success.
func (h *hidden) watch(faults cwfake.Faults) cwfake.Faults {
	return func(c cwfake.Call) cwfake.Fault {
		f := faults(c)
		if c.Operation == cwfake.PutLogEvents && hides(f) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.records == nil {
				h.records = map[cwfake.Target]int64{}
			}
			h.records[c.Target] += int64(c.Events)
		}
		return f
	}
}

// hides reports whether the caller cannot know that the call was carried out.
func hides(f cwfake.Fault) bool {
	switch f.Kind {
	case cwfake.Reset, cwfake.Hang, cwfake.Truncated:
		return f.Stored
	case cwfake.Slow:
		return f.Every >= crawl
	default:
		return false
	}
}

func (h *hidden) of(t cwfake.Target) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records[t]
}
