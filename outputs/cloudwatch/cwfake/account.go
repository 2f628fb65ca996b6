package cwfake

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// An account is what exists: groups by region, and streams in them. What was put outlives it, in the ledger.
type account struct {
	number    string
	maxGroups int
	settle    time.Duration

	mu      sync.Mutex // guards what follows, and all in it
	quotas  Quotas
	buckets map[bucketKey]*bucket
	groups  map[groupKey]*group
	claims  map[claimKey]bool // names that are being created
}

type bucketKey struct {
	region string
	op     Operation
}

type groupKey struct{ region, name string }

type claimKey struct {
	target Target
	op     Operation
}

type group struct {
	Group
	streams map[string]*stream
}

// A stream is one life of a log stream; deleted and created anew, it is another.
type stream struct {
	created time.Time
	log     *streamLog
	from    int64 // events in the log that are of former lives
}

// A Group is a log group as it was created.
type Group struct {
	Region, Name string
	Created      time.Time
	Retention    int // days; 0: for ever
	Class        string
	KMSKey       string
	Tags         map[string]string
	Streams      int
}

func newAccount(o Options) *account {
	return &account{
		number: o.Account, maxGroups: o.MaxGroups, settle: o.Settle, quotas: o.Quotas,
		buckets: map[bucketKey]*bucket{}, groups: map[groupKey]*group{}, claims: map[claimKey]bool{},
	}
}

// SetQuotas changes [Options].Quotas for the calls that come from now on.
func (s *Server) SetQuotas(q Quotas) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	s.account.quotas = q
	clear(s.account.buckets)
}

// admit takes a token for the call, or says that its quota is used up.
func (a *account) admit(c *Call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rate := a.quotas.of(c.Operation)
	if rate <= 0 {
		return true
	}
	key := bucketKey{c.Target.Region, c.Operation}
	b := a.buckets[key]
	if b == nil {
		b = &bucket{}
		a.buckets[key] = b
	}
	return b.take(time.Now(), rate)
}

// claim marks what a Create call is about, until release. It says taken where another call is creating the same.
func (a *account) claim(c *Call) (release func(), taken bool) {
	if c.Operation != CreateLogGroup && c.Operation != CreateLogStream {
		return func() {}, false
	}
	key := claimKey{c.Target, c.Operation}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claims[key] {
		return func() {}, true
	}
	a.claims[key] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.claims, key)
	}, false
}

// find gives a group. It is called under the lock.
func (a *account) find(region, name string) (*group, error) {
	if g := a.groups[groupKey{region, name}]; g != nil {
		return g, nil
	}
	return nil, invalid(codeNotFound, "The specified log group does not exist.")
}

// findStream gives the log to put into, and the retention of its group, 0 for ever.
func (a *account) findStream(t Target) (*streamLog, time.Duration, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.find(t.Region, t.Group)
	if err != nil {
		return nil, 0, err
	}
	st := g.streams[t.Stream]
	if st == nil || time.Since(st.created) < a.settle {
		return nil, 0, invalid(codeNotFound, "The specified log stream does not exist.")
	}
	return st.log, time.Duration(g.Retention) * 24 * time.Hour, nil
}

// createGroup makes a group.
func (a *account) createGroup(g Group) error {
	switch {
	case strings.HasPrefix(g.Name, "aws/"):
		return invalidf("Log groups starting with AWS/ are reserved for AWS.")
	case g.Class == "":
		g.Class = "STANDARD"
	case g.Class != "STANDARD" && g.Class != "INFREQUENT_ACCESS" && g.Class != "ESSENTIALS" && g.Class != "DELIVERY":
		return invalidf("1 validation error detected: Value '%s' at 'logGroupClass' failed to satisfy constraint", g.Class)
	}
	if err := checkGroup(g.Name); err != nil {
		return err
	}
	if err := checkTags(g.Tags); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := groupKey{g.Region, g.Name}
	if a.groups[key] != nil {
		return invalid(codeExists, "The specified log group already exists")
	}
	if a.maxGroups > 0 && a.countGroups(g.Region) >= a.maxGroups {
		return invalid(codeLimitExceeded, "Resource limit exceeded.")
	}
	g.Created = time.Now()
	g.Tags = maps.Clone(g.Tags)
	a.groups[key] = &group{Group: g, streams: map[string]*stream{}}
	return nil
}

func (a *account) countGroups(region string) int {
	n := 0
	for key := range a.groups {
		if key.region == region {
			n++
		}
	}
	return n
}

// createStream makes a stream, whose events go to the log.
func (a *account) createStream(t Target, log *streamLog) error {
	if err := checkGroup(t.Group); err != nil {
		return err
	}
	if err := checkStream(t.Stream); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.find(t.Region, t.Group)
	if err != nil {
		return err
	}
	if g.streams[t.Stream] != nil {
		return invalid(codeExists, "The specified log stream already exists")
	}
	g.streams[t.Stream] = &stream{created: time.Now(), log: log, from: log.length()}
	return nil
}

// retain sets a group's retention in days.
func (a *account) retain(region, name string, days int) error {
	if err := checkRetention(days); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.find(region, name)
	if err == nil {
		g.Retention = days
	}
	return err
}

// tag adds tags to a group, which is named by its ARN.
func (a *account) tag(region, arn string, tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	name, ok := strings.CutPrefix(arn, a.arn(region, ""))
	if !ok || strings.Contains(name, ":") {
		return invalidf("1 validation error detected: the ARN '%s' is not that of a log group of this account", arn)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.find(region, name)
	if err != nil {
		return err
	}
	all := maps.Clone(g.Tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	if err := checkTags(all); err != nil {
		return err
	}
	g.Tags = all
	return nil
}

// arn is a group's ARN, without the :* at its end.
func (a *account) arn(region, group string) string {
	return "arn:aws:logs:" + region + ":" + a.number + ":log-group:" + group
}

// CreateStream makes a group and a stream where they do not exist, past quotas and faults.
func (s *Server) CreateStream(t Target) error {
	err := s.account.createGroup(Group{Region: t.Region, Name: t.Group})
	if err != nil && resultOf(err) != codeExists {
		return err
	}
	if err := s.account.createStream(t, s.ledger.log(t)); err != nil && resultOf(err) != codeExists {
		return err
	}
	return nil
}

// DeleteGroup deletes a group with its streams, as somebody else would: events in it can no longer be read by API.
// What was put stays in [Server.Events]. It says whether there was one.
func (s *Server) DeleteGroup(region, name string) bool {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	key := groupKey{region, name}
	_, ok := s.account.groups[key]
	delete(s.account.groups, key)
	return ok
}

// DeleteStream deletes one stream. It says whether there was one.
func (s *Server) DeleteStream(t Target) bool {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	g := s.account.groups[groupKey{t.Region, t.Group}]
	if g == nil || g.streams[t.Stream] == nil {
		return false
	}
	delete(g.streams, t.Stream)
	return true
}

// Group gives a group that exists.
func (s *Server) Group(region, name string) (Group, bool) {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	g := s.account.groups[groupKey{region, name}]
	if g == nil {
		return Group{}, false
	}
	return g.copy(), true
}

func (g *group) copy() Group {
	c := g.Group
	c.Tags, c.Streams = maps.Clone(g.Tags), len(g.streams)
	return c
}
