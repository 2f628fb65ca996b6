package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// An origin is what a record is known by. Its body, its key and whether it is faulty follow from it.
type origin struct {
	stream          string
	epoch, sequence uint64
	from            string // the output that it is a dead letter of
}

func (o origin) compare(p origin) int {
	return cmp.Or(cmp.Compare(o.epoch, p.epoch), cmp.Compare(o.sequence, p.sequence))
}

func (o origin) hash() uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(o.stream) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ o.epoch) * 1099511628211
	h = (h ^ o.sequence) * 1099511628211
	return h >> 20
}

var padding = strings.Repeat("x", 400)

func (o origin) body() string {
	b := append([]byte(o.stream), ' ')
	b = append(strconv.AppendUint(b, o.epoch, 10), ' ')
	b = append(strconv.AppendUint(b, o.sequence, 10), ' ')
	return string(append(b, padding[:o.hash()%400]...))
}

// faulty records are refused by the engine, poison by the outputs.
func (o origin) faulty() bool { return o.hash()%41 == 0 }
func (o origin) poison() bool { return o.hash()%37 == 1 && o.from == "" }

func originOf(body string) (o origin, err error) {
	parts := strings.SplitN(body, " ", 4)
	if len(parts) != 4 {
		return o, fmt.Errorf("body %.40q", body)
	}
	o.stream = parts[0]
	o.epoch, err = strconv.ParseUint(parts[1], 10, 64)
	if err == nil {
		o.sequence, err = strconv.ParseUint(parts[2], 10, 64)
	}
	return o, err
}

// A mood is how an output behaves: the chances of each misbehaviour, in percent.
type mood struct {
	down                                             bool
	denied                                           string // key
	fail, throttle, partial, lost, panicked, garbage int
	slow                                             time.Duration // at most
}

// A fate is what became of a record at an output.
type fate struct {
	taken   bool // and said so: it must not come again
	refused bool // for good, alone: neither must it then
	lost    int  // taken, but the answer said otherwise: so often it may come again
	panics  int
	failed  bool // an attempt with it failed
	denied  bool
}

// A fickle output does as its mood is, checks what it is given, and knows what became of every record. What is wrong it
// keeps for later: it runs where nobody can fail the test.
type fickle struct {
	name    string
	keying  int  // 0: a single key, 1: a key for each stream, 2: keys by record
	letters bool // it takes dead letters
	ordered bool
	slots   int

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	mood   mood
	fates  map[origin]*fate
	last   map[string]origin // that a key took, by key and stream
	denied map[string]bool   // keys that ever were
	flying map[string]int
	wrong  []string
}

func newFickle(name string, seed uint64) *fickle {
	return &fickle{
		name: name, rng: rand.New(rand.NewPCG(seed, 1)),
		fates: map[origin]*fate{}, last: map[string]origin{}, denied: map[string]bool{}, flying: map[string]int{},
	}
}

func (f *fickle) PerRecord(*engine.Chunk) bool { return f.keying == 2 }

func (f *fickle) AppendKey(dst []byte, c *engine.Chunk, r engine.Record) []byte {
	switch f.keying {
	case 0:
		return dst
	case 1:
		return append(dst, c.Stream.ID...)
	}
	o, _ := originOf(enginetest.Body(r))
	return append(dst, f.key(o)...)
}

func (f *fickle) key(o origin) string {
	switch f.keying {
	case 0:
		return ""
	case 1:
		return o.stream
	}
	return fmt.Sprint("k", o.hash()%3)
}

// feel sets the mood.
func (f *fickle) feel(m mood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = m
}

func (f *fickle) fault(format string, args ...any) {
	if len(f.wrong) < 10 {
		f.wrong = append(f.wrong, f.name+": "+fmt.Sprintf(format, args...))
	}
}

// Write implements engine.Output.
func (f *fickle) Write(_ context.Context, b *engine.Batch) error {
	all, bodies, pause := f.begin(b)
	time.Sleep(pause) // whatever the context says
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.flying[b.Key]-- }()
	for i, r := range b.All() { // what flies is not overwritten
		if body := enginetest.Body(r.Record); body != bodies[i] {
			f.fault("record %d of a batch was %v when it began, and is %.40q", i, all[i], body)
		}
	}
	return f.answer(b, all)
}

// begin checks a batch before anything becomes of it.
func (f *fickle) begin(b *engine.Batch) (all []origin, bodies []string, pause time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flying := 0
	f.flying[b.Key]++
	for _, n := range f.flying {
		flying += n
	}
	if flying > f.slots || f.ordered && f.flying[b.Key] > 1 {
		f.fault("%d batches fly, %d of key %q", flying, f.flying[b.Key], b.Key)
	}
	for _, r := range b.All() {
		body := enginetest.Body(r.Record)
		o, err := originOf(body)
		if err != nil || o.stream != r.Chunk.Stream.ID || o.epoch != r.Chunk.Epoch || o.sequence != r.Sequence || o.body() != body {
			f.fault("a record of stream %s, epoch %d, sequence %d has body %.60q: %v", r.Chunk.Stream.ID, r.Chunk.Epoch, r.Sequence, body, err)
		}
		if f.key(o) != b.Key || f.letters != (r.Dead != nil) {
			f.fault("%v has key %q, in a batch of %q, as a dead letter %+v", o, f.key(o), b.Key, r.Dead)
		}
		if r.Dead != nil {
			o.from = r.Dead.Output
		}
		x := f.fate(o)
		if x.taken || x.refused {
			f.fault("%v is sent again after it was done: %+v", o, *x)
		}
		all, bodies = append(all, o), append(bodies, body)
	}
	if len(all) != b.Records || len(all) == 0 {
		f.fault("a batch of %d records has %d", b.Records, len(all))
	}
	return all, bodies, time.Duration(f.rng.Int64N(int64(f.mood.slow) + 1))
}

func (f *fickle) fate(o origin) *fate {
	x := f.fates[o]
	if x == nil {
		x = &fate{}
		f.fates[o] = x
	}
	return x
}

func (f *fickle) each(all []origin, do func(*fate)) {
	for _, o := range all {
		do(f.fate(o))
	}
}

var errMood = errors.New("not in the mood")

// answer decides what becomes of the batch.
func (f *fickle) answer(b *engine.Batch, all []origin) error {
	m := f.mood
	dice := f.rng.IntN(100)
	hit := func(chance int) bool {
		dice -= chance
		return dice < 0
	}
	switch {
	case m.denied != "" && m.denied == b.Key:
		f.denied[b.Key] = true
		f.each(all, func(x *fate) { x.denied = true })
		return engine.Denied(errMood)
	case m.down || hit(m.fail):
		f.each(all, func(x *fate) { x.failed = true })
		return []error{errMood, engine.Retryable(errMood), context.DeadlineExceeded}[f.rng.IntN(3)]
	case hit(m.throttle):
		f.each(all, func(x *fate) { x.failed = true })
		return f.throttled()
	case hit(m.panicked):
		f.each(all, func(x *fate) { x.panics++ })
		panic("not in the mood")
	case hit(m.garbage):
		f.each(all, func(x *fate) { x.failed = true })
		return &engine.Partial{Delivered: []engine.Range{{From: len(all) / 2, To: len(all) + 1}}}
	case hit(m.partial):
		return f.part(all)
	}
	if i := poisonIn(all); i >= 0 {
		if len(all) == 1 {
			f.fate(all[0]).refused = true
		}
		return engine.Permanent("poison", errMood)
	}
	if hit(m.lost) {
		f.each(all, func(x *fate) { x.lost++; x.failed = true })
		return engine.Retryable(errMood)
	}
	f.take(all)
	return nil
}

func (f *fickle) throttled() error {
	return engine.RetryAfter(time.Duration(f.rng.IntN(20))*time.Second, errMood)
}

func poisonIn(all []origin) int {
	for i, o := range all {
		if o.poison() {
			return i
		}
	}
	return -1
}

// part takes the first records, refuses the poison among them, and leaves the rest.
func (f *fickle) part(all []origin) error {
	n := f.rng.IntN(len(all) + 1)
	p := &engine.Partial{Err: []error{nil, errMood, f.throttled(), engine.Permanent("poison", errMood)}[f.rng.IntN(4)]}
	if n == 0 && p.Err == nil || len(all)-n <= 1 && poisonIn(all[n:]) < 0 { // what it says of the rest must be true
		p.Err = errMood
	}
	if n < len(all) && poisonIn(all[n:]) < 0 && engine.AsWriteError(p.Err).Kind == engine.KindPermanent {
		p.Err = errMood
	}
	for i, o := range all[:n] {
		r := engine.Range{From: i, To: i + 1}
		if o.poison() {
			f.fate(o).refused = true
			p.Rejected = append(p.Rejected, engine.Rejected{Range: r, Reason: "poison"})
			continue
		}
		f.take(all[i : i+1])
		p.Delivered = append(p.Delivered, r)
	}
	rest := all[n:]
	f.each(rest, func(x *fate) { x.failed = true })
	if len(rest) == 1 && rest[0].poison() && engine.AsWriteError(p.Err).Kind == engine.KindPermanent {
		f.fate(rest[0]).refused = true
	}
	return p
}

// take has the records for good.
func (f *fickle) take(all []origin) {
	for _, o := range all {
		x := f.fate(o)
		x.taken = true
		line := f.key(o) + "|" + o.stream
		if last, ok := f.last[line]; ok && f.ordered && !f.letters && last.compare(o) >= 0 {
			f.fault("%v came after %v under key %q", o, last, f.key(o))
		}
		f.last[line] = o
	}
}

// look gives what became of a record.
func (f *fickle) look(o origin) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.fates[o]; x != nil {
		return *x
	}
	return fate{}
}

func (f *fickle) faults() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}
