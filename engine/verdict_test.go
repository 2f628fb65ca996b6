package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

var (
	errNo  = errors.New("no")
	second = time.Unix(1, 0)
)

func batchOf(records, attempt int) *Batch {
	return &Batch{Records: records, Attempt: attempt, First: second, flight: flight{again: attempt > 1}}
}

// What becomes of a batch of ten records, on its second attempt, a minute after the first.
func TestVerdicts(t *testing.T) {
	all := []Range{{0, 10}}
	halves := []Range{{0, 5}, {5, 10}}
	some := &Partial{Delivered: []Range{{0, 3}}}
	with := func(p *Partial, err error) *Partial { return &Partial{p.Delivered, p.Rejected, err} }
	bad := []Rejected{{Range: Range{4, 5}, Reason: "bad"}}
	gap := &Partial{Delivered: []Range{{6, 8}}, Rejected: bad}
	pieces := []Range{{0, 4}, {5, 6}, {8, 10}}

	type want struct {
		result          string
		delivered, rest []Range
		rejected        []string // "from-to reason"
		fresh           bool
		denied, push    bool
		waits           bool
		cool            time.Duration
	}
	tests := map[string]struct {
		err  error
		want want
	}{
		"taken":                 {nil, want{result: "ok", delivered: all}},
		"retryable":             {Retryable(errNo), want{result: "retryable", rest: all, waits: true}},
		"unknown":               {errNo, want{result: "retryable", rest: all, waits: true}},
		"wrapped":               {fmt.Errorf("put: %w", Permanent("bad", errNo)), want{result: "permanent", rest: halves, fresh: true}},
		"deadline":              {context.DeadlineExceeded, want{result: "retryable", rest: all, waits: true, push: true}},
		"deadline, retryable":   {Retryable(fmt.Errorf("put: %w", context.DeadlineExceeded)), want{result: "retryable", rest: all, waits: true, push: true}},
		"throttled":             {RetryAfter(time.Minute, errNo), want{result: "throttled", rest: all, waits: true, push: true, cool: time.Minute}},
		"denied":                {Denied(errNo), want{result: "denied", rest: all, waits: true, denied: true}},
		"permanent":             {Permanent("bad", errNo), want{result: "permanent", rest: halves, fresh: true}},
		"too large":             {TooLarge(errNo), want{result: "too_large", rest: halves, fresh: true}},
		"the rest at once":      {some, want{result: "partial", delivered: []Range{{0, 3}}, rest: []Range{{3, 10}}, fresh: true}},
		"the rest later":        {with(some, errNo), want{result: "partial", delivered: []Range{{0, 3}}, rest: []Range{{3, 10}}, fresh: true, waits: true}},
		"the rest denied":       {with(some, Denied(errNo)), want{result: "partial", delivered: []Range{{0, 3}}, rest: []Range{{3, 10}}, fresh: true, waits: true, denied: true}},
		"the rest refused":      {with(some, Permanent("bad", errNo)), want{result: "partial", delivered: []Range{{0, 3}}, rest: []Range{{3, 6}, {6, 10}}, fresh: true}},
		"pieces at once":        {gap, want{result: "partial", delivered: gap.Delivered, rejected: []string{"4-5 bad"}, rest: pieces, fresh: true}},
		"pieces later":          {with(gap, errNo), want{result: "partial", delivered: gap.Delivered, rejected: []string{"4-5 bad"}, rest: pieces, fresh: true, waits: true}},
		"pieces throttled":      {with(gap, RetryAfter(time.Minute, errNo)), want{result: "partial", delivered: gap.Delivered, rejected: []string{"4-5 bad"}, rest: pieces, fresh: true, waits: true, push: true, cool: time.Minute}},
		"pieces denied":         {with(gap, Denied(errNo)), want{result: "partial", delivered: gap.Delivered, rejected: []string{"4-5 bad"}, rest: pieces, fresh: true, waits: true, denied: true}},
		"pieces refused":        {with(gap, Permanent("bad", errNo)), want{result: "partial", delivered: gap.Delivered, rejected: []string{"4-5 bad"}, rest: pieces, fresh: true}},
		"all in pieces":         {&Partial{Delivered: halves}, want{result: "partial", delivered: halves, fresh: true}},
		"all refused in detail": {&Partial{Rejected: []Rejected{{Range: all[0], Reason: "bad"}}}, want{result: "partial", rejected: []string{"0-10 bad"}, fresh: true}},
		"no progress":           {&Partial{Err: errNo}, want{result: "retryable", rest: all, waits: true}},
		"nothing said":          {&Partial{Delivered: []Range{{4, 4}}}, want{result: "retryable", delivered: []Range{{4, 4}}, rest: all, waits: true}},
		"nonsense":              {&Partial{Delivered: []Range{{4, 11}}}, want{result: "retryable", rest: all, waits: true}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			r := Retry{Base: time.Second, Cap: time.Hour}
			longest := time.Duration(0)
			var v verdict
			for range 30 { // a jitter may be 0
				v = r.judge(second.Add(time.Minute), &landing{batch: batchOf(10, 2), err: c.err})
				longest = max(longest, v.wait)
			}
			if len(v.back) > 0 {
				t.Errorf("%v of what was attempted before waits again as if it was not", v.back)
			}
			got := want{
				result: v.result, delivered: v.delivered, rest: v.rest, fresh: v.fresh, denied: v.denied, push: v.pushback,
				waits: longest > 0, cool: v.cool,
			}
			for _, rej := range v.rejected {
				got.rejected = append(got.rejected, fmt.Sprintf("%d-%d %s", rej.From, rej.To, rej.Reason))
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("verdict %+v\nwant    %+v", got, c.want)
			}
		})
	}
}

// What was not tried waits again as if it had not flown; but not where an earlier attempt may have sent it, nor where the
// output says nothing at all.
func TestWhatWasNotTried(t *testing.T) {
	tests := map[string]struct {
		part       Partial
		attempt    int
		back, rest []Range
	}{
		"the end":          {Partial{Delivered: []Range{{0, 3}}}, 1, []Range{{3, 10}}, nil},
		"all but rejected": {Partial{Rejected: []Rejected{{Range: Range{9, 10}}}}, 1, []Range{{0, 9}}, nil},
		"pieces":           {Partial{Delivered: []Range{{2, 4}, {6, 8}}}, 1, []Range{{0, 2}, {4, 6}, {8, 10}}, nil},
		"attempted before": {Partial{Delivered: []Range{{0, 3}}}, 2, nil, []Range{{3, 10}}},
		"tried":            {Partial{Delivered: []Range{{0, 3}}, Err: errNo}, 1, nil, []Range{{3, 10}}},
		"nothing said":     {Partial{}, 1, nil, []Range{{0, 10}}},
		"all taken":        {Partial{Delivered: []Range{{0, 10}}}, 1, nil, nil},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			v := Retry{}.judge(second, &landing{batch: batchOf(10, c.attempt), err: &c.part})
			if !reflect.DeepEqual(v.back, c.back) || len(v.rest)+len(c.rest) > 0 && !reflect.DeepEqual(v.rest, c.rest) {
				t.Errorf("waits again %v, is tried again %v; want %v and %v", v.back, v.rest, c.back, c.rest)
			}
		})
	}
}

// Giving up is for what would be tried again; what can be cut further, or was taken, is not given up.
func TestGivingUp(t *testing.T) {
	r := Retry{Base: time.Second, Cap: time.Minute, GiveUpAfter: time.Minute}
	part := &Partial{Delivered: []Range{{0, 3}, {5, 6}}, Err: errNo}
	tests := map[string]struct {
		err      error
		after    time.Duration
		rejected int
		rest     int
	}{
		"too early":     {errNo, 59 * time.Second, 0, 1},
		"in time":       {errNo, time.Minute, 10, 0},
		"throttled":     {RetryAfter(0, errNo), time.Minute, 10, 0},
		"denied":        {Denied(errNo), time.Minute, 10, 0},
		"permanent":     {Permanent("bad", errNo), time.Minute, 0, 2},
		"pieces":        {part, time.Minute, 6, 0},
		"pieces, early": {part, time.Second, 0, 2},
		"at once":       {&Partial{Delivered: part.Delivered}, time.Minute, 0, 2},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			v := r.judge(second.Add(c.after), &landing{batch: batchOf(10, 2), err: c.err})
			rejected := 0
			for _, rej := range v.rejected {
				rejected += rej.To - rej.From
				if rej.Reason != "gave_up" {
					t.Errorf("rejected %+v", rej)
				}
			}
			if rejected != c.rejected || len(v.rest) != c.rest {
				t.Errorf("%d given up, rest %v", rejected, v.rest)
			}
		})
	}
}

// Whatever an output says of a batch, every record of it has one fate.
func TestEveryRecordHasOneFate(t *testing.T) {
	const records = 4
	var told []Range
	for from := range records + 1 {
		for to := from; to <= records; to++ {
			told = append(told, Range{from, to})
		}
	}
	errs := []error{nil, errNo, Permanent("", errNo), RetryAfter(0, errNo)}
	for _, a := range told {
		for _, b := range told {
			for _, err := range errs {
				part := &Partial{Delivered: []Range{b}, Rejected: []Rejected{{Range: a}}, Err: err}
				v := Retry{}.judge(second, &landing{batch: batchOf(records, 1), err: part})
				fates := make([]int, records)
				count := func(r Range) {
					for i := r.From; i < r.To; i++ {
						fates[i]++
					}
				}
				for _, r := range slices.Concat(v.delivered, v.rest, v.back) {
					count(r)
				}
				for _, r := range v.rejected {
					count(r.Range)
				}
				if !reflect.DeepEqual(fates, []int{1, 1, 1, 1}) {
					t.Errorf("delivered %v, rejected %v, %v: fates %v in %+v", b, a, err, fates, v)
				}
			}
		}
	}
}

// A panic is tried twice more, then it is a permanent refusal; the parts of its batch know of it.
func TestPanicVerdicts(t *testing.T) {
	b := batchOf(4, 1)
	for i, want := range []int{1, 1, 2} {
		v := Retry{}.judge(second, &landing{batch: b, err: errNo, panicked: true})
		if len(v.rest) != want || len(v.rejected) != 0 || v.result != "panic" {
			t.Fatalf("panic %d: %+v", i+1, v)
		}
	}
	one := batchOf(1, 1)
	one.flight = b.flight
	if v := (Retry{}).judge(second, &landing{batch: one, err: errNo, panicked: true}); len(v.rejected) != 1 || v.rejected[0].Reason != "panic" {
		t.Errorf("a part of one record: %+v", v)
	}
}

// The parts of a batch share what is left of its cuts; any success among them renews it.
func TestSplitsAreBounded(t *testing.T) {
	refused := func(b *Batch) verdict {
		return Retry{}.judge(second, &landing{batch: b, err: Permanent("bad", errNo)})
	}
	b := batchOf(1000, 1)
	for range maxSplits {
		if v := refused(b); len(v.rest) != 2 {
			t.Fatalf("%+v", v)
		}
	}
	part := batchOf(500, 1)
	part.flight = b.flight
	if v := refused(part); len(v.rest) != 0 || len(v.rejected) != 1 || v.rejected[0].Range != (Range{0, 500}) {
		t.Errorf("after %d cuts: %+v", maxSplits, v)
	}
	Retry{}.judge(second, &landing{batch: part})
	if v := refused(b); len(v.rest) != 2 {
		t.Errorf("after a success: %+v", v)
	}
}

// Backoff is jitter over all of its bound, which doubles up to its cap and stays there.
func TestBackoff(t *testing.T) {
	tests := []struct {
		base, cap time.Duration
		attempt   int
		bound     time.Duration
	}{
		{time.Second, time.Minute, 1, time.Second},
		{time.Second, time.Minute, 2, 2 * time.Second},
		{time.Second, time.Minute, 6, 32 * time.Second},
		{time.Second, time.Minute, 7, time.Minute},
		{time.Second, time.Minute, 30, time.Minute},
		{time.Second, time.Minute, 1 << 40, time.Minute},
		{time.Hour, time.Minute, 1, time.Minute},
		{time.Minute, time.Hour, 30, time.Hour},
		{time.Hour, 1 << 62, 23, time.Hour << 20},
		{1, 1<<63 - 2, 62, 1 << 61},
		{1, 1<<63 - 2, 63, 1 << 62},
		{0, 0, 5, 0},
	}
	for _, c := range tests {
		r := Retry{Base: c.base, Cap: c.cap}
		longest := time.Duration(0)
		for range 200 {
			wait := r.backoff(c.attempt)
			if wait < 0 || c.bound < 1<<61 && c.attempt != 23 && wait > c.bound {
				t.Fatalf("%+v: %v", c, wait)
			}
			longest = max(longest, wait)
		}
		if longest < c.bound/2 {
			t.Errorf("%+v: at most %v in 200", c, longest)
		}
	}
}

func TestAnyKindHasAName(t *testing.T) {
	for k := Kind(-2); k < 9; k++ {
		if resultOf(k) == "" {
			t.Errorf("kind %d has no name", k)
		}
		if (&WriteError{Kind: k}).Error() == "" {
			t.Errorf("kind %d without a cause says nothing", k)
		}
	}
}
