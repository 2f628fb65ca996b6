package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
	"github.com/sluicelog/sluice/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A trial is a store in a file system that crashes, with the smallest segments that there are.
type trial struct {
	*testing.T
	*Store
	fs      *crashfs.FS
	options Options
	mint    enginetest.Mint
	told    *journal
	next    uint64 // sequence
}

// inTrial runs a test with an empty store, in a bubble.
func inTrial(t *testing.T, run func(*trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := &trial{T: t, fs: crashfs.New(), options: Options{Dir: "/letters", Room: MinRoom}, next: 1}
		tr.open()
		t.Cleanup(func() {
			tr.fs.Inject(nil)
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if n := tr.fs.Opened(); n > 0 {
				t.Errorf("%d files are still open", n)
			}
			tr.mint.Check(t)
		})
		run(tr)
	})
}

func (tr *trial) open() {
	tr.Helper()
	tr.openOn(tr.fs)
}

func (tr *trial) openOn(files seglog.FS) {
	tr.Helper()
	tr.told = &journal{}
	o := tr.options
	o.FS, o.Log = files, slog.New(slog.NewTextHandler(tr.told, nil))
	s, err := Open(o)
	if err != nil {
		tr.Fatal(err)
	}
	tr.Store = s
}

func (tr *trial) reopen() {
	tr.Helper()
	if err := tr.Close(); err != nil {
		tr.Fatal(err)
	}
	tr.open()
}

// crash has the machine stop, and another process open the store.
func (tr *trial) crash(seed uint64) {
	tr.Helper()
	after := tr.fs.Crash(rand.New(rand.NewPCG(seed, 1)))
	_ = tr.Close()
	tr.fs = after
	tr.open()
}

// A load is records of one chunk to be written.
type load struct {
	first uint64
	size  []int // of the records' bodies, at least
	dead  *engine.DeadLetter
}

func bodyOf(sequence uint64, size int) string {
	return fmt.Sprintf("record %d %0*d", sequence, size, 0)
}

// load makes records.
func (tr *trial) load(dead *engine.DeadLetter, size ...int) load {
	l := load{tr.next, size, dead}
	tr.next += uint64(len(size))
	return l
}

// batch makes a batch of loads; its bytes are overwritten when done is called.
func (tr *trial) batch(loads ...load) (b *engine.Batch, done func()) {
	var spans []engine.Span
	var chunks []*engine.Chunk
	for _, l := range loads {
		bodies := make([]string, len(l.size))
		for i, size := range l.size {
			bodies[i] = bodyOf(l.first+uint64(i), size)
		}
		c := tr.mint.Chunk(&engine.Stream{Tenant: "default", ID: "s", Tag: "shop.s"}, l.first, 1, bodies...)
		c.Resource = enginetest.Resource("host.name", "h")
		spans, chunks = append(spans, spanOf(c, l.dead)), append(chunks, c)
	}
	b = engine.NewBatch(spans...)
	b.Pin(chunks)
	return b, func() {
		for _, c := range chunks {
			c.Release()
		}
	}
}

func spanOf(c *engine.Chunk, dead *engine.DeadLetter) engine.Span {
	return engine.Span{Stream: c.Stream, Records: engine.SelectRange(0, c.Count), Bytes: len(c.Data), Arrived: c.Arrived, Dead: dead}
}

// write writes a load and gives up after some time.
func (tr *trial) write(l load, patience time.Duration) error { return tr.writeAll(patience, l) }

// writeAll writes loads as one batch.
func (tr *trial) writeAll(patience time.Duration, loads ...load) error {
	b, done := tr.batch(loads...)
	defer done()
	ctx, cancel := context.WithTimeout(tr.Context(), patience)
	defer cancel()
	return tr.Write(ctx, b)
}

// put writes a load, which must be stored.
func (tr *trial) put(dead *engine.DeadLetter, size ...int) load {
	tr.Helper()
	l := tr.load(dead, size...)
	if err := tr.write(l, time.Minute); err != nil {
		tr.Fatal(err)
	}
	return l
}

// fill writes letters of a kilobyte.
func (tr *trial) fill(letters int) {
	tr.Helper()
	for some := range slices.Chunk(slices.Repeat([]int{800}, letters), 4) {
		tr.put(nil, some...)
	}
}

// A found letter is one that was read.
type found struct{ id, sequence uint64 }

// list gives the chosen letters, in order, and what of them could not be read.
func (tr *trial) list(f engine.LetterFilter) (all []found, unread []*engine.LetterError) {
	tr.Helper()
	for l, err := range tr.Letters(tr.Context(), f) {
		if err != nil {
			e, ok := errors.AsType[*engine.LetterError](err)
			if !ok {
				tr.Fatal(err)
			}
			unread = append(unread, e)
			continue
		}
		body := enginetest.Body(l.Record)
		var sequence uint64
		if n, err := fmt.Sscanf(body, "record %d ", &sequence); n != 1 || sequence != l.Sequence {
			tr.Errorf("letter %d, of sequence %d, reads %.40q: %v", l.ID, l.Sequence, body, err)
		}
		if n := len(all); n > 0 && all[n-1].id >= l.ID {
			tr.Errorf("letter %d after %d", l.ID, all[n-1].id)
		}
		all = append(all, found{l.ID, sequence})
	}
	return all, unread
}

func sequences(all []found) (s []uint64) {
	for _, f := range all {
		s = append(s, f.sequence)
	}
	return s
}

func upTo(n uint64) []uint64 { return between(1, n) }

func between(from, to uint64) (all []uint64) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

// want says which records are there, in the order in which they were stored.
func (tr *trial) want(sequence ...uint64) {
	tr.Helper()
	all, unread := tr.list(engine.LetterFilter{})
	if got := sequences(all); !slices.Equal(got, sequence) || len(unread) > 0 {
		tr.Errorf("there are the records %d, %v; want %d", got, unread, sequence)
	}
	if n := tr.Stats().Letters; n != int64(len(all)) {
		tr.Errorf("stats: %d letters, there are %d", n, len(all))
	}
}

// remove removes the letters of records.
func (tr *trial) remove(sequence ...uint64) {
	tr.Helper()
	if err := tr.Remove(tr.Context(), tr.idsOf(sequence...)); err != nil {
		tr.Fatal(err)
	}
}

func (tr *trial) idsOf(sequence ...uint64) (ids []uint64) {
	tr.Helper()
	all, _ := tr.list(engine.LetterFilter{})
	for _, f := range all {
		if slices.Contains(sequence, f.sequence) {
			ids = append(ids, f.id)
		}
	}
	if len(ids) != len(sequence) {
		tr.Fatalf("of the records %d there are %d letters", sequence, len(ids))
	}
	return ids
}

// files counts the segments' files.
func (tr *trial) files() (n int) {
	for _, name := range tr.fs.Files() {
		if strings.HasSuffix(name, ".seg") {
			n++
		}
	}
	return n
}

// failOn has operations of some kinds fail.
func failOn(err error, kinds ...crashfs.Kind) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if slices.Contains(kinds, op.Kind) {
			return crashfs.Fault{Err: err}
		}
		return crashfs.Fault{}
	}
}

// wantRetryable says that a Write failed for the time being, and why.
func (tr *trial) wantRetryable(err error, why ...error) {
	tr.Helper()
	if we, ok := errors.AsType[*engine.WriteError](err); !ok || we.Kind != engine.KindRetryable {
		tr.Errorf("%v is not retryable", err)
	}
	for _, w := range why {
		if !errors.Is(err, w) {
			tr.Errorf("%v is not %v", err, w)
		}
	}
}
