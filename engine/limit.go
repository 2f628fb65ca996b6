package engine

// The effective limit does not fall below minEffective, so that a stream has room for some appends, before one of its
// outputs needs engineCeiling times its share.
const minEffective = 64 << 10

// tenantFactor is how many times the engine's free memory a tenant may hold.
const tenantFactor = 8

// engineCeiling is the hard bound, as a multiple of the engine's limit, and of an output's share for streams that hold
// anything at all.
const engineCeiling = 1.25

// Chunks is the most that chunks may take, in bytes: hard, whatever producers do.
func (l Limits) Chunks() int64 { return int64(engineCeiling * float64(l.Engine)) }

// Resources is the most that the resources of known streams may take besides, in bytes.
func (l Limits) Resources() int64 { return l.Engine / resourcePart }

// headroom is what the moving thresholds are made of, in bytes.
type headroom struct {
	stream     int64 // the stream's configured limit
	engineFree int64
	tenant     int64 // the tenant's configured limit
	tenantUsed int64
	shareFree  int64 // the least of its outputs
	shareFull  bool  // one of these is at its ceiling
}

// effective is the stream's limit at this moment, and the reason that a pause would have. Every threshold moves with what
// is free, so that streams which want more settle at equal parts and leave as much free: nobody has to be sorted.
func (h headroom) effective() (int64, Reason) {
	limit, reason := h.stream, ReasonStreamLimit
	tighten := func(to int64, why Reason) {
		if to < limit {
			limit, reason = to, why
		}
	}
	tighten(h.engineFree, ReasonEngineLimit)
	if all := tenantFactor * h.engineFree; all < h.tenant {
		tighten(all-h.tenantUsed, ReasonEngineLimit)
	} else {
		tighten(h.tenant-h.tenantUsed, ReasonTenantLimit)
	}
	tighten(h.shareFree, ReasonBufferFull)
	floor := min(minEffective, h.stream)
	if h.shareFull {
		floor = 1 // or ten thousand streams of a dead output, at their floors, are more than the engine has for all
	}
	return max(limit, floor), reason
}
