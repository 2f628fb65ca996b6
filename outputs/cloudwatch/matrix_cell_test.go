package cloudwatch_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
	"github.com/sluicelog/sluice/engine/memory"
	"github.com/sluicelog/sluice/engine/schedule"
	"github.com/sluicelog/sluice/outputs/cloudwatch"
	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

const (
	region = "eu-west-1"
	group  = "/apps/shop"

	targets        = 16
	perTarget      = 2  // producers
	perAppend      = 12 // records
	appendEvery    = 4 * time.Second
	batchRecords   = 50
	retention      = 7                     // days
	stagger        = 29 * time.Millisecond // from one producer's append to the next one's
	clockSkew      = 2 * targets * stagger
	callTime       = 20 * time.Millisecond
	patience       = 2 * time.Second // for an answer
	recovery       = 5 * time.Minute // from the end of all faults until the last record is done, at most
	withinTheDrain = time.Hour
)

// A stage is a cell that runs: producers, an engine on the memory buffer, the output, and a CloudWatch that fares as the cell
// says.
type stage struct {
	cell
	*profile
	t         *testing.T
	start     time.Time
	server    *cwfake.Server
	engine    *engine.Engine
	writes    *writes
	letters   *letters
	producers []*producer
}

// run plays a cell. It is called in a bubble.
func run(t *testing.T, c cell, keys *profile, seed uint64) *outcome {
	s := newStage(t, c, keys, seed)
	var incidents sync.WaitGroup
	incidents.Go(s.happen)
	s.produce(produceFor)
	incidents.Wait()
	time.Sleep(time.Until(s.start.Add(c.mended)))
	s.awaitAcks()
	s.produce(produceAgain)
	s.awaitAcks()
	took := time.Since(s.start)
	s.finish()
	return s.outcome(took)
}

func newStage(t *testing.T, c cell, keys *profile, seed uint64) *stage {
	s := &stage{cell: c, profile: keys, t: t, start: time.Now(), letters: &letters{why: map[name]string{}}}
	s.server = cwfake.New(cwfake.Options{
		Credentials: []cwfake.Credentials{keyOf(0)}, Latency: callTime, Settle: 5 * callTime, Sequence: sequenceOf,
	})
	if c.faults != nil {
		s.server.SetFault(c.faults(chance{s.start, seed}))
	}
	pipe := enginetest.NewPipe()
	out, err := cloudwatch.New(t.Context(), cloudwatch.Options{
		Region: region, Group: group, Stream: "{tag}", Profile: keys.name, Retention: retention, Keepalive: &c.keepalive,
		Endpoint: s.server.Start(pipe), Dial: pipe.DialContext, ResponseTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.writes = &writes{Output: out}
	limits := out.Batching()
	limits.MaxRecords = batchRecords // so that what piles up is more than one batch
	s.engine, err = engine.New(engine.Options{
		NewBuffer: func(outputs []engine.BufferOutput) (engine.Buffer, error) { return memory.New(outputs), nil },
		Outputs: []engine.OutputOptions{
			{Name: "aws", Output: s.writes, Scheduler: c.newScheduler(limits), Linger: limits.Linger, DeadLetter: "letters"},
			{Name: "letters", Output: s.letters, Scheduler: schedule.NewKeyed(engine.BatchLimits{}, schedule.Fixed(1))},
		},
		Routes: []engine.Route{{Match: "**", Outputs: []string{"aws"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range targets * perTarget {
		s.producers = append(s.producers, s.newProducer(i))
	}
	return s
}

func (s *stage) target(stream string) cwfake.Target {
	return cwfake.Target{Region: region, Group: group, Stream: stream}
}

func (s *stage) deleteGroup() {
	if !s.server.DeleteGroup(region, group) {
		s.t.Error("there was no group to delete")
	}
}

// rotate has new credentials take the place of all others.
func (s *stage) rotate(n int) {
	s.set(s.t, keyOf(n))
	s.server.SetCredentials(keyOf(n))
}

func (s *stage) happen() {
	for _, x := range s.incidents {
		time.Sleep(time.Until(s.start.Add(x.at)))
		x.do(s)
	}
}

// produce has all producers append for a while, each on its own.
func (s *stage) produce(d time.Duration) {
	var all sync.WaitGroup
	for i, p := range s.producers {
		all.Go(func() {
			time.Sleep(time.Duration(i) * stagger)
			for range d / appendEvery {
				p.append(s.t, s.engine)
				time.Sleep(appendEvery)
			}
		})
	}
	all.Wait()
}

func (s *stage) awaitAcks() {
	deadline := time.Now().Add(recovery)
	for _, p := range s.producers {
		for p.acked() < p.sent {
			if time.Now().After(deadline) {
				s.t.Errorf("%s: %d of %d records are acked %v after all is well: %+v", p.id, p.acked(), p.sent, recovery, s.engine.Stats())
				return
			}
			time.Sleep(callTime)
		}
	}
}

// finish ends all. Nothing is held, and nothing stays open.
func (s *stage) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), withinTheDrain)
	defer cancel()
	if err := s.engine.Drain(ctx); err != nil {
		s.t.Errorf("drain: %v", err)
	}
	left, err := s.engine.Close(ctx)
	if err != nil || len(left) > 0 {
		s.t.Errorf("close: %v, undelivered %+v", err, left)
	}
	s.atRest()
	synctest.Wait()
	if st := s.server.Stats(); st.OpenConnections != 0 || st.InFlight != 0 {
		s.t.Errorf("%d connections are open, and %d puts in flight, after all was closed", st.OpenConnections, st.InFlight)
	}
	if err := s.server.Close(); err != nil {
		s.t.Errorf("close the server: %v", err)
	}
}

// atRest checks that every meter reads 0.
func (s *stage) atRest() {
	st := s.engine.Stats()
	if st.Held != 0 {
		s.t.Errorf("the engine holds %d bytes at rest", st.Held)
	}
	for tenant, held := range st.TenantHeld {
		if held != 0 {
			s.t.Errorf("tenant %q holds %d bytes at rest", tenant, held)
		}
	}
	for _, o := range st.Outputs {
		if o.ShareUsed != 0 || o.Backlog.Chunks != 0 || o.Backlog.Bytes != 0 || o.InFlight != 0 || o.Waiting != 0 || o.ParkedKeys != 0 {
			s.t.Errorf("output %q at rest: %+v", o.Name, o)
		}
	}
}

// A name is what a record is known by.
type name struct {
	source string // the producer
	number uint64 // its sequence there
}

// A producer appends records with their names in them, some every appendEvery. The second of a target appends after the
// first, and dates its records before the first's: a batch of both has to be sorted.
type producer struct {
	id, stream string
	behind     time.Duration // its clock
	session    *engine.Session
	sent       uint64
}

func (s *stage) newProducer(i int) *producer {
	behind := cmp.Or(s.apart, clockSkew)
	p := &producer{stream: fmt.Sprintf("s%02d", i%targets), behind: time.Duration(i/targets) * behind}
	p.id = fmt.Sprintf("%s/%d", p.stream, i/targets)
	var err error
	if p.session, err = s.engine.Open(engine.Open{Tenant: "default", StreamID: p.id, Tag: p.stream, Epoch: 1}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *producer) append(t *testing.T, e *engine.Engine) {
	slab := e.Slabs().Get(1 << 10)
	a := &engine.Append{First: p.sent + 1, Count: perAppend, Slab: slab}
	for range perAppend {
		p.sent++
		slab.B = protowire.AppendTag(slab.B, 2, protowire.BytesType)
		slab.B = protowire.AppendBytes(slab.B, name{p.id, p.sent}.record(time.Now(), p.behind))
	}
	a.Data = slab.B
	if err := p.session.Append(t.Context(), a); err != nil {
		t.Errorf("%s: append: %v", p.id, err)
	}
}

func (p *producer) acked() uint64 {
	st, _, _ := p.session.Poll()
	return st.Acked
}

// fate is why the record with that name cannot be delivered; empty for most.
func (n name) fate() string {
	switch {
	case n.number%29 == 5:
		return "empty_message"
	case n.number%31 == 7:
		return "too_old"
	case n.number%37 == 11:
		return "too_new"
	case n.number%97 == 13:
		return "expired"
	}
	return ""
}

const day = 24 * time.Hour

// record is the record in wire form, made at that time by a clock that is behind.
func (n name) record(now time.Time, behind time.Duration) []byte {
	body := n.source + " " + strconv.FormatUint(n.number, 10) + " " + strings.Repeat("x", int(n.number%50))
	switch n.fate() {
	case "":
		now = now.Add(-behind)
	case "empty_message":
		body = ""
	case "too_old":
		now = now.Add(-15 * day)
	case "too_new":
		now = now.Add(3 * time.Hour)
	case "expired":
		now = now.Add(-(retention + 1) * day)
	}
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(now.UnixNano()))
	text := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), body)
	return protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), text)
}

// sequenceOf is a [cwfake.Sequence].
func sequenceOf(message string) (source string, number uint64, ok bool) {
	source, rest, _ := strings.Cut(message, " ")
	digits, _, ok := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(digits, 10, 64)
	return source, number, ok && err == nil
}

// writes is the output, and how often it failed.
type writes struct {
	*cloudwatch.Output

	mu     sync.Mutex // guards what follows
	failed int
	last   error
}

func (w *writes) Write(ctx context.Context, b *engine.Batch) error {
	err := w.Output.Write(ctx, b)
	part, partial := errors.AsType[*engine.Partial](err)
	if err == nil || partial && part.Err == nil || calledOff(ctx) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	w.last = err
	return err
}

// calledOff reports whether the engine ended a Write that stood by: it was never tried.
func calledOff(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded)
}

// letters is an output that keeps why records came to it.
type letters struct {
	mu    sync.Mutex // guards what follows
	why   map[name]string
	order []name
	wrong []string
}

func (l *letters) Write(_ context.Context, b *engine.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range b.All() {
		n := name{r.Chunk.Stream.ID, r.Sequence}
		switch {
		case r.Dead == nil || r.Dead.Output != "aws":
			l.wrong = append(l.wrong, fmt.Sprintf("%v is no dead letter of aws: %+v", n, r.Dead))
			continue
		case l.why[n] != "":
			l.wrong = append(l.wrong, fmt.Sprintf("%v is a dead letter twice: %s, %s", n, l.why[n], r.Dead.Reason))
		}
		l.why[n] = r.Dead.Reason
		l.order = append(l.order, n)
	}
	return nil
}

// A keychain is the shared credentials file, with a profile for each cell.
type keychain struct {
	path string

	mu       sync.Mutex // guards what follows
	profiles map[string]cwfake.Credentials
}

// A profile is one cell's part of the file.
type profile struct {
	keys *keychain
	name string
}

// newKeychain sets the environment, too, which has nothing else for the SDK to find.
func newKeychain(t *testing.T) *keychain {
	k := &keychain{path: filepath.Join(t.TempDir(), "credentials"), profiles: map[string]cwfake.Credentials{}}
	noEnvironment(t)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", k.path)
	return k
}

func noEnvironment(t *testing.T) {
	for _, key := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_ENDPOINT_URL", "AWS_CA_BUNDLE",
	} {
		t.Setenv(key, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func (k *keychain) profile(t *testing.T, i int) *profile {
	p := &profile{k, fmt.Sprintf("cell-%d", i)}
	p.set(t, keyOf(0))
	return p
}

// set changes the profile's credentials. Whoever reads meanwhile reads the old file or the new one.
func (p *profile) set(t *testing.T, c cwfake.Credentials) {
	k := p.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	k.profiles[p.name] = c
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.profiles)) {
		c := k.profiles[name]
		fmt.Fprintf(&b, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, c.KeyID, c.Secret)
	}
	if err := errors.Join(os.WriteFile(k.path+".new", []byte(b.String()), 0o600), os.Rename(k.path+".new", k.path)); err != nil {
		t.Error(err)
	}
}

// keyOf gives the n-th credentials that a cell has.
func keyOf(n int) cwfake.Credentials {
	return cwfake.Credentials{KeyID: fmt.Sprintf("AKIDEXAMPLE%d", n), Secret: fmt.Sprintf("%s%d", cwfake.Secret, n)}
}
