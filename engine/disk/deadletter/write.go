package deadletter

import (
	"context"
	"fmt"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Write implements [engine.Output]: each record becomes a letter, also one that nobody refused. It returns nil when all are synced;
// while the disk fails it waits as long as ctx lets it. What is under way then may be stored still, and is not stored again when
// the same records come back; but where the process stops in between they may be there twice. A store that is full takes none of
// a batch. A letter larger than half a segment is rejected.
func (s *Store) Write(ctx context.Context, b *engine.Batch) error {
	entries := drafts(b)
	if p := s.tooLarge(entries); p != nil {
		return p
	}
	w, err := s.queue(ctx, entries)
	if err != nil {
		return engine.Retryable(err)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-s.quit:
	}
	if err := s.finish(ctx, w); err != nil {
		return engine.Retryable(err)
	}
	s.tidyUp()
	return nil
}

// Batching implements [engine.Batcher]: letters that come while others are synced go together. A segment has room for any
// batch, but for one of a single record that is larger.
func (s *Store) Batching() engine.BatchLimits {
	return engine.BatchLimits{MaxBytes: int(min(maxBatch, s.SegmentSize/2))}
}

const maxBatch = 1 << 20 // bytes

// Measure implements [engine.Measurer]: about what a letter takes.
func (s *Store) Measure(c *engine.Chunk, r engine.Record) int {
	return letterOverhead + len(c.Resource) + len(c.Scope) + len(r.Wire)
}

// letterOverhead is about what a letter takes besides the record and what it belongs to, in bytes.
const letterOverhead = 256

// drafts makes letters of a batch, outside the lock. They share the memory that their bytes lie in, and keep none of the batch's.
func drafts(b *engine.Batch) []*seglog.Entry {
	var at []int
	bytes := make([]byte, 0, max(b.Bytes, 0))
	entries := make([]*seglog.Entry, 0, b.Records)
	for _, r := range b.All() {
		at = append(at, len(bytes))
		bytes = appendLetter(bytes, r)
		entries = append(entries, &seglog.Entry{Label: seglog.Label{Readers: readers, Records: 1}, Owner: &letter{key: keyOf(r)}})
	}
	at = append(at, len(bytes))
	for i, e := range entries {
		e.Head = bytes[at[i]:at[i+1]]
		e.Bytes = uint32(len(e.Head))
	}
	return entries
}

// frameBytes is what the log adds to an entry, at most.
const frameBytes = 72

// cost is what an entry takes of a segment, in bytes.
func cost(e *seglog.Entry) int64 { return int64(len(e.Head)) + frameBytes }

// tooLarge rejects what no segment has room for; the others have not been tried then.
func (s *Store) tooLarge(entries []*seglog.Entry) error {
	p := &engine.Partial{}
	for i, e := range entries {
		if most := s.SegmentSize / 2; cost(e) > most {
			p.Rejected = append(p.Rejected, engine.Rejected{
				Range: engine.Range{From: i, To: i + 1}, Reason: "too_large",
				Message: fmt.Sprintf("the letter takes %d bytes, half a segment is %d", cost(e), most),
			})
		}
	}
	if len(p.Rejected) > 0 {
		return p
	}
	return nil
}

// queue has the log take those letters that are not there, once there is room for them, and gives what there is to wait for.
func (s *Store) queue(ctx context.Context, entries []*seglog.Entry) (*write, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, errClosed
		}
		w := s.match(entries)
		ok, err := s.admit(w.fresh)
		if ok && err == nil {
			w.start()
			return w, nil
		}
		s.left.put(w.found...)
		if err != nil {
			return nil, err
		}
		if s.wait(ctx); ctx.Err() != nil {
			return nil, s.why(ctx)
		}
	}
}

// match finds the letters that a Write before this one left behind. Of those that were removed since then somebody wants to have
// new ones. The lock is held.
func (s *Store) match(entries []*seglog.Entry) *write {
	w := &write{done: make(chan struct{})}
	for _, e := range entries {
		l := e.Owner.(*letter) //nolint:forcetypeassert // it is ours
		if found := s.left.take(l.key); found != nil && (found.lsn == 0 || !s.removed.has(found.lsn)) {
			w.found = append(w.found, found)
		} else {
			w.fresh, w.letters = append(w.fresh, e), append(w.letters, l)
		}
	}
	w.letters = append(w.letters, w.found...)
	return w
}

// admit has the log take entries, or reports that too many wait for the disk. The lock is held.
func (s *Store) admit(fresh []*seglog.Entry) (ok bool, err error) {
	if len(fresh) == 0 {
		return true, nil
	}
	if err := s.full(); err != nil {
		return false, err
	}
	if s.pending >= min(maxPending, s.SegmentSize) {
		return false, nil
	}
	if err := s.log.Append(fresh...); err != nil {
		return false, fmt.Errorf("dead letters: %w", err)
	}
	for _, e := range fresh {
		s.pending += cost(e)
	}
	return true, nil
}

// maxPending is how much may wait for the disk before the next batch is let in, in bytes.
const maxPending = 8 << 20

// wait waits until something was committed, or there is nothing to wait for any more. The lock is held, but for that time.
func (s *Store) wait(ctx context.Context) {
	moved := s.moved
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-moved:
	case <-s.quit:
	case <-ctx.Done():
	}
}

// finish ends a write: all its letters are stored, or those of them that are, and those that are under way, are left behind.
func (s *Store) finish(ctx context.Context, w *write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.open == 0 {
		return nil
	}
	for _, l := range w.letters {
		l.write = nil
	}
	s.left.put(w.letters...)
	return s.why(ctx)
}

// why says why letters are not stored. The lock is held.
func (s *Store) why(ctx context.Context) error {
	switch {
	case ctx.Err() == nil:
		return errClosed
	case s.failing != nil:
		return fmt.Errorf("dead letters: %w: %w", context.Cause(ctx), s.failing)
	default:
		return fmt.Errorf("dead letters: %w", context.Cause(ctx))
	}
}

// tidyUp tidies up where a segment has ended, unless somebody else is about it.
func (s *Store) tidyUp() {
	s.mu.Lock()
	untidy := s.untidy && !s.closed
	s.mu.Unlock()
	if !untidy {
		return
	}
	select {
	case s.turn <- struct{}{}:
		s.tidy()
		<-s.turn
	default:
	}
}
