package cwfake

import "time"

// Quotas are calls a second per account and region. Each fills a bucket that holds one second's calls; a call that
// finds it empty is answered with ThrottlingException. Zero: no quota.
type Quotas struct {
	PutLogEvents, CreateLogStream, CreateLogGroup, PutRetentionPolicy float64
}

// DefaultQuotas are what an account has unless it asked for more (AWS quota page of CloudWatch Logs).
func DefaultQuotas() Quotas {
	return Quotas{PutLogEvents: 5000, CreateLogStream: 50, CreateLogGroup: 10, PutRetentionPolicy: 5}
}

// of is the quota of an operation.
func (q Quotas) of(op Operation) float64 {
	switch op {
	case PutLogEvents:
		return q.PutLogEvents
	case CreateLogStream:
		return q.CreateLogStream
	case CreateLogGroup:
		return q.CreateLogGroup
	case PutRetentionPolicy:
		return q.PutRetentionPolicy
	default:
		return 0
	}
}

// A bucket holds tokens: at most one second's.
type bucket struct {
	tokens float64
	filled time.Time
}

// take takes one token at a rate of tokens a second, or says that there is none.
func (b *bucket) take(now time.Time, rate float64) bool {
	full := max(1, rate)
	if b.filled.IsZero() {
		b.tokens = full
	} else {
		b.tokens = min(full, b.tokens+rate*now.Sub(b.filled).Seconds())
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
