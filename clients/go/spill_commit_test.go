package sluice

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
)

// What a failed write or sync left behind does not come back.
func TestSpillUndoesWhatFailed(t *testing.T) {
	full := errors.New("no space left on device")
	for name, fail := range map[string]func(crashfs.Op) crashfs.Fault{
		"write":             failing(crashfs.Write, crashfs.Fault{Err: full}),
		"short write":       failing(crashfs.Write, crashfs.Fault{Err: full, Through: 30}),
		"write that is all": failing(crashfs.Write, crashfs.Fault{Err: full, Done: true}),
		"sync":              failing(crashfs.Sync, crashfs.Fault{Err: full}),
		"write and truncate": func(op crashfs.Op) crashfs.Fault {
			if op.Kind == crashfs.Write || op.Kind == crashfs.Truncate {
				return crashfs.Fault{Err: full, Done: op.Kind == crashfs.Write}
			}
			return crashfs.Fault{}
		},
		"create": failing(crashfs.Create, crashfs.Fault{Err: full}),
	} {
		for _, before := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s after %d", name, before), func(t *testing.T) {
				d := crashfs.New()
				s := unrun(t, d)
				s.spill.sync = true
				var want []string
				for i := range before {
					put(t, s, []string{fmt.Sprint("a", i)})
					want = append(want, fmt.Sprintf("100:%d:a%d", i+1, i))
				}
				d.Inject(fail)
				c := s.spill.gather([]byte("fails"), 2, 1<<20)
				if err := s.carryOut(c); name == "create" && before > 0 {
					want = append(want, fmt.Sprintf("100:%d:fails", before+1))
				} else if !errors.Is(err, full) || !errors.Is(err, ErrSpillFailed) {
					t.Errorf("error %v", err)
				} else if st := s.stats.Dropped; st.SpillFailed != 1 || s.spill.stats().Err == nil {
					t.Errorf("stats %+v", st)
				}
				d.Inject(nil)
				put(t, s, []string{"b", "c", "d"})
				for _, r := range []string{"b", "c", "d"} {
					want = append(want, fmt.Sprintf("100:%d:%s", len(want)+1, r))
				}
				if s.spill.stats().Err != nil || s.spill.pending != 0 || s.spill.pendingBytes != 0 {
					t.Errorf("stats %+v, %d pending", s.spill.stats(), s.spill.pending)
				}
				if diff := cmp.Diff(want, readAll(t, s)); diff != "" {
					t.Errorf("read by the same process: %s", diff)
				}
				leave(t, s)
				got, lost := reread(t, d)
				if diff := cmp.Diff(want, got); diff != "" || lost != 0 {
					t.Errorf("%d lost, %s", lost, diff)
				}
				if d.Opened() != 0 {
					t.Errorf("%d files are open", d.Opened())
				}
			})
		}
	}
}

func failing(kind crashfs.Kind, f crashfs.Fault) func(crashfs.Op) crashfs.Fault {
	return func(op crashfs.Op) crashfs.Fault {
		if op.Kind == kind {
			return f
		}
		return crashfs.Fault{}
	}
}

// With SyncAlways a crash of the machine costs nothing that was written, whatever the disk makes of the rest.
func TestSpillOutlivesACrashOfTheMachine(t *testing.T) {
	for seed := range uint64(200) {
		rng := newRand(seed)
		d := crashfs.New()
		s := unrun(t, d)
		s.spill.sync = true
		var want []string
		for i := range 1 + rng.IntN(60) {
			put(t, s, []string{fmt.Sprint(i, strings.Repeat("x", rng.IntN(400)))})
			want = append(want, fmt.Sprintf("100:%d:%d", i+1, i))
		}
		got, lost := reread(t, d.Crash(rng))
		for i := range got {
			got[i] = strings.TrimRight(got[i], "x")
		}
		if diff := cmp.Diff(want, got); diff != "" || lost != 0 {
			t.Fatalf("seed %d: %d lost, %s", seed, lost, diff)
		}
	}
}
