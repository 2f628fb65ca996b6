package cloudwatch

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quotas are how fast AWS may be asked, by credentials and region. Outputs that share both ask no faster together than one
// alone. It is safe for concurrent use.
type Quotas struct {
	buckets lru[account, *bucket]

	mu   sync.Mutex        // guards what follows
	puts map[payer]float64 // a second
}

// NewQuotas gives quotas of which nothing is used.
func NewQuotas() *Quotas {
	return &Quotas{buckets: lru[account, *bucket]{max: maxBuckets}, puts: map[payer]float64{}}
}

// A payer is whose quota is used. The name is that of what the credentials come from: AWS's own number of the account is not
// known without asking.
type payer struct{ endpoint, name string }

// An account is a payer in a region.
type account struct {
	payer
	region string
}

// maxBuckets is some accounts in all regions.
const maxBuckets = 4 * maxRegions

// The quotas of creating, a second (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html).
const (
	streamsPerSecond    = 50
	groupsPerSecond     = 10
	retentionsPerSecond = 5
)

// register says how many puts a second an output wants to make at most in each region. Of those who share a bucket the
// smallest counts, whoever puts first.
func (q *Quotas) register(p payer, perSecond float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if most, ok := q.puts[p]; !ok || perSecond < most {
		q.puts[p] = perSecond
	}
}

// bucket gives the bucket of an account whose payer is registered.
func (q *Quotas) bucket(a account) *bucket {
	q.mu.Lock()
	perSecond := q.puts[a.payer]
	q.mu.Unlock()
	b := q.buckets.get(a, func() *bucket { return newBucket(perSecond) })
	b.lower(time.Now(), perSecond)
	return b
}

// A bucket holds the tokens of one account. Who waits is served in order of arrival, whatever its target. The rate of puts
// is halved when AWS throttles, and rises again by and by: in ten minutes from nothing to the quota.
type bucket struct {
	head       chan struct{} // of capacity 1: full while somebody is at the head of the line, and waits for a token
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
		head:       make(chan struct{}, 1),
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

// take waits for the token of one put. Only the head of the line asks the limiter, which settles how long somebody waits when
// he asks: the others wait by the rate that there is when it is their turn.
func (b *bucket) take(ctx context.Context) error {
	select {
	case b.head <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.head }()
	if err := b.puts.Wait(ctx); err != nil {
		return err
	}
	b.count(time.Now())
	return nil
}

// lower has the bucket hold no more puts a second.
func (b *bucket) lower(now time.Time, perSecond float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if perSecond >= b.quota {
		return
	}
	b.quota, b.limit = perSecond, min(b.limit, perSecond)
	b.apply(now)
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
