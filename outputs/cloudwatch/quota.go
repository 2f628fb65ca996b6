package cloudwatch

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quotas are how fast AWS may be asked, by account and region. Outputs that share one ask no faster together than one alone.
// It is safe for concurrent use.
type Quotas struct {
	buckets lru[account, *bucket]
}

// NewQuotas gives quotas of which nothing is used.
func NewQuotas() *Quotas { return &Quotas{buckets: lru[account, *bucket]{max: maxBuckets}} }

// An account is whose quota is used, and where. The name is that of what the credentials come from: AWS's own number is not
// known without asking.
type account struct{ endpoint, name, region string }

// maxBuckets is some accounts in all regions.
const maxBuckets = 4 * maxRegions

// The quotas of creating, a second (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html).
const (
	streamsPerSecond    = 50
	groupsPerSecond     = 10
	retentionsPerSecond = 5
)

// bucket gives the account's bucket. The first who asks says how many puts a second it holds.
func (q *Quotas) bucket(a account, perSecond float64) *bucket {
	return q.buckets.get(a, func() *bucket { return newBucket(perSecond) })
}

// A bucket holds the tokens of one account in one region. Who waits is served in order of arrival, whatever its target. The
// rate of puts is halved when AWS throttles, and rises again by and by: in ten minutes from nothing to the quota.
type bucket struct {
	puts       *rate.Limiter
	streams    *rate.Limiter
	groups     *rate.Limiter
	retentions *rate.Limiter

	mu     sync.Mutex // guards what follows
	quota  float64    // puts a second
	limit  float64    // the same, as it is now
	risen  time.Time  // when limit was last brought up to date
	slowed time.Time  // when it was last halved
	second time.Time  // when the second that is counted began
	taken  [2]float64 // puts in that second, and in the one before
}

const (
	minRate  = 1                // puts a second that are left after any number of throttles
	riseTime = 10 * time.Minute // from nothing to the quota
)

func newBucket(perSecond float64) *bucket {
	return &bucket{
		puts:       rate.NewLimiter(rate.Limit(perSecond), burst(perSecond)),
		streams:    rate.NewLimiter(streamsPerSecond, streamsPerSecond),
		groups:     rate.NewLimiter(groupsPerSecond, groupsPerSecond),
		retentions: rate.NewLimiter(retentionsPerSecond, retentionsPerSecond),
		quota:      perSecond,
		limit:      perSecond,
	}
}

// burst is how many puts may go at once after a pause: those of a tenth of a second.
func burst(perSecond float64) int { return int(perSecond/10) + 1 }

// take waits for the token of one put.
func (b *bucket) take(ctx context.Context) error {
	b.count(time.Now())
	return b.puts.Wait(ctx)
}

// count counts a put and brings the rate up to date.
func (b *bucket) count(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	b.taken[0]++
	if b.limit < b.quota {
		b.limit = min(b.quota, b.limit+b.quota*float64(now.Sub(b.risen))/float64(riseTime))
		b.apply(now)
	}
}

// turn begins a new second where the last one is over.
func (b *bucket) turn(now time.Time) {
	past := now.Sub(b.second)
	if past < time.Second {
		return
	}
	b.taken[1] = b.taken[0]
	if past >= 2*time.Second {
		b.taken[1] = 0
	}
	b.taken[0], b.second = 0, now
}

// slow halves the rate, from what was really asked for: once a second, for throttles come together.
func (b *bucket) slow(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.slowed) < time.Second {
		return
	}
	b.turn(now)
	asked := max(b.taken[0], b.taken[1])
	b.limit = max(min(b.limit, asked)/2, min(minRate, b.quota))
	b.slowed = now
	b.apply(now)
}

// apply has the limiter keep to the limit.
func (b *bucket) apply(now time.Time) {
	b.risen = now
	b.puts.SetLimitAt(now, rate.Limit(b.limit))
	b.puts.SetBurstAt(now, burst(b.limit))
}
