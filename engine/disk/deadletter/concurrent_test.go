package deadletter

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/enginetest"
)

// Letters are written, listed, removed and counted at once, on a real disk: each is there once, or was removed.
func TestAtOnce(t *testing.T) {
	const writers, batches, records = 4, 40, 5
	s, err := Open(Options{Dir: t.TempDir(), Room: 4 << 20, SegmentSize: minSegment})
	if err != nil {
		t.Fatal(err)
	}
	var mint enginetest.Mint
	var writing, others sync.WaitGroup
	var written atomic.Bool
	for w := range writers {
		stream := &engine.Stream{Tenant: "default", ID: fmt.Sprint("s", w), Tag: "t"}
		writing.Go(func() {
			for i := range uint64(batches) {
				var bodies []string
				for range records {
					bodies = append(bodies, bodyOf(uint64(w), 600))
				}
				c := mint.Chunk(stream, i*records+1, 1, bodies...)
				b := engine.NewBatch(spanOf(c, nil))
				b.Pin([]*engine.Chunk{c})
				if err := s.Write(t.Context(), b); err != nil {
					t.Error(err)
				}
				c.Release()
			}
		})
	}
	removed := map[string]int{}
	others.Go(func() { // removes the letters whose sequence is even
		for last := false; !last; {
			last = written.Load()
			var ids []uint64
			for l, err := range s.Letters(t.Context(), engine.LetterFilter{}) {
				if err != nil {
					t.Error(err)
					return
				}
				if l.Sequence%2 == 0 {
					removed[fmt.Sprint(l.StreamID, l.Sequence)]++
					ids = append(ids, l.ID)
				}
				if len(ids) == 100 {
					break
				}
			}
			if err := s.Remove(t.Context(), ids); err != nil {
				t.Error(err)
			}
			last = last && len(ids) == 0
		}
	})
	others.Go(func() {
		for !written.Load() {
			n := int64(0)
			for _, err := range s.Letters(t.Context(), engine.LetterFilter{IDs: []uint64{1, 7, 300}}) {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			if st := s.Stats(); n > 3 || st.Failing != nil {
				t.Errorf("%d of three letters, %+v", n, st)
			}
		}
	})
	writing.Wait()
	written.Store(true)
	others.Wait()
	there := map[string]int{}
	for l, err := range s.Letters(t.Context(), engine.LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		there[fmt.Sprint(l.StreamID, l.Sequence)]++
	}
	for w := range writers {
		for n := 1; n <= batches*records; n++ {
			name := fmt.Sprintf("s%d%d", w, n)
			if even := n%2 == 0; (removed[name] == 1) != even || (there[name] == 1) == even {
				t.Errorf("record %s: removed %d times, there %d times", name, removed[name], there[name])
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	mint.Check(t)
}
