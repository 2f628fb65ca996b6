package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// maxSplits bounds the bisecting of one batch that is refused for good: so many cuts, since it last took anything of
	// it, find a bad record among 10,000 or the size that fits, and a destination that refuses everything is not asked
	// 20,000 times. What is left then goes as a whole.
	maxSplits = 128
	// maxPanics is how many times a batch is tried again after its output panicked.
	maxPanics = 2
	// drainBackoff caps the backoff, and the cooling, while draining: there is only so much time.
	drainBackoff = time.Second
)

// A verdict says what becomes of the records of a batch that has landed.
type verdict struct {
	result    string // as Flight.Result
	delivered []Range
	rejected  []Rejected
	rest      []Range       // to be tried again, each a batch of its own
	back      []Range       // not tried yet
	taken     bool          // what was tried was taken, or refused for good: the destination is well
	fresh     bool          // the rest counts its attempts anew: it was cut, or some of its batch was taken
	wait      time.Duration // before the rest is tried
	cool      time.Duration // for the whole output
	denied    bool
	pushback  bool
}

// whole reports whether nothing of the batch is left, and its destination is well.
func (v *verdict) whole() bool { return v.taken && len(v.rest)+len(v.back) == 0 }

// judge is the policy of retries. It changes nothing but what the batch knows of its panics and splits.
func (r Retry) judge(now time.Time, l *landing) verdict {
	b := l.batch
	var part *Partial
	switch {
	case l.err == nil:
		b.renewSplits()
		return verdict{result: "ok", taken: true, delivered: []Range{{0, b.Records}}}
	case l.panicked:
		return r.panicked(now, l)
	case errors.As(l.err, &part):
		return r.partial(now, l, part)
	}
	return r.failed(now, l, AsWriteError(l.err), Range{0, b.Records})
}

func (r Retry) panicked(now time.Time, l *landing) verdict {
	all := Range{0, l.batch.Records}
	kind := KindPermanent
	if l.batch.panics < maxPanics {
		kind = KindRetryable
	}
	l.batch.panics++
	v := r.failed(now, l, &WriteError{Kind: kind, Reason: "panic", Err: l.err}, all)
	v.result = "panic"
	return v
}

// partial takes what the output says was taken and refused, and tries the rest again. Where the rest was not tried it waits
// in its old place, unless it was tried before: what was once attempted is frozen.
func (r Retry) partial(now time.Time, l *landing, part *Partial) verdict {
	rest, err := part.rest(l.batch.Records)
	if err != nil {
		return r.failed(now, l, &WriteError{Kind: KindRetryable, Err: err}, Range{0, l.batch.Records})
	}
	progress := len(rest) != 1 || rest[0] != Range{0, l.batch.Records}
	var v verdict
	switch {
	case len(rest) == 0:
	case part.Err == nil && progress && !l.batch.again:
		v = verdict{back: rest}
	case part.Err == nil && progress:
		v = verdict{rest: rest}
	default:
		v = r.failed(now, l, AsWriteError(l.err), rest...)
	}
	if progress {
		v.result, v.fresh, v.taken = "partial", true, part.Err == nil
		l.batch.renewSplits()
	}
	v.delivered, v.rejected = part.Delivered, append(v.rejected, part.Rejected...)
	return v
}

// rest is what the output speaks of in neither list; an error where the lists do not fit the batch.
func (p *Partial) rest(records int) ([]Range, error) {
	told := slices.Clone(p.Delivered)
	for _, rej := range p.Rejected {
		told = append(told, rej.Range)
	}
	slices.SortFunc(told, func(a, b Range) int { return a.From - b.From })
	var rest []Range
	at := 0
	for _, t := range append(told, Range{records, records}) {
		if t.From < at || t.To < t.From || t.To > records {
			return nil, fmt.Errorf("the output speaks of records %d to %d, twice or outside a batch of %d", t.From, t.To, records)
		}
		if t.From == t.To && t.From < records {
			continue // says nothing
		}
		if t.From > at {
			rest = append(rest, Range{at, t.From})
		}
		at = t.To
	}
	return rest, nil
}

// failed says what becomes of records that an error stands for.
func (r Retry) failed(now time.Time, l *landing, we *WriteError, all ...Range) verdict {
	b := l.batch
	v := verdict{result: resultOf(we.Kind), rest: all, wait: r.backoff(b.Attempt)}
	v.pushback = we.Kind == KindThrottled || errors.Is(we.Err, context.DeadlineExceeded)
	switch we.Kind {
	case KindPermanent, KindTooLarge:
		if len(all) > 1 { // pieces of what was refused: each is asked about alone
			v.wait = 0
			return v
		}
		return r.refused(v, b, we, all[0])
	case KindThrottled:
		v.cool = max(we.After, v.wait)
		v.wait = v.cool
	case KindDenied:
		v.denied = true
	case KindRetryable:
	}
	if r.GiveUpAfter > 0 && now.Sub(b.First) >= r.GiveUpAfter {
		v.rest = nil
		for _, piece := range all {
			v.rejected = append(v.rejected, Rejected{
				Range: piece, Reason: "gave_up", Message: l.err.Error(), RequestID: we.RequestID,
			})
		}
	}
	return v
}

// refused bisects what is refused for good, boundedly, to the record.
func (r Retry) refused(v verdict, b *Batch, we *WriteError, all Range) verdict {
	if b.splits == nil {
		left := maxSplits
		b.splits = &left
	}
	n := all.To - all.From
	if n == 1 || *b.splits == 0 {
		reason := we.Reason
		if reason == "" {
			reason = "permanent"
		}
		v.rest, v.rejected = nil, []Rejected{{Range: all, Reason: reason, Message: we.Error(), RequestID: we.RequestID}}
		return v
	}
	*b.splits--
	middle := all.From + n/2
	v.rest, v.fresh, v.wait = []Range{{all.From, middle}, {middle, all.To}}, true, 0
	return v
}

// renewSplits says that some of what a batch was cut into was taken: it is worth while to go on cutting.
func (b *Batch) renewSplits() {
	if b.splits != nil {
		*b.splits = maxSplits
	}
}

// backoff is how long to wait after the attempt-th failure: a random part of a bound that doubles.
func (r Retry) backoff(attempt int) time.Duration {
	bound := r.Cap
	if shift := min(attempt-1, 62); r.Base <= r.Cap>>shift { // what is shifted here does not overflow
		bound = r.Base << shift
	}
	return rand.N(bound + 1)
}

func resultOf(k Kind) string {
	switch k {
	case KindThrottled:
		return "throttled"
	case KindDenied:
		return "denied"
	case KindPermanent:
		return "permanent"
	case KindTooLarge:
		return "too_large"
	default: // also of an output that makes up its own
		return "retryable"
	}
}
