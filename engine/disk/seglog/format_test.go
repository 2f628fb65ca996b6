package seglog_test

import (
	"os"
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// A segment that was written when this format was new can be read as long as it is its version.
func TestVersion1(t *testing.T) {
	content, err := os.ReadFile("testdata/version1.seg")
	if err != nil {
		t.Fatal(err)
	}
	inTrial(t, nil, func(t *trial) {
		for _, sealed := range []bool{true, false} {
			t.stop()
			b := slices.Clone(content)
			if !sealed {
				clear(b[sealOffset : sealOffset+sealBytes])
			}
			t.fs.Put(segment(1), b)
			t.open()
			t.wantClean()
			t.wantAll(upTo(6)...)
			s := t.Segments()[0]
			if s.First != 1 || s.Next != 7 || s.Totals[1] != (seglog.Total{Entries: 2, Records: 5, Bytes: 1050}) {
				t.Errorf("sealed %v: %+v", sealed, s)
			}
		}
	})
}
