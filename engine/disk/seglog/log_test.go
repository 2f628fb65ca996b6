package seglog_test

import (
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

func TestWhatIsAppendedIsThere(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		for round := range 4 {
			t.put(1+round, 100)
			t.put(20, 1000)
			t.wantAll(upTo(t.appended)...)
			if got := t.toldIDs(); !slices.Equal(got, upTo(t.appended)) {
				t.Errorf("told of %v", got)
			}
			if round%2 == 0 {
				t.reopen()
			} else {
				t.kill()
			}
			t.wantClean()
			t.wantAll(upTo(t.appended)...)
		}
		t.wantFailing(nil)
	})
}

// What an entry is told of itself is what a reader finds.
func TestPlaces(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		var all []*seglog.Entry
		for i := range 20 {
			all = append(all, entry(i, 700+i))
		}
		if err := t.Append(all...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p := t.Start()
		for i, e := range all {
			step, ok, err := t.Next(p, 1<<everyone, nil)
			if !ok || err != nil || step.Place != e.Place || step.Label != e.Label || step.LSN != seglog.LSN(i+1) {
				t.Fatalf("%+v, %v, %v, want %+v", step, ok, err, e)
			}
			if next := i + 1; next < len(all) && all[next].Place.Segment == e.Place.Segment && all[next].Place != e.After {
				t.Errorf("after %+v comes %+v", e, all[next].Place)
			}
			if p = step.After; p != e.After {
				t.Errorf("%v, want %v", p, e.After)
			}
		}
	})
}

// All that waits is one commit: one write, one sync.
func TestGroupCommit(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.SegmentSize = 1 << 20 }, func(t *trial) {
		t.put(1, 100)
		var kinds []crashfs.Kind
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			kinds = append(kinds, op.Kind)
			return crashfs.Fault{}
		})
		var once sync.Once
		t.options.Committed = func(es []*seglog.Entry) {
			once.Do(func() { // the first commit is under way as these come
				for range 50 {
					t.appended++
					if err := t.Append(entry(t.appended-1, 2000)); err != nil {
						t.Error(err)
					}
				}
			})
			t.committed(es)
		}
		t.reopen()
		kinds = nil
		t.put(1, 100)
		if want := []crashfs.Kind{crashfs.Write, crashfs.Sync}; !slices.Equal(kinds[len(kinds)-4:], slices.Concat(want, want)) {
			t.Errorf("%v", kinds)
		}
		t.wantAll(upTo(52)...)
	})
}

// A commit is bounded, so that who waits for the first does not wait for all.
func TestCommitsAreBounded(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.SegmentSize = 16 << 20 }, func(t *trial) {
		var sizes []int64 // of what is written between syncs
		size := int64(0)
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			switch {
			case op.Kind == crashfs.Write && op.Offset >= 8<<10:
				size += op.Size
			case op.Kind == crashfs.Sync:
				sizes, size = append(sizes, size), 0
			}
			return crashfs.Fault{}
		})
		t.put(10, 1<<20)
		t.put(1, 9<<20)
		for _, size := range sizes {
			if size > 8<<20 && size < 9<<20 || size > 9<<20+100 {
				t.Errorf("a write of %d bytes", size)
			}
		}
		t.wantAll(upTo(11)...)
	})
}

func TestTooLarge(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		const most = small - 8192 - 64 - 64*25 - 64
		if err := t.Append(entry(0, 10), entry(1, most+8)); !errors.Is(err, seglog.ErrTooLarge) {
			t.Error(err)
		}
		synctest.Wait()
		t.wantAll()
		t.put(3, most)
		t.wantAll(0, 1, 2)
		t.reopen()
		t.wantAll(0, 1, 2)
	})
}

func TestEmptyPayload(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.options.Committed = nil
		t.reopen()
		if err := t.Append(&seglog.Entry{Label: seglog.Label{Readers: 1}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		step, ok, err := t.Next(t.Start(), 1<<0, nil)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if b, err := t.Read(step.Place, func(int) []byte { return nil }); len(b) > 0 || err != nil {
			t.Error(b, err)
		}
	})
}

// The order of each appender's entries is kept, and those of a call stay next to each other.
func TestManyAppenders(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		const appenders, calls, each = 8, 50, 3
		var wg sync.WaitGroup
		for a := range appenders {
			wg.Go(func() {
				for c := range calls {
					var entries []*seglog.Entry
					for i := range each {
						entries = append(entries, entry((a*calls+c)*each+i, 50+a))
					}
					if err := t.Append(entries...); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		all, _, _ := t.scan(t.Start(), everyone)
		if len(all) != appenders*calls*each {
			t.Fatalf("%d entries", len(all))
		}
		next := make([]int, appenders)
		for i, f := range all {
			a := f.id / calls / each
			if f.id != a*calls*each+next[a] || f.id%each > 0 && all[i-1].id != f.id-1 {
				t.Fatalf("%d after %d", f.id, all[i-1].id)
			}
			next[a]++
		}
	})
}

// A reader that is behind all is given what comes, from the place where it ended.
func TestReaderGoesOn(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		p := t.Start()
		var got []int
		for range 30 {
			t.put(1, 500)
			some, _, after := t.scan(p, everyone)
			got, p = append(got, ids(some)...), after
		}
		if !slices.Equal(got, upTo(30)) {
			t.Errorf("read %v", got)
		}
		// The LSN says from where on; the rest is where to look.
		for _, f := range t.told {
			for _, from := range []seglog.Place{
				f.Place, {LSN: f.LSN}, {LSN: f.LSN, Segment: f.Segment}, {LSN: f.LSN, Segment: 99, Offset: 9000},
			} {
				if some, _, _ := t.scan(from, everyone); !slices.Equal(ids(some), between(f.id, 30)) {
					t.Errorf("from %v on: %v", from, ids(some))
				}
			}
		}
		if some, _, end := t.scan(seglog.Place{LSN: 1000}, everyone); len(some) > 0 || end.LSN != 1000 {
			t.Errorf("behind the end: %v, %v", ids(some), end)
		}
	})
}

func TestClosed(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.put(3, 100)
		p := t.Start()
		for range 2 {
			if err := t.Close(); err != nil {
				t.Error(err)
			}
		}
		_, _, next := t.Next(p, 1<<everyone, nil)
		_, read := t.read(p)
		for what, err := range map[string]error{"append": t.Append(entry(9, 30)), "free": t.Free(1), "next": next, "read": read} {
			if !errors.Is(err, seglog.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		t.open()
		t.wantAll(0, 1, 2)
	})
}

// What is queued when the log is closed is committed.
func TestCloseCommits(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		for i := range 40 {
			if err := t.Append(entry(i, 600)); err != nil {
				t.Fatal(err)
			}
		}
		t.reopen()
		t.wantClean()
		t.wantAll(upTo(40)...)
		if got := t.toldIDs(); !slices.Equal(got, upTo(40)) {
			t.Errorf("told of %v", got)
		}
	})
}

// The log is called back from its own goroutine.
func TestCommittedCallsTheLog(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.options.Committed = func(es []*seglog.Entry) {
			t.committed(es)
			for _, e := range es {
				if _, err := t.read(e.Place); err != nil {
					t.Error(err)
				}
			}
			if t.appended++; t.appended < 30 {
				if err := t.Append(entry(t.appended, 900)); err != nil {
					t.Error(err)
				}
			}
			var old []uint64
			for _, s := range t.Segments() {
				if s.Sealed {
					old = append(old, s.Number)
				}
			}
			if err := t.Free(old...); err != nil {
				t.Error(err)
			}
		}
		t.reopen()
		if err := t.Append(entry(0, 900)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := t.toldIDs(); !slices.Equal(got, upTo(30)) {
			t.Errorf("told of %v", got)
		}
		if n := len(t.Segments()); n > 2 {
			t.Errorf("%d segments", n)
		}
	})
}

// Readers do not wait for whoever frees and closes, and are told.
func TestReadersWhileFreeing(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3 * perSmall)
		var wg sync.WaitGroup
		places := slices.Clone(t.told)
		for range 4 {
			wg.Go(func() {
				for {
					for _, f := range places {
						switch id, err := t.read(f.Place); {
						case errors.Is(err, seglog.ErrClosed):
							return
						case err != nil && !errors.Is(err, seglog.ErrGone), err == nil && id != f.id:
							t.Errorf("read %d: %d, %v", f.id, id, err)
						}
					}
					_, _, err := t.Next(seglog.Place{}, 1<<everyone, func(d seglog.Damage) { t.Error(d) })
					if errors.Is(err, seglog.ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for i := range 100 {
				if err := t.Append(entry(100+i, kilobyte)); err != nil {
					t.Error(err)
				}
				for _, s := range t.Segments() {
					if err := t.Free(s.Number); err != nil {
						t.Error(err)
					}
				}
			}
			if err := t.Close(); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	})
}

func TestOpenRefuses(t *testing.T) {
	for what, change := range map[string]func(*seglog.Options){
		"a small segment":        func(o *seglog.Options) { o.SegmentSize = 8 << 10 },
		"a large segment":        func(o *seglog.Options) { o.SegmentSize = 2 << 30 },
		"a segment of none":      func(o *seglog.Options) { o.SegmentSize = -1 },
		"storage for no segment": func(o *seglog.Options) { o.Storage = small - 1 },
		"less than no storage":   func(o *seglog.Options) { o.Storage = -1 },
		"no interval":            func(o *seglog.Options) { o.Interval = -1 },
		"no policy":              func(o *seglog.Options) { o.Sync = 7 },
	} {
		o := seglog.Options{Dir: dir, FS: crashfs.New(), SegmentSize: small}
		change(&o)
		if l, _, err := seglog.Open(o); err == nil {
			t.Errorf("%s is taken", what)
			_ = l.Close()
		}
	}
	// All defaults, and nobody who listens.
	var l io.Closer
	l, _, err := seglog.Open(seglog.Options{Dir: dir, FS: crashfs.New()})
	if err != nil || l.Close() != nil {
		t.Error(err)
	}
}
