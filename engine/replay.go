package engine

import "context"

// Replay gives the chosen letters of a store back to the outputs that refused them, in the order in which they were stored, by
// the normal path: through the buffer, and no other output. A letter leaves the store once its record is safe in the buffer; so
// a crash in between has it replayed again. It waits while the buffer has no room. told is called, where it is not nil, with how
// many were replayed so far. It gives how many there were in all, also with an error, which is ctx's, or says what of the letters
// could not be replayed; those stay.
func (e *Engine) Replay(ctx context.Context, store LetterStore, f LetterFilter, told func(n int64)) (int64, error) {
	panic("not yet")
}
