package deadletter

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicelog/sluice/engine/disk/crashfs"
	"github.com/sluicelog/sluice/engine/disk/seglog"
)

func drawIDs(t *rapid.T, name string) []uint64 {
	return rapid.SliceOfN(rapid.Uint64Range(1, 40), 0, 30).Draw(t, name)
}

// Runs are what sets of numbers are.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawIDs(t, "a"), drawIDs(t, "b")
		from := seglog.LSN(rapid.IntRange(0, 45).Draw(t, "from"))
		to := from + seglog.LSN(rapid.IntRange(0, 45).Draw(t, "length"))
		has := func(lsn seglog.LSN) bool { return slices.Contains(a, uint64(lsn)) }
		r := runsOf(a)
		all, in := r.union(runsOf(b)), r.within(from, to)
		start, skip, count := none, seglog.LSN(0), int64(0)
		for lsn := seglog.LSN(50); lsn > 0; lsn-- {
			inside := lsn >= from && lsn < to
			if r.has(lsn) != has(lsn) || all.has(lsn) != (has(lsn) || slices.Contains(b, uint64(lsn))) || in.has(lsn) != (has(lsn) && inside) {
				t.Fatalf("%d: %v, %v, %v", lsn, r, all, in)
			}
			if lsn >= from && has(lsn) {
				start = lsn
			}
			if lsn >= from && !has(lsn) {
				skip = lsn
			}
			if has(lsn) && inside {
				count++
			}
		}
		if from == 0 {
			skip = 0
		}
		if r.start(from) != start || r.skip(from) != skip || r.count(from, to) != count || in.size() != count {
			t.Fatalf("from %d of %v: starts at %d, want %d; skips to %d, want %d; %d up to %d, want %d",
				from, r, r.start(from), start, r.skip(from), skip, r.count(from, to), to, count)
		}
		for _, x := range []runs{r, all, in} {
			for i := range x {
				if x[i].from >= x[i].to || i > 0 && x[i-1].to >= x[i].from {
					t.Fatalf("%v", x)
				}
			}
		}
	})
}

func TestRunsDoNotChange(t *testing.T) {
	a := runsOf([]uint64{1, 2, 5})
	before := slices.Clone(a)
	a.union(runsOf([]uint64{3, 4, 6, 9}))
	a.within(2, 3)
	if !slices.Equal(a, before) {
		t.Errorf("%v, it was %v", a, before)
	}
	if r := runsOf([]uint64{1<<64 - 1, 1<<64 - 2, 0}); r.has(none) || !r.has(0) {
		t.Errorf("%v", r)
	}
}

func TestRemovedRoundTrip(t *testing.T) {
	disk := crashfs.New()
	if err := disk.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := runsOf(rapid.SliceOf(rapid.Uint64Range(1, lsnLimit-2)).Draw(t, "far")).union(runsOf(drawIDs(t, "near")))
		if err := writeRemoved(disk, "/d", want); err != nil {
			t.Fatal(err)
		}
		if got, known, err := readRemoved(disk, "/d"); err != nil || !known || !slices.Equal(got, want) {
			t.Fatalf("%v, %v, %v; want %v", got, known, err, want)
		}
	})
}

// sum gives a content the right checksum.
func sum(body ...byte) []byte { return seglog.WithSum(removedTitle, body) }

func TestRemovedThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		content []byte
		want    error // nil: of another version
	}{
		"nothing":          {nil, errNotRemoved},
		"no line":          {[]byte("sluice removed letters"), errNotRemoved},
		"wrong checksum":   {append(bytes.TrimSuffix(sum(1, 0), []byte{1, 0}), 1, 1, 1, 1), errNotRemoved},
		"no body":          {sum(), errNotRemoved},
		"no count":         {sum(1), errNotRemoved},
		"less than it has": {sum(1, 2, 1, 1), errNotRemoved},
		"more than it has": {sum(1, 1, 1, 1, 1), errNotRemoved},
		"an empty run":     {sum(1, 1, 1, 0), errNotRemoved},
		"no gap":           {sum(1, 2, 1, 1, 0, 1), errNotRemoved},
		"the LSN 0":        {sum(1, 1, 0, 1), errNotRemoved},
		"beyond all":       {sum(append([]byte{1, 1, 1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), errNotRemoved},
		"too many":         {sum(append([]byte{1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), errNotRemoved},
		"version 2":        {sum(2, 0), nil},
	} {
		if r, err := decodeRemoved(c.content); err == nil || c.want != nil && !errors.Is(err, c.want) || c.want == nil && errors.Is(err, errNotRemoved) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if r, err := decodeRemoved(sum(1, 2, 1, 1, 1, 1)); err != nil || !slices.Equal(r, runs{{1, 2}, {3, 4}}) {
		t.Errorf("%v, %v", r, err)
	}
}

// Where it cannot be read what was removed, all that is held is back, and that is told. A file of a version to come is not touched.
func TestRemovedCannotBeRead(t *testing.T) {
	inTrial(t, func(tr *trial) {
		tr.fill(4)
		tr.remove(1, 3)
		name := "/letters/" + removedName
		whole := tr.fs.Content(name)
		tr.fs.Flip(name, int64(len(whole)-1), 1)
		tr.reopen()
		tr.want(1, 2, 3, 4)
		if !strings.Contains(tr.told.String(), "ERROR") {
			tr.Error("nothing is told")
		}
		tr.remove(1, 3)
		tr.reopen()
		tr.want(2, 4)
		if err := tr.Close(); err != nil {
			tr.Fatal(err)
		}
		tr.fs.Put(name, sum(2, 0))
		o := tr.options
		o.FS = tr.fs
		if _, err := Open(o); err == nil {
			tr.Error("a version that is not known is read")
		}
		tr.fs.Put(name, whole)
		tr.open()
		tr.want(2, 4)
	})
}

// What is taken for removed comes back as it is.
func FuzzRemoved(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(encodeRemoved(runsOf([]uint64{1, 2, 3, 7, 1000})), false)
	f.Add([]byte{1, 2, 1, 1, 1, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		if repair {
			b = sum(b...)
		}
		r, err := decodeRemoved(b)
		if err != nil {
			return
		}
		if again, err := decodeRemoved(encodeRemoved(r)); err != nil || !slices.Equal(r, again) {
			t.Fatalf("%v, then %v, %v", r, again, err)
		}
	})
}
