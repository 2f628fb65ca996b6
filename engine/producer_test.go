package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// A producer is a model of a client: what it had admitted, in order, whatever became of its connections.
type producer struct {
	w        *world
	id, tag  string
	outputs  []int
	session  *engine.Session // nil: not connected, or half-closed
	epoch    uint64
	next     uint64
	acked    uint64
	admitted []origin
	safe     int // so many of admitted are known to be acked
	retired  bool
}

func (w *world) addProducer(id, tag string) *producer {
	p := &producer{w: w, id: id, tag: tag, epoch: 1, next: 1}
	for i := range w.plan.outputs {
		if strings.HasPrefix(tag, "all") || strings.HasPrefix(tag, fmt.Sprint(i)) {
			p.outputs = append(p.outputs, i)
		}
	}
	w.producers = append(w.producers, p)
	return p
}

// connect opens the stream again, in the same epoch or anew.
func (p *producer) connect(anew bool) {
	if anew {
		p.epoch, p.next, p.acked = p.epoch+1, 1, 0
	}
	p.session = p.w.open(engine.Open{StreamID: p.id, Tag: p.tag, Epoch: p.epoch, First: p.acked + 1})
	if st := status(p.session); st.Next != p.next {
		p.w.t.Errorf("%s: next is %d after it came back, want %d", p.id, st.Next, p.next)
	}
}

// send appends records from sequence next - again on. It gives up after a while, and nothing of it was taken then.
func (p *producer) send(count, again int, flush bool) {
	if p.session == nil {
		p.connect(false)
	}
	first := p.next - min(uint64(again), p.next-1)
	a, news := p.records(first, count+int(p.next-first))
	a.Flush = flush
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := p.session.Append(ctx, a)
	switch {
	case err == nil:
		p.next += uint64(count)
		p.admitted = append(p.admitted, news...)
	case !errors.Is(err, context.DeadlineExceeded):
		p.w.t.Errorf("%s: append: %v", p.id, err)
	}
}

// records makes an append, and says which of its records will be admitted.
func (p *producer) records(first uint64, count int) (a *engine.Append, news []origin) {
	a = &engine.Append{First: first, Count: count}
	var data []byte
	for i := range count {
		o := origin{stream: p.id, epoch: p.epoch, sequence: first + uint64(i)}
		from := len(data)
		data = protowire.AppendTag(data, 2, protowire.BytesType)
		data = protowire.AppendBytes(data, enginetest.Record(o.sequence, o.body()))
		switch {
		case o.faulty():
			a.Faults = append(a.Faults, engine.Fault{Index: i, From: from, To: len(data), Err: &engine.RecordError{Code: engine.FaultMalformed}})
		case o.sequence >= p.next:
			news = append(news, o)
		}
	}
	a.Slab = p.w.Slabs().Get(len(data))
	a.Slab.B = append(a.Slab.B, data...)
	a.Data = a.Slab.B
	return a, news
}

// maxSent is more than one append of a producer's may be.
const maxSent = 50 * 500

func (p *producer) check() {
	p.w.t.Helper()
	if p.session == nil {
		return
	}
	st := status(p.session)
	if st.Held > p.w.plan.limits.Stream*2+maxSent || st.Next != p.next || st.Acked >= st.Next || st.Acked < p.acked {
		p.w.t.Errorf("%s: status %+v, where next is %d and %d were acked", p.id, st, p.next, p.acked)
	}
	p.acked = st.Acked
	if p.acked == 0 {
		return
	}
	for ; p.safe < len(p.admitted); p.safe++ {
		o := p.admitted[p.safe]
		if o.epoch == p.epoch && o.sequence > p.acked {
			return
		}
		for _, i := range p.outputs {
			if !p.w.plan.outputs[i].drops && !p.w.done(o, i) {
				p.w.t.Errorf("%v was acked up to %d, and output %d is not done with it: %+v", o, p.acked, i, p.w.outputs[i].look(o))
			}
		}
	}
}

func (p *producer) goesTo(i int) bool { return slices.Contains(p.outputs, i) }
