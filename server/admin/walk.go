package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicelog/sluice/engine"
)

const (
	// removedAtOnce is how many letters one Remove is asked for: between two of them a drop can be cancelled.
	removedAtOnce = 10_000
	// faultsTold is how many faults are told one by one. Of a damaged disk it could be any number.
	faultsTold = 10
)

// EachLetter calls do with the chosen letters of a store, in the order of storing: the first limit of them, or all where that is
// 0. A letter is valid during its call. Those that cannot be read are passed over; its error, when all is done, says what is wrong
// with them. It ends early with ctx's error, the store's or the first that do answers. missing are those of the filter's IDs that no
// letter has; nil where it ended early, or at the limit.
func EachLetter(
	ctx context.Context, store engine.LetterStore, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error,
) (missing []uint64, err error) {
	w := newWalk(f)
	n, all := uint64(0), true
	err = w.through(ctx, store, func(l *engine.Letter) error {
		if err := do(l); err != nil {
			return err
		}
		if n++; n == limit {
			all = false
			return errEnough
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if all {
		missing = w.missing()
	}
	return missing, w.unread.err()
}

// MissingLetters gives those of some IDs that no letter of a store has.
func MissingLetters(ctx context.Context, store engine.LetterStore, ids []uint64) ([]uint64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	w := newWalk(engine.LetterFilter{IDs: ids})
	if err := w.through(ctx, store, func(*engine.Letter) error { return nil }); err != nil {
		return nil, err
	}
	return w.missing(), nil
}

// A Dropped is what came of a drop.
type Dropped struct {
	Letters int64    // that are gone
	Unread  int64    // how many of them could not be read
	Left    int64    // letters that cannot be read and are there still, because nobody can know whether they were chosen
	Faults  []string // what is wrong with those: the first ten sentences
	Missing []uint64 // those of the filter's IDs that no letter had
}

// DropLetters removes the chosen letters of a store. Those that cannot be read are removed, too, where all are chosen, or by their IDs
// alone. It fails with ctx's error or the store's, after which the rest is there: then Letters is all that is known.
func DropLetters(ctx context.Context, store engine.LetterStore, f engine.LetterFilter) (d Dropped, err error) {
	var ids []uint64
	w := newWalk(f)
	err = w.through(ctx, store, func(l *engine.Letter) error {
		ids = append(ids, l.ID)
		return nil
	})
	if err != nil {
		return d, err
	}
	d.Missing = w.missing()
	if f.IDsAlone() {
		d.Unread = w.unread.letters
		ids = append(ids, w.unread.ids()...)
	} else {
		d.Left, d.Faults = w.unread.letters, w.unread.faults()
	}
	for part := range slices.Chunk(ids, removedAtOnce) {
		if ctx.Err() != nil {
			return Dropped{Letters: d.Letters}, context.Cause(ctx)
		}
		if err := store.Remove(ctx, part); err != nil {
			return Dropped{Letters: d.Letters}, err
		}
		d.Letters += int64(len(part))
	}
	return d, nil
}

// errEnough ends a walk without an error.
var errEnough = errors.New("enough")

// A walk goes through the letters of a store that a filter chooses, and notes what it did not come to.
type walk struct {
	filter engine.LetterFilter // but its IDs
	ids    []uint64            // nil: all
	absent map[uint64]struct{} // IDs of which nothing was seen yet
	unread unread
}

func newWalk(f engine.LetterFilter) *walk {
	w := &walk{filter: f, ids: f.IDs, absent: make(map[uint64]struct{}, len(f.IDs))}
	w.filter.IDs = nil
	for _, id := range f.IDs {
		w.absent[id] = struct{}{}
	}
	return w
}

// through calls do with each letter, until that answers an error, which it gives, but for errEnough. Where IDs are given the store is
// asked for these and nothing else: what the rest of the filter passes over is there all the same.
func (w *walk) through(ctx context.Context, store engine.LetterStore, do func(*engine.Letter) error) error {
	f := w.filter
	if len(w.ids) > 0 {
		f = engine.LetterFilter{IDs: w.ids}
	}
	for l, err := range store.Letters(ctx, f) {
		if ctx.Err() != nil {
			break
		}
		if fault, ok := errors.AsType[*engine.LetterError](err); ok {
			w.unread.add(fault)
			maps.DeleteFunc(w.absent, func(id uint64, _ struct{}) bool { return fault.From <= id && id < fault.To })
			continue
		} else if err != nil {
			return errors.Join(w.unread.err(), err)
		}
		delete(w.absent, l.ID)
		if !w.filter.Matches(l) {
			continue
		}
		if err := do(l); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if ctx.Err() != nil { // it is why the letters ended
		return context.Cause(ctx)
	}
	return nil
}

// missing gives the IDs of which nothing was seen, in order.
func (w *walk) missing() []uint64 { return slices.Sorted(maps.Keys(w.absent)) }

// unread are the letters that could not be read.
type unread struct {
	told    []error
	more    int // faults
	letters int64
	runs    []idRun
}

// An idRun is IDs, up to before to.
type idRun struct{ from, to uint64 }

func (u *unread) add(err *engine.LetterError) {
	u.letters += int64(err.To - err.From)
	if last := len(u.runs) - 1; last >= 0 && u.runs[last].to == err.From {
		u.runs[last].to = err.To
	} else {
		u.runs = append(u.runs, idRun{err.From, err.To})
	}
	if len(u.told) == faultsTold {
		u.more++
		return
	}
	u.told = append(u.told, err)
}

func (u *unread) ids() []uint64 {
	ids := make([]uint64, 0, u.letters)
	for _, r := range u.runs {
		for id := r.from; id < r.to; id++ {
			ids = append(ids, id)
		}
	}
	return ids
}

// err is nil where there are none.
func (u *unread) err() error {
	err := errors.Join(u.told...)
	if u.more > 0 {
		err = fmt.Errorf("%w\nand %d more like these", err, u.more)
	}
	return err
}

// faults is err by the sentence.
func (u *unread) faults() []string {
	if u.letters == 0 {
		return nil
	}
	return strings.Split(u.err().Error(), "\n")
}
