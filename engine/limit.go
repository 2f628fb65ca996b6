package engine

// The effective limit never falls below minEffective, so that a stream always has room for some appends.
const minEffective = 64 << 10

// tenantFactor is how many times the engine's free memory a tenant may hold.
const tenantFactor = 8

// engineCeiling is the hard bound, as a multiple of the engine's limit.
const engineCeiling = 1.25

// headroom is what the moving thresholds are made of, in bytes.
type headroom struct {
	stream     int64 // the stream's configured limit
	engineFree int64
	tenant     int64 // the tenant's configured limit
	tenantUsed int64
	shareFree  int64 // the least of its outputs
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
	tighten(min(h.tenant, tenantFactor*h.engineFree)-h.tenantUsed, ReasonTenantLimit)
	tighten(h.shareFree, ReasonBufferFull)
	return max(limit, min(minEffective, h.stream)), reason
}
