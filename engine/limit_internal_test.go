package engine

import "testing"

// Each threshold binds when it is the least, and is the reason that is told.
func TestHeadroom(t *testing.T) {
	const mb = 1_000_000
	roomy := headroom{stream: 8 * mb, engineFree: 100 * mb, tenant: 100 * mb, shareFree: 100 * mb}
	tests := map[string]struct {
		change func(*headroom)
		limit  int64
		reason Reason
	}{
		"the stream's own":          {func(*headroom) {}, 8 * mb, ReasonStreamLimit},
		"the engine's free":         {func(h *headroom) { h.engineFree = 5 * mb }, 5 * mb, ReasonEngineLimit},
		"the tenant's":              {func(h *headroom) { h.tenantUsed = 97 * mb }, 3 * mb, ReasonTenantLimit},
		"eight times engine free":   {func(h *headroom) { h.engineFree, h.tenantUsed = 9*mb, 70*mb }, 2 * mb, ReasonEngineLimit},
		"a share":                   {func(h *headroom) { h.shareFree = mb }, mb, ReasonBufferFull},
		"never less than 64 KiB":    {func(h *headroom) { h.engineFree = -50 * mb }, 64 << 10, ReasonEngineLimit},
		"a share that is overdrawn": {func(h *headroom) { h.shareFree = -mb }, 64 << 10, ReasonBufferFull},
		"a share at its ceiling":    {func(h *headroom) { h.shareFree, h.shareFull = -mb, true }, 1, ReasonBufferFull},
		"but for a smaller stream":  {func(h *headroom) { h.stream, h.shareFree = 1000, -mb }, 1000, ReasonBufferFull},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			h := roomy
			c.change(&h)
			if limit, reason := h.effective(); limit != c.limit || reason != c.reason {
				t.Errorf("%+v: limit %d for %v, want %d for %v", h, limit, reason, c.limit, c.reason)
			}
		})
	}
}

func TestLedgerAcksInOrder(t *testing.T) {
	var l ledger
	ps := make([]*pending, 4)
	for i := range ps {
		ps[i] = &pending{last: uint64(i + 1)}
		l.push(ps[i])
	}
	popped := func() (n int) {
		for p := l.pop(); p != nil; p = l.pop() {
			n++
		}
		return n
	}
	for _, step := range []struct{ safe, popped int }{{1, 0}, {0, 2}, {3, 0}, {2, 2}} {
		ps[step.safe].safe = true
		if n := popped(); n != step.popped {
			t.Errorf("after %d was safe %d were acked, want %d", step.safe, n, step.popped)
		}
	}
	if !l.empty() {
		t.Error("the ledger is not empty")
	}
	l.push(&pending{safe: true})
	if n := popped(); n != 1 || !l.empty() {
		t.Errorf("used again: %d acked", n)
	}
}

func TestRejectionsMerge(t *testing.T) {
	one := func(seq uint64, code FaultCode) Rejection {
		return Rejection{First: seq, Last: seq, Count: 1, Code: code}
	}
	var all []Rejection
	for _, seq := range []uint64{1, 2, 3, 7} {
		all = addRejection(all, one(seq, FaultMalformed))
	}
	all = addRejection(all, one(8, FaultTooDeep))
	if len(all) != 3 || all[0].Last != 3 || all[0].Count != 3 || all[2].Code != FaultTooDeep {
		t.Fatalf("merged to %+v", all)
	}
	for seq := uint64(10); seq < 1000; seq += 2 {
		all = addRejection(all, one(seq, FaultMalformed))
	}
	last := all[len(all)-1]
	total := uint64(0)
	for _, r := range all {
		total += r.Count
	}
	if len(all) != maxRejections || last.Last != 998 || total != 5+495 {
		t.Errorf("%d ranges of %d records, the last %+v", len(all), total, last)
	}
}
