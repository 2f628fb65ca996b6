package cloudwatch

import (
	"cmp"
	"slices"

	"github.com/sluicelog/sluice/engine"
)

// A reason is why AWS will never take a record.
type reason int

const (
	tooOld reason = iota
	tooNew
	expired
	emptyMessage
	tooLarge
)

func (r reason) code() string {
	return [...]string{"too_old", "too_new", "expired", "empty_message", "too_large"}[r]
}

func (r reason) message() string {
	return [...]string{
		"older than 14 days when it was sent",
		"more than 2 hours ahead when it was sent",
		"older than the log group's retention",
		"an event needs at least one character",
		"over the limit of one event",
	}[r]
}

// A rejection is a record that AWS will never take.
type rejection struct {
	record  int
	why     reason
	request string // AWS's ID of the request; empty: it was not asked
}

func (l *load) reject(record int, why reason) {
	l.rejected = append(l.rejected, rejection{record: record, why: why})
}

// rejectEvents notes what AWS said about the events of one request. Its indexes are of those: up to an end the too old and the
// expired ones, from a start on those that are too new.
func (l *load) rejectEvents(events []event, r receipt) {
	info := r.rejected
	if info == nil {
		return
	}
	reject := func(record int, why reason) { l.rejected = append(l.rejected, rejection{record, why, r.request}) }
	n := len(events)
	old := bound(info.TooOldLogEventEndIndex, 0, n)
	gone := bound(info.ExpiredLogEventEndIndex, 0, n)
	ahead := bound(info.TooNewLogEventStartIndex, n, n)
	for i := range events {
		switch {
		case i < old:
			reject(events[i].record, tooOld)
		case i < gone:
			reject(events[i].record, expired)
		case i >= ahead:
			reject(events[i].record, tooNew)
		}
	}
}

// bound is an index that AWS gave, or what stands for none.
func bound(index *int32, none, n int) int {
	if index == nil {
		return none
	}
	return min(max(int(*index), 0), n)
}

// answer is what Write says of a batch of so many records, whose load was delivered unless err says otherwise. What is
// rejected is so whatever became of the rest.
func (l *load) answer(records int, err error) error {
	delivered := l.next
	if err != nil {
		delivered = 0
	}
	switch {
	case err != nil && len(l.rejected) == 0:
		return err
	case err == nil && delivered == records && len(l.rejected)+len(l.passed) == 0:
		return nil
	}
	p := &engine.Partial{Rejected: l.ranges(), Err: err}
	at := 0
	for _, r := range l.others(p.Rejected) {
		if to := min(r.From, delivered); to > at {
			p.Delivered = append(p.Delivered, engine.Range{From: at, To: to})
		}
		at = r.To
	}
	if delivered > at {
		p.Delivered = append(p.Delivered, engine.Range{From: at, To: delivered})
	}
	return p
}

// others are the records up to next, in order, that were not delivered: those that are rejected and those that were passed over.
func (l *load) others(rejected []engine.Rejected) []engine.Range {
	var all []engine.Range
	for _, r := range rejected {
		all = append(all, r.Range)
	}
	for _, record := range l.passed {
		all = append(all, engine.Range{From: record, To: record + 1})
	}
	slices.SortFunc(all, func(a, b engine.Range) int { return cmp.Compare(a.From, b.From) })
	return all
}

// ranges are the rejections in order, those of one reason in a row as one. Of a record that was sent in parts the first counts.
func (l *load) ranges() []engine.Rejected {
	slices.SortStableFunc(l.rejected, func(a, b rejection) int { return cmp.Compare(a.record, b.record) })
	var all []engine.Rejected
	for _, r := range l.rejected {
		code := r.why.code()
		if n := len(all); n > 0 && all[n-1].To > r.record {
			continue
		} else if n > 0 && all[n-1].To == r.record && all[n-1].Reason == code && all[n-1].RequestID == r.request {
			all[n-1].To++
			continue
		}
		all = append(all, engine.Rejected{
			Range: engine.Range{From: r.record, To: r.record + 1}, Reason: code, Message: r.why.message(),
			RequestID: r.request,
		})
	}
	return all
}
