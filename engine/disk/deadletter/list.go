package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// Letters implements [engine.LetterStore]. It holds no lock while it yields, and of all letters one in memory. Letters that cannot be
// read because of a [*seglog.DamageError], or because they are of an unknown version, never can be, and nothing is left but to remove
// them; of others the disk failed.
func (s *Store) Letters(ctx context.Context, f engine.LetterFilter) iter.Seq2[*engine.Letter, error] {
	end := s.log.End().LSN
	ids := runs{{1, end}}
	if len(f.IDs) > 0 {
		ids = runsOf(f.IDs)
	}
	ids, f.IDs = ids.within(1, end), nil // looked up in runs, not one by one
	return func(yield func(*engine.Letter, error) bool) {
		w := walk{Store: s, filter: f, ids: ids, end: end}
		for {
			l, err := w.next(ctx)
			if l == nil && err == nil || !yield(l, err) || w.over {
				return
			}
		}
	}
}

// A walk goes through the letters.
type walk struct {
	*Store
	filter engine.LetterFilter
	ids    runs
	end    seglog.LSN

	at     seglog.Place // to go on from
	over   bool
	lost   seglog.LSN // what is before it, and was not come to, the disk does not give
	why    error
	buffer []byte
	letter engine.Letter
}

// next gives the next letter that is chosen, or an error in its place; neither: there is none.
func (w *walk) next(ctx context.Context) (*engine.Letter, error) {
	for {
		if ctx.Err() != nil {
			return w.fail(fmt.Errorf("read dead letters: %w", context.Cause(ctx)))
		}
		if w.at.LSN = w.candidate(w.at.LSN); w.at.LSN >= w.end {
			return nil, nil
		}
		if w.at.LSN < w.lost {
			if err := w.passLost(); err != nil {
				return nil, err
			}
			continue
		}
		step, ok, err := w.log.Next(w.at, readers, w.damaged)
		switch {
		case isClosed(err):
			return w.fail(errClosed)
		case err != nil:
			w.lose(w.at.LSN, err)
			continue
		case !ok || step.LSN > w.at.LSN:
			if err := w.passGap(step, ok); err != nil {
				return nil, err
			}
			continue
		}
		w.at = step.After
		switch err := w.read(step.Place); {
		case isClosed(err):
			return w.fail(errClosed)
		case errors.Is(err, seglog.ErrGone): // it was removed meanwhile
		case err != nil:
			return nil, &engine.LetterError{From: uint64(step.LSN), To: uint64(step.LSN) + 1, Err: err}
		case w.filter.Matches(&w.letter):
			return &w.letter, nil
		}
	}
}

// fail ends the walk.
func (w *walk) fail(err error) (*engine.Letter, error) {
	w.over = true
	return nil, err
}

// candidate gives the first letter from one on that is asked for and not removed.
func (w *walk) candidate(lsn seglog.LSN) seglog.LSN {
	w.mu.Lock()
	removed := w.removed
	w.mu.Unlock()
	for {
		lsn = w.ids.start(lsn)
		live := removed.skip(lsn)
		if live == lsn {
			return lsn
		}
		lsn = live
	}
}

// lose notes that the disk does not give the segment of a letter.
func (w *walk) lose(lsn seglog.LSN, err error) {
	w.lost, w.why = w.end, err
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.segments {
		if g.next > lsn {
			w.lost = min(g.next, w.end)
			return
		}
	}
}

// passLost goes on behind the next letters of the segment that the disk does not give, unless they are not there any more.
func (w *walk) passLost() error {
	from := w.at.LSN
	to := w.upTo(from, w.lost)
	if to == from {
		return nil
	}
	w.at = seglog.Place{LSN: to}
	return &engine.LetterError{From: uint64(from), To: uint64(to), Err: w.why}
}

// passGap goes on with what the log found in place of a letter that must be there, unless it is not there any more.
func (w *walk) passGap(step seglog.Step, ok bool) error {
	from, to := w.at.LSN, w.end
	if ok {
		to = min(step.LSN, w.end)
	}
	if to = w.upTo(from, to); to == from {
		return nil
	}
	w.at = seglog.Place{LSN: to}
	if ok && to == step.LSN {
		w.at = step.Place
	}
	return &engine.LetterError{From: uint64(from), To: uint64(to), Err: &seglog.DamageError{Damage: w.damageAt(from, to)}}
}

// upTo gives the end of the letters from one on, and before another LSN, that all are asked for and not removed.
func (w *walk) upTo(from, to seglog.LSN) seglog.LSN {
	w.mu.Lock()
	removed := w.removed
	w.mu.Unlock()
	return min(to, removed.start(from), w.ids.skip(from))
}

// damageAt gives what the log knows of the damage that letters lie in.
func (s *Store) damageAt(from, to seglog.LSN) seglog.Damage {
	for _, g := range s.log.Segments() {
		for _, d := range g.Damage {
			if d.From <= from && from < d.To {
				return d
			}
		}
	}
	return seglog.Damage{From: from, To: to, Reason: "nothing of it can be found"}
}

// read reads a letter.
func (w *walk) read(at seglog.Place) error {
	b, err := w.log.Read(at, func(n int) []byte {
		if cap(w.buffer) < n {
			w.buffer = make([]byte, n)
		}
		return w.buffer[:n]
	})
	if err != nil {
		return err
	}
	w.letter = engine.Letter{ID: uint64(at.LSN)}
	return parseLetter(b, &w.letter)
}
