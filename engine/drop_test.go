package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/schedule"
)

// tail is an output that drops its oldest records over a share of so many bytes.
func tail(out engine.Output, share int64) engine.OutputOptions {
	o := keyed("tail", out)
	o.Share, o.DropOldest = share, true
	return o
}

// An output that drops its oldest takes no part in acks, and keeps the newest; the others get everything.
func TestDropOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, last := &probe{}, &probe{answer: alwaysDown}
		const share = 256 * kib
		o := tail(last, share)
		o.Scheduler = schedule.NewSync(engine.BatchLimits{MaxRecords: 10})
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Engine: 4 * mib, Stream: mib},
			Outputs: []engine.OutputOptions{keyed("main", main), o},
		})
		s := r.open(engine.Open{StreamID: "s"})
		const records = 3000
		body := func(i int) string { return fmt.Sprint(i, " ", strings.Repeat("x", kib)) }
		var all []string
		for i := range records {
			all = append(all, body(i+1))
			r.append(s, uint64(i+1), all[i])
			time.Sleep(100 * time.Millisecond)
			if st := status(s); st.State != engine.StateActive {
				t.Fatalf("paused for an output that drops: %+v", st)
			}
		}
		time.Sleep(time.Second)
		if st := status(s); st.Acked != records || st.Held != 0 {
			t.Errorf("while it is down: %+v", st)
		}
		wantBodies(t, "the other output", main.bodies(), all)
		st := r.output("tail")
		if st.ShareUsed > share || st.ShareUsed < share/2 {
			t.Errorf("it holds %d of a share of %d", st.ShareUsed, share)
		}
		dropped := st.Done[engine.DoneLabel{Result: "dropped", Reason: "drop_oldest"}].Records
		if dropped == 0 || dropped+st.Backlog.Records != records {
			t.Errorf("dropped %d, has %d of %d", dropped, st.Backlog.Records, records)
		}
		main.will(alwaysDown)
		r.append(s, records+1, strings.Repeat("x", 200*kib)) // more than the share, and than the least limit there is
		if st := status(s); st.State != engine.StateActive || st.Limit < mib {
			t.Errorf("its share is full, and limits the stream: %+v", st)
		}
		time.Sleep(time.Second)
		main.will(nil)
		for i := range 100 {
			all = append(all, body(records+2+i))
			r.append(s, uint64(records+2+i), all[records+i])
			time.Sleep(100 * time.Millisecond)
		}
		dropped = r.output("tail").Done[engine.DoneLabel{Result: "dropped", Reason: "drop_oldest"}].Records
		last.will(nil)
		r.finish()
		if got := last.bodies(); len(got) != records+101-int(dropped) || len(got) < 90 || !slices.Equal(got, all[len(all)-len(got):]) {
			t.Errorf("%d records are left of %d, %d dropped, from %.10q on", len(got), records+101, dropped, got)
		}
	})
}

// What flies is never dropped, however far the output is over its share.
func TestDropOldestLeavesWhatFlies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letGo := make(chan struct{})
		out := &probe{answer: func(context.Context, *engine.Batch) error { <-letGo; return nil }}
		o := tail(out, 16*kib)
		o.FlushTimeout = time.Hour
		r := newRig(t, engine.Options{Outputs: []engine.OutputOptions{o, keyed("main", &probe{})}})
		s := r.open(engine.Open{StreamID: "s"})
		large := "first " + strings.Repeat("x", 6*kib)
		r.append(s, 1, large)
		time.Sleep(time.Second)
		for i := range uint64(100) {
			r.append(s, i+2, fmt.Sprint("later-", i+1, strings.Repeat("x", kib)))
			time.Sleep(time.Second)
		}
		if st := r.output("tail"); st.InFlight != 1 || st.Done[engine.DoneLabel{Result: "dropped", Reason: "drop_oldest"}].Records < 90 {
			t.Errorf("%d in flight, ended %v", st.InFlight, st.Done)
		}
		close(letGo)
		r.finish()
		if got := out.bodies(); len(got) == 0 || got[0] != large {
			t.Errorf("delivered %d records: %.30q", len(got), got)
		}
	})
}

// An output that drops holds no more than its share, and what flies, when much of what it has was attempted before: with
// many keys each has a batch that backs off.
func TestDropOldestBoundsWhatBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, last := &probe{}, &probe{key: byStream, answer: alwaysDown}
		const share, streams = 64 * kib, 100
		r := newRig(t, engine.Options{
			Limits:  engine.Limits{Engine: 4 * mib, Stream: mib},
			Outputs: []engine.OutputOptions{keyed("main", main), tail(last, share)},
		})
		var sessions []*engine.Session
		for i := range streams {
			sessions = append(sessions, r.open(engine.Open{StreamID: fmt.Sprint("s-", i)}))
		}
		body := strings.Repeat("x", 7*kib)
		for i := range uint64(10) {
			for _, s := range sessions {
				r.append(s, i+1, body)
			}
			time.Sleep(time.Minute)
			// Four may fly, of 8 KiB each.
			if st := r.output("tail"); st.ShareUsed > share+4*9*kib {
				t.Errorf("after round %d it holds %d of a share of %d", i+1, st.ShareUsed, share)
			}
		}
		if n := len(main.bodies()); n != 10*streams {
			t.Errorf("the other output got %d records", n)
		}
		last.will(nil)
		r.finish()
	})
}

// What was attempted is dropped in its turn as all else is: after a long outage what is left is the newest.
func TestDropOldestKeepsTheNewest(t *testing.T) {
	limits := engine.BatchLimits{MaxRecords: 4}
	fixed := schedule.Fixed(4)
	answers := map[string]answer{
		"down":    alwaysDown,
		"denied":  func(context.Context, *engine.Batch) error { return errDenied },
		"hanging": func(ctx context.Context, _ *engine.Batch) error { <-ctx.Done(); return ctx.Err() },
	}
	for outage, answer := range answers {
		for name, build := range map[string]func() engine.Scheduler{
			"sync":       func() engine.Scheduler { return schedule.NewSync(limits) },
			"keyed":      func() engine.Scheduler { return schedule.NewKeyed(limits, fixed) },
			"concurrent": func() engine.Scheduler { return schedule.NewConcurrent(limits, fixed) },
		} {
			for _, streams := range []int{1, 40} {
				t.Run(fmt.Sprint(outage, ", ", name, ", streams: ", streams), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						outlast(t, &probe{key: byStream, answer: answer}, build(), streams)
					})
				})
			}
		}
	}
}

// outlast has an output that drops its oldest be out of order for long.
func outlast(t *testing.T, last *probe, s engine.Scheduler, streams int) {
	const share, records = 128 * kib, 2000
	o := tail(last, share)
	o.Scheduler = s
	r := newRig(t, engine.Options{
		Limits:  engine.Limits{Engine: 4 * mib, Stream: mib},
		Outputs: []engine.OutputOptions{keyed("main", &probe{}), o},
	})
	var sessions []*engine.Session
	for i := range streams {
		sessions = append(sessions, r.open(engine.Open{StreamID: fmt.Sprint("s-", i)}))
	}
	for i := range records {
		r.append(sessions[i%streams], uint64(i/streams+1), fmt.Sprintf("%d%3000s", i, ""))
		time.Sleep(time.Second)
	}
	last.will(nil)
	time.Sleep(2 * time.Minute)
	r.finish()
	got := map[string]bool{}
	for _, body := range last.bodies() {
		got[strings.TrimSpace(body)] = true
	}
	// A chunk is charged 4.5 KiB, so the share holds 28; of those that flew there were four batches at most.
	newest := 0
	for newest < records && got[fmt.Sprint(records-1-newest)] {
		newest++
	}
	if newest < 12 || len(got) > 28+4*4+1 {
		t.Errorf("%d records are left, of which the newest are %d", len(got), newest)
	}
}

// Dead letters are not for dropping: they charge their output's share nothing, so dropping them would not help it.
func TestDeadLettersAreNotForAnOutputThatDrops(t *testing.T) {
	o := keyed("out", &probe{})
	o.DeadLetter = "tail"
	_, err := engine.New(engine.Options{Outputs: []engine.OutputOptions{o, tail(&probe{}, mib)}})
	if err == nil || !strings.Contains(err.Error(), `"out"`) || !strings.Contains(err.Error(), `"tail"`) {
		t.Errorf("dead letters for an output that drops: %v", err)
	}
}

// An output that drops its oldest asks a destination that is down as seldom as any other does: dropping what backs off is no
// way round the backoff.
func TestDropOldestKeepsBackingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &probe{key: byStream, answer: alwaysDown}
		r := newRig(t, engine.Options{Limits: engine.Limits{Engine: 4 * mib}, Outputs: []engine.OutputOptions{tail(out, 128*kib)}})
		const streams, seconds = 40, 600
		var all []*engine.Session
		for i := range streams {
			all = append(all, r.open(engine.Open{StreamID: fmt.Sprint(i)}))
		}
		body := strings.Repeat("x", 3*kib)
		for i := range uint64(seconds) {
			for _, s := range all {
				r.append(s, i+1, body)
			}
			time.Sleep(time.Second)
		}
		out.mu.Lock()
		writes := out.writes
		out.mu.Unlock()
		// Each key is tried some six times until its waits, 15 s on average, are the longest that there are.
		if most := streams * (6 + seconds/10); writes > most {
			t.Errorf("%d writes in %d s to a destination that is down, want at most %d", writes, seconds, most)
		}
		out.will(nil)
		r.finish()
	})
}
