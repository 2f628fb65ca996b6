package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/outputs/cloudwatch/cwfake"
)

func TestMissing(t *testing.T) {
	s := cwfake.Source{First: 3, Last: 20, Events: 10, Gaps: []cwfake.Range{{First: 5, Last: 6}, {First: 10, Last: 15}}}
	for last, want := range map[uint64]int64{0: 0, 1: 1, 2: 2, 4: 2, 5: 3, 9: 4, 12: 7, 20: 10, 25: 15} {
		if got := missing(s, last); got != want {
			t.Errorf("up to %d: %d are missing, want %d", last, got, want)
		}
	}
	if got := missing(cwfake.Source{}, 7); got != 7 {
		t.Errorf("of nothing %d are missing, want 7", got)
	}
	for number, want := range map[uint64]bool{0: false, 2: false, 3: true, 5: false, 7: true, 20: true, 21: false} {
		if got := arrived(s, number); got != want {
			t.Errorf("%d has arrived: %v", number, got)
		}
	}
}

func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		counts  counts
		ordered bool
		want    int
	}{
		"good": {
			counts{sent: 10, stale: 1, delivered: 9, duplicated: 3, explained: 3, dead: deadCount{stale: 1}}, true, 0,
		},
		"out of order":      {counts{reordered: 1}, true, 1},
		"order is given up": {counts{reordered: 1}, false, 0},
		"lost":              {counts{lost: 1}, false, 1},
		"duplicated":        {counts{duplicated: 2, explained: 1}, false, 1},
		"not ours":          {counts{foreign: 1}, false, 1},
		"refused":           {counts{dead: deadCount{others: 1}}, false, 1},
		"refused twice":     {counts{stale: 1, dead: deadCount{stale: 2}}, false, 1},
		"as bad as can be": {
			counts{lost: 1, duplicated: 1, foreign: 1, reordered: 1, dead: deadCount{others: 1, stale: 1}}, true, 6,
		},
		"more under way yet": {counts{sent: 10, delivered: 3}, true, 0},
	} {
		if got := test.counts.faults(test.ordered); len(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestGrowth(t *testing.T) {
	flat := usage{RSS: 40 << 20, Files: 20, Goroutines: 30}
	series := func(n int, each func(i int, u *usage)) *history {
		h := &history{}
		for i := range n {
			u := flat
			each(i, &u)
			h.add(u)
		}
		return h
	}
	for name, test := range map[string]struct {
		history *history
		want    string
	}{
		"flat":                 {series(100, func(int, *usage) {}), ""},
		"within the slack":     {series(100, func(i int, u *usage) { u.Goroutines += int64(i / 5) }), ""},
		"one outlier":          {series(100, func(i int, u *usage) { u.Files += 1000 * int64(i/99) }), ""},
		"a leak of goroutines": {series(100, func(i int, u *usage) { u.Goroutines += int64(i) }), "goroutines"},
		"a leak of files":      {series(100, func(i int, u *usage) { u.Files += int64(i) }), "file descriptors"},
		"a leak of memory":     {series(100, func(i int, u *usage) { u.RSS += int64(i) << 20 }), "RSS"},
		"too short to tell":    {series(minPhases-1, func(i int, u *usage) { u.RSS += int64(i) << 30 }), ""},
		"very long":            {series(100_000, func(i int, u *usage) { u.RSS += int64(i) << 10 }), "RSS"},
	} {
		got := strings.Join(test.history.growth(), "; ")
		if (test.want == "") != (got == "") || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if n := len(test.history.points); n > maxHistory {
			t.Errorf("%s: %d points are kept", name, n)
		}
	}
}

// Of a put whose answer is kept back as many records may come twice as were in it, to its own log stream.
func TestHidden(t *testing.T) {
	var h hidden
	here, there := cwfake.Target{Stream: "here"}, cwfake.Target{Stream: "there"}
	for _, f := range []cwfake.Fault{
		{}, cwfake.Throttle(), cwfake.BadGateway(), cwfake.EmptyOK(), cwfake.ResetBefore(), cwfake.HangBefore(), cwfake.Late(1),
		cwfake.SlowBody(1), // none of these hides anything
		cwfake.ResetAfter(), cwfake.HangAfter(), cwfake.TruncatedBody(), cwfake.SlowBody(crawl),
	} {
		faults := h.watch(func(cwfake.Call) cwfake.Fault { return f })
		faults(cwfake.Call{Operation: cwfake.PutLogEvents, Target: here, Events: 3})
		faults(cwfake.Call{Operation: cwfake.CreateLogStream, Target: there, Events: 3})
	}
	if h.of(here) != 12 || h.of(there) != 0 {
		t.Errorf("hidden are %d and %d, want 12 and 0", h.of(here), h.of(there))
	}
}

// Dead letters are counted however they are cut on their way.
func TestDeadLetters(t *testing.T) {
	text := `{"body":"p1 stale` + padding[:5] + `","dead_letter":{"reason":"too_old","message":"old"}}` + "\n" +
		`{"body":"p1 7","dead_letter":{"reason":"too_old","message":"old"}}` + "\n" +
		`{"body":"p1 stale","dead_letter":{"reason":"parked","message":"no"}}` + "\n" + "nonsense\n{"
	want := deadCount{map[string]int64{"too_old": 2, "parked": 1, "unreadable": 1}, 1, 3, `too_old: old ("p1 7")`}
	for size := 1; size <= len(text); size++ {
		var d deadLetters
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			_, _ = d.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if diff := cmp.Diff(want, d.counted(), cmp.AllowUnexported(deadCount{})); diff != "" {
			t.Fatalf("in pieces of %d: %s", size, diff)
		}
	}
}

// A body says whose it is and which; a stale one, or one that was changed, has no number.
func TestReadBody(t *testing.T) {
	for body, want := range map[string]uint64{
		"p1 17" + padding: 17, "p1 0" + padding: 0, "p1 stale" + padding: 0, "p1 17": 0, "": 0, "p1 17" + padding + "!": 0,
	} {
		source, number, ok := readBody(body)
		if ok != (want > 0) || ok && (number != want || source != "p1") {
			t.Errorf("%.20q: %q, %d, %v", body, source, number, ok)
		}
	}
}

// A journal keeps the end of a log, and from its beginning the addresses.
func TestJournal(t *testing.T) {
	var j journal
	lines := `{"msg":"output","name":"aws"}` + "\n" + `{"msg":"admin","address":"127.0.0.1:1"}` + "\n" +
		`{"msg":"listening","address":"127.0.0.1:2"}` + "\n"
	for line := range strings.Lines(lines) {
		_, _ = j.Write([]byte(line))
	}
	long := strings.Repeat("x", maxJournal/2) + "\n"
	for range 10 {
		_, _ = j.Write([]byte(long))
	}
	if j.address("admin") != "127.0.0.1:1" || j.address("listening") != "127.0.0.1:2" || j.address("other") != "" {
		t.Errorf("addresses %v", j.addresses)
	}
	if text := j.String(); len(text) != maxJournal || !strings.HasSuffix(text, long) {
		t.Errorf("%d bytes are kept", len(text))
	}
}
