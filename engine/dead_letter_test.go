package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
)

// Dead letters that their output refuses go on to the next one, with their first reason; nothing else is lost on the way.
func TestDeadLetterChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		not := func(word string) answer {
			return refusing(func(body string) bool { return strings.Contains(body, word) }, engine.Permanent("not_"+word, errors.New("no "+word)))
		}
		a, b, c := &probe{answer: not("bad")}, &probe{answer: not("worse")}, &probe{answer: not("worst")}
		oa, ob := keyed("a", a), keyed("b", b)
		oa.DeadLetter, ob.DeadLetter = "b", "c"
		var log strings.Builder
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{oa, ob, keyed("c", c)},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"a"}}},
			Log:     slog.New(slog.NewTextHandler(&log, nil)),
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "1", "2 bad", "3 bad worse", "4", "5 bad worse worst", "6 bad", "7")
		time.Sleep(time.Second)
		if st := status(s); st.Acked != 7 {
			t.Errorf("acked %d", st.Acked)
		}
		r.finish()
		wantBodies(t, "a", a.bodies(), []string{"1", "4", "7"})
		wantBodies(t, "b", b.bodies(), []string{"2 bad", "6 bad"})
		wantBodies(t, "c", c.bodies(), []string{"3 bad worse"})
		for _, l := range append(b.taken(), c.taken()...) {
			if l.dead == nil || l.dead.Output != "a" || l.dead.Reason != "not_bad" {
				t.Errorf("dead letter %q: %+v, want a's refusal", l.body, l.dead)
			}
		}
		r.wantDone("a", map[string]int64{"delivered": 3, "dead_lettered not_bad": 3, "dropped not_worst": 1})
		r.wantDone("b", map[string]int64{})
		r.wantDone("c", map[string]int64{})
		told := map[string]int{}
		for _, line := range regexp.MustCompile(`"(records .*)" (.*) records=(\d+)(.*)`).FindAllStringSubmatch(log.String(), -1) {
			n, _ := strconv.Atoi(line[3])
			told[line[1]+": "+line[2]+line[4]] += n
		}
		if want := map[string]int{
			"records became dead letters: output=a reason=not_bad dead_letter=b": 2,
			"records became dead letters: output=a reason=not_bad dead_letter=c": 1,
			"records dropped: output=c reason=not_worst":                         1,
		}; !maps.Equal(told, want) {
			t.Errorf("the log says %v, want %v", told, want)
		}
	})
}

// Dead letters of two outputs, of one chunk, in one batch: the chunk is held once and freed.
func TestDeadLettersOfTwoOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := func(context.Context, *engine.Batch) error { return engine.Permanent("no", errors.New("no")) }
		letters := &probe{answer: alwaysDown}
		a, b := keyed("a", &probe{answer: no}), keyed("b", &probe{answer: no})
		a.DeadLetter, b.DeadLetter = "dead", "dead"
		dead := keyed("dead", letters)
		dead.Linger = time.Second
		dead.Scheduler = lingering(dead.Linger)
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{a, b, dead},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"a", "b"}}},
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "x")
		time.Sleep(10 * time.Second)
		letters.will(nil)
		r.finish()
		wantBodies(t, "dead letters", letters.bodies(), []string{"x", "x"})
	})
}

// A dead-letter output that is down holds what it should take: that is not acked, and not lost.
func TestDeadLettersWaitForTheirOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := func(body string) bool { return strings.HasPrefix(body, "bad") }
		out, letters := &probe{answer: refusing(bad, engine.Permanent("", errors.New("no")))}, &probe{answer: alwaysDown}
		o := keyed("out", out)
		o.DeadLetter = "dead"
		r := newRig(t, engine.Options{
			Outputs: []engine.OutputOptions{o, keyed("dead", letters)},
			Routes:  []engine.Route{{Match: "**", Outputs: []string{"out"}}},
		})
		s := r.open(engine.Open{StreamID: "s"})
		r.append(s, 1, "1", "2", "bad 3", "4")
		time.Sleep(time.Hour)
		r.append(s, 5, "5")
		time.Sleep(time.Hour)
		wantBodies(t, "delivered", out.bodies(), []string{"1", "2", "4", "5"})
		if st := status(s); st.Acked != 0 {
			t.Errorf("acked %d while a dead letter is not safe", st.Acked)
		}
		letters.will(nil)
		time.Sleep(time.Minute)
		if st := status(s); st.Acked != 5 || st.Held != 0 {
			t.Errorf("after the dead letters were safe: %+v", st)
		}
		wantBodies(t, "dead letters", letters.bodies(), []string{"bad 3"})
		r.finish()
	})
}
