package seglog_test

import (
	"slices"
	"testing"

	"github.com/sluicelog/sluice/engine/disk/seglog"
)

// What was committed and lies on a page that the disk does not give as the log is opened is there when it does, whatever lies around it:
// frames of a commit that was torn, or an entry that is damaged. None of its numbers is given out again.
func TestDarkIsNotCut(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int // a commit each
		then  func(t *trial)
		want  []int
	}{
		"in front of a torn commit": {[]int{3000, 2000, 500}, func(t *trial) {
			before := t.fs.Content(segment(1))
			t.put(5, 1500)
			after := slices.Clone(t.fs.Content(segment(1)))
			last := t.told[len(t.told)-1].Offset
			copy(after[last:], before[last:]) // its last frame was not written as the machine stopped
			t.die(t.fs.Kill())
			t.fs.Put(segment(1), after)
		}, []int{0, 1, 2}},
		"behind damage": {[]int{1000, 2500, 600, 600, 600, 600, 600}, func(t *trial) {
			t.die(t.fs.Kill())
			t.fs.Flip(segment(1), t.told[1].Offset+100, 1)
		}, []int{0, 2, 3, 4, 5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			inTrial(t, func(o *seglog.Options) { o.SegmentSize = 64 << 10 }, func(t *trial) {
				for _, size := range c.sizes {
					t.put(1, size)
				}
				c.then(t)
				t.fs.Inject(bad(segment(1), 3))
				t.open()
				t.fs.Inject(nil) // it passes
				if end := t.End().LSN; int(end) <= len(c.sizes) {
					t.Errorf("%d entries were committed, and the next one gets the number %d", len(c.sizes), end)
				}
				found, damage := t.all(2 * patience)
				found = slices.DeleteFunc(found, func(id int) bool { return id >= len(c.sizes) }) // of what was torn some may be there, too
				if !slices.Equal(found, c.want) {
					t.Errorf("found %v, want %v; damage %v", found, c.want, damage)
				}
			})
		})
	}
}
