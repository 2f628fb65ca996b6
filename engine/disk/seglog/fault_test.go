package seglog_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

var errBroken = errors.New("broken")

// syncs watches that a file whose sync or write failed is never synced again.
type syncs struct {
	*testing.T
	failed map[string]bool
}

func (s *syncs) watch(f func(crashfs.Op) crashfs.Fault) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		fault := f(op)
		file := strings.TrimSuffix(op.Name, ".idle")
		if op.Kind == crashfs.Sync && s.failed[file] {
			s.Errorf("%s is synced again", op.Name)
		}
		if fault.Err != nil && (op.Kind == crashfs.Sync || op.Kind == crashfs.Write) {
			s.failed[file] = true
		}
		return fault
	}
}

// Whatever fails while it commits: nobody is told of what is not safe, the log tries until it can, and everything is there once.
func TestCommitFails(t *testing.T) {
	faults := map[string]func(op crashfs.Op) crashfs.Fault{
		"no space to create":           failOn(syscall.ENOSPC, crashfs.Create),
		"no space to allocate":         failOn(syscall.ENOSPC, crashfs.Allocate),
		"no space to write":            failOn(syscall.ENOSPC, crashfs.Write),
		"no rename":                    failOn(errBroken, crashfs.Rename),
		"no sync":                      failOn(syscall.EIO, crashfs.Sync),
		"no sync of the directory":     failOn(syscall.EIO, crashfs.SyncDir),
		"no remove either":             failOn(errBroken, crashfs.Rename, crashfs.Remove, crashfs.Allocate),
		"nothing at all":               func(crashfs.Op) crashfs.Fault { return crashfs.Fault{Err: errBroken} },
		"a write goes through in part": through(700, syscall.ENOSPC, crashfs.Write),
		"all goes through, and fails": func(crashfs.Op) crashfs.Fault {
			return crashfs.Fault{Err: errBroken, Done: true}
		},
	}
	for name, fault := range faults {
		for _, policy := range []seglog.SyncPolicy{seglog.SyncAlways, seglog.SyncInterval, seglog.SyncNever} {
			for _, full := range []bool{false, true} { // the active segment as it begins
				t.Run(fmt.Sprintf("%s, policy %d, full %v", name, policy, full), func(t *testing.T) {
					inTrial(t, func(o *seglog.Options) { o.Sync = policy }, func(t *trial) {
						t.fill(1)
						if full {
							t.fill(perSmall - 1)
						}
						testFailure(t, fault)
					})
				})
			}
		}
	}
}

func through(n int, err error, kind crashfs.Kind) func(op crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if op.Kind != kind {
			return crashfs.Fault{}
		}
		return crashfs.Fault{Err: err, Through: n}
	}
}

func testFailure(t *trial, fault func(crashfs.Op) crashfs.Fault) {
	before := len(t.toldIDs())
	s := &syncs{t.T, map[string]bool{}}
	failed := false
	t.fs.Inject(s.watch(func(op crashfs.Op) crashfs.Fault {
		f := fault(op)
		failed = failed || f.Err != nil
		return f
	}))
	t.put(3, kilobyte)
	t.put(perSmall, kilobyte)
	if t.options.Sync == seglog.SyncInterval {
		sleep(10 * time.Second)
	}
	told := t.toldIDs()
	if !failed {
		if len(told) != t.appended {
			t.Errorf("nothing failed, and told of %v", told)
		}
		return
	}
	if f := t.toldFailures(); len(f) == 0 || f[0] == nil {
		t.Errorf("told %v", f)
	}
	if t.options.Sync == seglog.SyncAlways && len(told) > before+perSmall {
		t.Errorf("told of %v", told)
	}
	t.fs.Inject(s.watch(func(crashfs.Op) crashfs.Fault { return crashfs.Fault{} }))
	sleep(5 * time.Second)
	t.wantFailing(nil)
	if told := t.toldIDs(); !slices.Equal(told, upTo(t.appended)) {
		t.Errorf("told of %v", told)
	}
	t.wantAll(upTo(t.appended)...)
	if t.options.Sync == seglog.SyncAlways {
		t.crash(rngOf(uint64(t.appended)))
	} else {
		t.kill()
	}
	t.wantClean()
	t.wantAll(upTo(t.appended)...)
	t.put(1, kilobyte)
	t.wantAll(upTo(t.appended)...)
}

// A disk that takes heads and no entries does not fill up with empty segments.
func TestNoEmptySegmentsPileUp(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write && op.Offset >= 8<<10 {
				return crashfs.Fault{Err: syscall.EIO}
			}
			return crashfs.Fault{}
		})
		t.put(1, kilobyte)
		sleep(time.Hour)
		if n := len(t.files(".seg")); n > 1 || t.Used() > small || len(t.Segments()) > 1 {
			t.Errorf("%d files, %d bytes", n, t.Used())
		}
		t.fs.Inject(nil)
		sleep(5 * time.Second)
		t.wantAll(0)
	})
}

func TestBackoff(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		start := time.Now()
		var at []time.Duration
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind != crashfs.Create {
				return crashfs.Fault{}
			}
			at = append(at, time.Since(start))
			return crashfs.Fault{Err: syscall.ENOSPC}
		})
		t.put(1, kilobyte)
		sleep(20 * time.Second)
		t.put(1, kilobyte) // does not have it try more often
		ms := time.Millisecond
		want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 11300 * ms, 16300 * ms}
		if !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		t.wantFailing(syscall.ENOSPC)
		if n := len(t.toldFailures()); n != len(want) {
			t.Errorf("told of %d failures", n)
		}
		t.fs.Inject(nil)
		sleep(5 * time.Second)
		t.wantFailing(nil)
		at, start = nil, time.Now()
		t.fs.Inject(failOn(syscall.ENOSPC, crashfs.Write))
		t.put(1, kilobyte)
		n := len(t.toldFailures())
		sleep(150 * ms)
		if len(t.toldFailures()) != n+1 {
			t.Error("it does not begin with a short pause again")
		}
	})
}

// What is queued as a failing log is closed is tried once more, and not told.
func TestCloseWhileFailing(t *testing.T) {
	for _, heals := range []bool{false, true} {
		inTrial(t, nil, func(t *trial) {
			t.put(1, kilobyte)
			t.fs.Inject(failOn(syscall.EIO, crashfs.Sync))
			t.put(2, kilobyte)
			sleep(time.Minute)
			if heals {
				t.fs.Inject(nil)
			}
			if err := t.Close(); err != nil && heals {
				t.Error(err)
			}
			want := []int{0}
			if heals {
				want = []int{0, 1, 2}
			}
			if got := t.toldIDs(); !slices.Equal(got, want) {
				t.Errorf("told of %v", got)
			}
			if err := t.Append(entry(9, 30)); !errors.Is(err, seglog.ErrClosed) {
				t.Error(err)
			}
			t.fs.Inject(nil)
			t.open()
			t.wantClean()
			t.wantAll(want...)
			if len(t.files(".idle")) > 0 {
				t.Errorf("%v", t.files(".idle"))
			}
		})
	}
}

func TestCloseTellsWhatFails(t *testing.T) {
	for _, kind := range []crashfs.Kind{crashfs.Write, crashfs.Sync} {
		inTrial(t, nil, func(t *trial) {
			t.put(3, kilobyte)
			t.fs.Inject(failOn(errBroken, kind))
			if err := t.Close(); !errors.Is(err, errBroken) {
				t.Errorf("%s: %v", kind, err)
			}
			t.fs.Inject(nil)
			t.open()
			t.wantAll(0, 1, 2)
		})
	}
}

// A sync in the background that fails is told, and so is that the log works again, though nothing is appended.
func TestBackgroundSyncFails(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.Sync = seglog.SyncInterval }, func(t *trial) {
		s := &syncs{t.T, map[string]bool{}}
		t.put(2, kilobyte)
		t.fs.Inject(s.watch(failOn(syscall.EIO, crashfs.Sync)))
		sleep(time.Minute)
		t.wantFailing(syscall.EIO)
		t.fs.Inject(s.watch(failOn(nil)))
		sleep(5 * time.Second)
		t.wantFailing(nil)
		t.wantAll(0, 1)
		t.put(1, kilobyte)
		t.kill()
		t.wantAll(0, 1, 2)
	})
}

func TestSyncPolicies(t *testing.T) {
	for policy, want := range map[seglog.SyncPolicy][]time.Duration{
		seglog.SyncAlways:   {0, 100, 200, 300, 3000, 3100},
		seglog.SyncInterval: {1000, 4000},
		seglog.SyncNever:    nil,
	} {
		inTrial(t, func(o *seglog.Options) { o.Sync = policy }, func(t *trial) {
			t.put(1, 100)
			sleep(time.Minute)
			start := time.Now()
			var at []time.Duration
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
				if op.Kind == crashfs.Sync {
					at = append(at, time.Since(start)/time.Millisecond)
				}
				return crashfs.Fault{}
			})
			for range 4 {
				t.put(1, 100)
				sleep(100 * time.Millisecond)
			}
			sleep(2600 * time.Millisecond)
			t.put(1, 100)
			sleep(100 * time.Millisecond)
			t.put(1, 100)
			sleep(time.Minute)
			if !slices.Equal(at, want) {
				t.Errorf("policy %d: synced at %v, want %v", policy, at, want)
			}
			at = nil
			t.fill(perSmall)
			if policy != seglog.SyncAlways && len(at) != 2 {
				t.Errorf("policy %d: a segment ends and one begins with %d syncs", policy, len(at))
			}
		})
	}
}

// With entries that come without a pause, too, the interval is kept.
func TestIntervalWhileBusy(t *testing.T) {
	inTrial(t, func(o *seglog.Options) { o.Sync, o.SegmentSize = seglog.SyncInterval, 1<<20 }, func(t *trial) {
		syncs := 0
		t.options.Committed = func([]*seglog.Entry) {
			t.appended++
			if t.appended < 100 {
				if err := t.Append(entry(t.appended, 100)); err != nil { // there is always something to commit
					t.Error(err)
				}
			}
			time.Sleep(200 * time.Millisecond)
		}
		t.reopen()
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Sync {
				syncs++
			}
			return crashfs.Fault{}
		})
		if err := t.Append(entry(0, 100)); err != nil {
			t.Fatal(err)
		}
		sleep(20 * time.Second)
		if syncs < 16 || syncs > 20 { // a second after the first write that is not synced
			t.Errorf("%d syncs in 20 s", syncs)
		}
	})
}

func TestReadFails(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(3)
		for _, f := range []crashfs.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, Through: 20}} {
			t.fs.Inject(func(op crashfs.Op) crashfs.Fault { return f })
			step, ok, err := t.Next(t.Start(), 1<<everyone, nil)
			if !errors.Is(err, syscall.EIO) || ok || step.After != t.Start() {
				t.Errorf("%v, %v, %v", step, ok, err)
			}
			if _, err := t.read(t.told[1].Place); !errors.Is(err, syscall.EIO) {
				t.Error(err)
			}
			t.fs.Inject(nil)
			t.wantAll(0, 1, 2)
		}
		if d := t.Segments()[0].Damage; len(d) > 0 {
			t.Errorf("%v", d)
		}
		// Less than was asked for is damage: a file that was cut short.
		t.fs.Inject(func(op crashfs.Op) crashfs.Fault {
			if op.Size == kilobyte {
				return crashfs.Fault{Err: io.EOF, Through: 400}
			}
			return crashfs.Fault{}
		})
		_, err := t.read(t.told[1].Place)
		d, ok := errors.AsType[*seglog.DamageError](err)
		if !ok || d.Segment != 1 || d.Offset != t.told[1].Offset || d.From != 2 || d.To != 3 {
			t.Error(err)
		}
	})
}

// Open fails where it cannot read, and takes nothing with it.
func TestOpenFails(t *testing.T) {
	inTrial(t, nil, func(t *trial) {
		t.fill(2 * perSmall)
		t.free(1)
		t.reopen()
		t.fill(2)
		t.die(t.fs.Kill())
		before := t.fs.Ops()
		t.open()
		ops := t.fs.Ops() - before
		for n := range ops {
			t.die(t.fs.Kill())
			op := crashfs.Op{}
			t.fs.Inject(func(o crashfs.Op) crashfs.Fault {
				if o.N == n+1 {
					op = o
					return crashfs.Fault{Err: syscall.EIO}
				}
				return crashfs.Fault{}
			})
			o := t.options
			o.FS = t.fs
			l, _, err := seglog.Open(o)
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("%+v: %v", op, err)
			}
			if err == nil {
				if err := l.Close(); err != nil {
					t.Errorf("%+v: %v", op, err)
				}
			}
			t.fs.Inject(nil)
			t.open()
			t.wantAll(between(perSmall, t.appended)...)
		}
		synctest.Wait()
	})
}
