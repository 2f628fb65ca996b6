package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluicelog/sluice/engine"
)

const (
	// removedAtOnce is how many letters one Remove is asked for: between two of them a drop can be cancelled.
	removedAtOnce = 10_000
	// faultsTold is how many of the letters that cannot be read an error names. Of a damaged disk it could be any number.
	faultsTold = 10
)

// EachLetter calls do with the chosen letters of a store, in the order of storing: the first limit of them, or all where that is
// 0. A letter is valid during its call. Those that cannot be read are passed over; its error, when all is done, says what is wrong
// with them. It ends early with ctx's error or the first that do answers.
func EachLetter(ctx context.Context, store engine.LetterStore, f engine.LetterFilter, limit uint64, do func(*engine.Letter) error) error {
	var unread unread
	n := uint64(0)
	for l, err := range store.Letters(ctx, f) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			unread.add(err)
			continue
		}
		if err := do(l); err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if ctx.Err() != nil { // it is why the letters ended
		return context.Cause(ctx)
	}
	return unread.err()
}

// DropLetters removes the chosen letters of a store, and gives how many they were, also with an error: as EachLetter's, or the
// store's, after which the rest is there. Letters that cannot be read are removed where they are named, and nothing but their IDs
// is asked for.
func DropLetters(ctx context.Context, store engine.LetterStore, f engine.LetterFilter) (int64, error) {
	var ids []uint64
	unread := EachLetter(ctx, store, f, 0, func(l *engine.Letter) error {
		ids = append(ids, l.ID)
		return nil
	})
	if unread != nil && namesOnly(&f) {
		ids, unread = there(ctx, store, f.IDs), nil
	}
	n := int64(0)
	for part := range slices.Chunk(ids, removedAtOnce) {
		if ctx.Err() != nil {
			break
		}
		if err := store.Remove(ctx, part); err != nil {
			return n, errors.Join(unread, err)
		}
		n += int64(len(part))
	}
	if ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	return n, unread
}

// namesOnly reports whether letters are chosen by their IDs alone.
func namesOnly(f *engine.LetterFilter) bool {
	return len(f.IDs) > 0 && choosesAll(&engine.LetterFilter{Output: f.Output, Reason: f.Reason, Since: f.Since, Until: f.Until})
}

// there gives those of some IDs that a store has a letter of, or what is left of one.
func there(ctx context.Context, store engine.LetterStore, ids []uint64) (found []uint64) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		for l, err := range store.Letters(ctx, engine.LetterFilter{IDs: []uint64{id}}) {
			if l != nil || err != nil {
				found = append(found, id)
			}
			break
		}
	}
	return found
}

// unread are the letters that could not be read.
type unread struct {
	told []error
	more int
}

func (u *unread) add(err error) {
	if len(u.told) == faultsTold {
		u.more++
		return
	}
	u.told = append(u.told, err)
}

// err is nil where there are none.
func (u *unread) err() error {
	err := errors.Join(u.told...)
	if u.more > 0 {
		err = fmt.Errorf("%w\nand %d more like these", err, u.more)
	}
	return err
}
