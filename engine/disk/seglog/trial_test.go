package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dir      = "/log"
	everyone = 63 // a reader that all entries are for
	small    = 16 << 10
	kilobyte = 1000 // a payload of which perSmall fit into a small segment
	perSmall = 6
)

// A trial is a log in a file system that crashes, and what it told.
type trial struct {
	*testing.T
	*seglog.Log
	fs       *crashfs.FS
	options  seglog.Options
	recovery seglog.Recovery
	appended int

	mu       sync.Mutex // guards what follows
	told     []found    // committed, in the order of the telling
	commits  []int      // how many entries each had
	failures []error    // as the log told that is open; nil: it works again
}

// A found is an entry that is in the log.
type found struct {
	seglog.Place
	id int
}

// inTrial runs a test with an empty log, in a bubble.
func inTrial(t *testing.T, change func(*seglog.Options), run func(*trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := &trial{T: t, fs: crashfs.New()}
		tr.options = seglog.Options{Dir: dir, SegmentSize: small, Committed: tr.committed, Failing: tr.failing}
		if change != nil {
			change(&tr.options)
		}
		tr.open()
		t.Cleanup(func() {
			tr.fs.Inject(nil)
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if n := tr.fs.Opened(); n > 0 {
				t.Errorf("%d files are still open", n)
			}
		})
		run(tr)
	})
}

func (tr *trial) committed(entries []*seglog.Entry) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.commits = append(tr.commits, len(entries))
	for _, e := range entries {
		tr.told = append(tr.told, found{e.Place, idOf(slices.Concat(e.Head, e.Body))})
	}
}

func (tr *trial) failing(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failures = append(tr.failures, err)
}

// toldIDs gives what was told to be committed.
func (tr *trial) toldIDs() []int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return ids(tr.told)
}

func (tr *trial) toldFailures() []error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.failures)
}

// wantFailing says whether the last word is that the log fails, and how.
func (tr *trial) wantFailing(want error) {
	tr.Helper()
	f := tr.toldFailures()
	switch {
	case want == nil && len(f) > 0 && f[len(f)-1] != nil, want != nil && (len(f) == 0 || !errors.Is(f[len(f)-1], want)):
		tr.Errorf("told %v, want %v in the end", f, want)
	}
}

func (tr *trial) open() {
	tr.Helper()
	tr.options.FS = tr.fs
	l, r, err := seglog.Open(tr.options)
	if err != nil {
		tr.Fatal(err)
	}
	tr.Log, tr.recovery = l, r
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failures = nil
}

// reopen closes the log, and opens it again.
func (tr *trial) reopen() {
	tr.Helper()
	if err := tr.Close(); err != nil {
		tr.Fatal(err)
	}
	tr.open()
}

// kill has the process die, and another one open the log.
func (tr *trial) kill() {
	tr.Helper()
	tr.die(tr.fs.Kill())
	tr.open()
}

// crash has the machine stop, and another process open the log.
func (tr *trial) crash(rng *rand.Rand) {
	tr.Helper()
	tr.die(tr.fs.Crash(rng))
	tr.open()
}

// die ends the goroutines of a log whose file system is gone.
func (tr *trial) die(next *crashfs.FS) {
	synctest.Wait()
	_ = tr.Close()
	tr.fs = next
}

// payload is what entry id consists of. Its head says what is in the rest.
func payload(id, size int) []byte {
	b := fmt.Appendf(make([]byte, 0, size), "%010d %08d ", id, size)
	for len(b) < size {
		b = append(b, pattern[id&0xff:][:min(256, size-len(b))]...)
	}
	return b
}

var pattern = func() (p [512]byte) {
	for i := range p {
		p[i] = byte(i)
	}
	return p
}()

// idOf is the entry that a payload is of; it panics where it is none.
func idOf(b []byte) int {
	var id, size int
	if _, err := fmt.Sscanf(string(b[:20]), "%d %d", &id, &size); err != nil || !bytes.Equal(b, payload(id, size)) {
		panic(fmt.Sprintf("%q is no payload: %v", b[:min(len(b), 40)], err))
	}
	return id
}

func entry(id, size int) *seglog.Entry {
	b := payload(id, size)
	cut := id % len(b)
	readers := uint64(1)<<everyone | 1<<(id%3)
	return &seglog.Entry{
		Label: seglog.Label{Readers: readers, Records: uint32(id), Bytes: uint32(size), Time: int64(id)},
		Head:  b[:cut], Body: b[cut:], Owner: id,
	}
}

// put queues n more entries with one call, and waits until nothing goes on.
func (tr *trial) put(n, size int) {
	tr.Helper()
	var entries []*seglog.Entry
	for range n {
		entries = append(entries, entry(tr.appended, size))
		tr.appended++
	}
	if err := tr.Append(entries...); err != nil {
		tr.Fatal(err)
	}
	synctest.Wait()
}

// fill puts entries of which perSmall fill a segment, in commits of their own.
func (tr *trial) fill(n int) {
	tr.Helper()
	for range n {
		tr.put(1, kilobyte)
	}
}

func (tr *trial) read(p seglog.Place) (int, error) {
	b, err := tr.Read(p, func(n int) []byte { return make([]byte, n) })
	if err != nil {
		return 0, err
	}
	return idOf(b), nil
}

// scan gives what a reader finds from a place on, what is damaged, and where it ends.
func (tr *trial) scan(p seglog.Place, reader int) (all []found, damage []seglog.Damage, end seglog.Place) {
	tr.Helper()
	for {
		step, ok, err := tr.Next(p, 1<<reader, func(d seglog.Damage) { damage = append(damage, d) })
		if err != nil {
			tr.Fatal(err)
		}
		if p = step.After; !ok {
			return all, damage, p
		}
		id, err := tr.read(step.Place)
		var d *seglog.DamageError
		switch {
		case errors.As(err, &d):
			damage = append(damage, d.Damage)
		case err != nil:
			tr.Fatal(err)
		default:
			if want := entry(id, int(step.Bytes)).Label; step.Label != want {
				tr.Errorf("entry %d: %+v, want %+v", id, step.Label, want)
			}
			all = append(all, found{step.Place, id})
		}
	}
}

func ids(all []found) []int {
	out := make([]int, len(all))
	for i, f := range all {
		out[i] = f.id
	}
	return out
}

// wantAll says that the log holds exactly these entries, for everyone and for each reader, and nothing damaged.
func (tr *trial) wantAll(want ...int) {
	tr.Helper()
	all, damage, end := tr.scan(tr.Start(), everyone)
	if got := ids(all); !slices.Equal(got, want) || len(damage) > 0 {
		tr.Errorf("the log holds %v, want %v; damage %v", got, want, damage)
	}
	if end.LSN != tr.End().LSN {
		tr.Errorf("a reader ends at %v, the log at %v", end, tr.End())
	}
	for reader := range 3 {
		some, _, end := tr.scan(tr.Start(), reader)
		his := slices.DeleteFunc(slices.Clone(want), func(id int) bool { return id%3 != reader })
		if got := ids(some); !slices.Equal(got, his) {
			tr.Errorf("reader %d finds %v, want %v", reader, got, his)
		}
		if end.LSN != tr.End().LSN {
			tr.Errorf("reader %d ends at %v, the log at %v", reader, end, tr.End())
		}
	}
}

// wantClean says that the log was found as a clean stop leaves it.
func (tr *trial) wantClean() {
	tr.Helper()
	if r := tr.recovery; len(r.Cut)+len(r.Damage)+len(r.Missing) > 0 {
		tr.Errorf("found %+v", r)
	}
}

func upTo(n int) []int { return between(0, n) }

func between(from, to int) (ids []int) {
	for id := from; id < to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// numbers gives those of the segments that the log holds.
func (tr *trial) numbers() (numbers []uint64) {
	for _, s := range tr.Segments() {
		numbers = append(numbers, s.Number)
	}
	return numbers
}

// files gives the names of the files with that end.
func (tr *trial) files(suffix string) (names []string) {
	for _, name := range tr.fs.Files() {
		if strings.HasSuffix(name, suffix) {
			names = append(names, strings.TrimPrefix(name, dir+"/"))
		}
	}
	return names
}

func segment(number int) string { return filepath.Join(dir, fmt.Sprintf("%020d.seg", number)) }

func (tr *trial) free(numbers ...uint64) {
	tr.Helper()
	if err := tr.Free(numbers...); err != nil {
		tr.Fatal(err)
	}
}

// failOn has operations of these kinds fail.
func failOn(err error, kinds ...crashfs.Kind) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if slices.Contains(kinds, op.Kind) {
			return crashfs.Fault{Err: err}
		}
		return crashfs.Fault{}
	}
}

// sleep lets time pass, and waits until nothing goes on.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
