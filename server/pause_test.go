package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/engine"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

// A paused stream is told again every 5 s, an active one is not.
func TestStatusRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, engine.Limits{Stream: 1000}, Options{})
		defer r.finish()
		c, hangUp := r.client()
		defer hangUp()
		p := open(t.Context(), t, c, &sluicev1.Open{StreamId: "s1"})

		statuses := make(chan *sluicev1.StreamStatus, 100)
		go func() {
			defer close(statuses)
			for {
				m, err := p.Recv()
				if err != nil {
					return
				}
				statuses <- m.GetStatus()
			}
		}()
		count := func() (n int, last *sluicev1.StreamStatus) {
			time.Sleep(61 * time.Second)
			for len(statuses) > 0 {
				n, last = n+1, <-statuses
			}
			return n, last
		}
		if n, _ := count(); n != 0 {
			t.Errorf("%d statuses while active", n)
		}
		r.out.shut.Store(true)
		p.append(1, strings.Repeat("x", 70_000))
		if n, last := count(); n < 12 || n > 14 || last.GetState() != sluicev1.State_STATE_PAUSED ||
			last.GetReason() != sluicev1.Reason_REASON_STREAM_LIMIT {
			t.Errorf("%d statuses while paused, last %v", n, last)
		}
		r.out.shut.Store(false)
		if n, last := count(); n == 0 || n > 2 || last.GetState() != sluicev1.State_STATE_ACTIVE || last.GetAckedSequence() != 1 {
			t.Errorf("%d statuses after resume, last %v", n, last)
		}
		_ = p.CloseSend()
		for range statuses { // until the call has ended
		}
	})
}

// Rejections are given once: those of a status that was not sent go into the next.
func TestMergeKeepsRejections(t *testing.T) {
	var c call
	for i := range uint64(250) {
		c.merge(engine.Status{Acked: i, Rejections: []engine.Rejection{{First: 2 * i, Last: 2 * i, Count: 1, Message: "bad"}}}, engine.NewsNow)
	}
	total := uint64(0)
	for _, r := range c.unsent.Rejections {
		total += r.Count
	}
	last := c.unsent.Rejections[len(c.unsent.Rejections)-1]
	if c.unsent.Acked != 249 || len(c.unsent.Rejections) != 100 || total != 250 || last.Last != 498 {
		t.Errorf("acked %d, %d ranges, %d records, last %+v", c.unsent.Acked, len(c.unsent.Rejections), total, last)
	}
}
