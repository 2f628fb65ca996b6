package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when the first life of a test begins. Each is 10 s long and ends 1 s behind its last checkpoint.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// tell tells a judge of the lives of a stream: the numbers that each wrote, at their first second, or where it is an "end", at
// half a second before their end.
func tell(j *judge, lives ...[]uint64) {
	for n, numbers := range lives {
		begin := 10 * float64(n)
		for i, number := range numbers {
			second := begin + 1
			if i >= len(numbers)/2 {
				second = begin + 9.5
			}
			j.see("s", number, n+1, at(second))
		}
		j.end(life{killed: at(begin + 10), saved: at(begin + 9)})
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		lives  [][]uint64 // the first half of each is in its checkpoint
		logged uint64
		want   counts
	}{
		{"all is well", [][]uint64{{1, 2, 3, 4}, {5, 6}, {}, {7, 8}}, 8, counts{written: 8}},
		{"the end again", [][]uint64{{1, 2, 3, 4}, {3, 4, 5}}, 5, counts{written: 7, duplicates: 2}},
		{"again, and again", [][]uint64{{1, 2}, {2}, {}, {2, 3}}, 3, counts{written: 5, duplicates: 2}},
		{"lost at a kill", [][]uint64{{1, 2}, {4, 5}}, 5, counts{written: 4, lost: 1, disordered: 1}},
		{"lost within a life", [][]uint64{{1, 2, 4}}, 4, counts{written: 3, lost: 1, disordered: 1}},
		{"lost at the end", [][]uint64{{1, 2}}, 4, counts{written: 2, lost: 2}},
		{"nothing came", [][]uint64{{}}, 1, counts{lost: 1}},
		{"overtaken", [][]uint64{{1, 3, 2, 4}}, 4, counts{written: 4, disordered: 3}},
		{"repeats out of order", [][]uint64{{1, 2, 3, 4}, {4, 3, 5}}, 5, counts{written: 7, duplicates: 2, disordered: 2}},
		{"repeats with a gap", [][]uint64{{1, 2, 3, 4, 5, 6}, {4, 6, 7}}, 7, counts{written: 9, duplicates: 2, disordered: 1}},
		{"stored twice", [][]uint64{{1, 2, 1, 2, 3}}, 3, counts{written: 5, duplicates: 2, disordered: 1, stored: 2}},
		{"again in spite of the checkpoint", [][]uint64{{1, 2, 3, 4}, {2, 3, 4}}, 4, counts{written: 7, duplicates: 3, early: 1, old: 1}},
		{"more than was logged", [][]uint64{{1, 2, 3}}, 2, counts{written: 3, foreign: 1}},
		{"no number", [][]uint64{{1, 0, 2, maxNumber + 1}}, 2, counts{written: 4, foreign: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := newJudge(window{interval: time.Second, slack: time.Second, telling: time.Second / 2})
			tell(j, test.lives...)
			j.account(map[string]uint64{"s": test.logged})
			got := j.counts
			got.oldest, got.passed = 0, 0
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(counts{})); d != "" {
				t.Errorf("counts (-want +got):\n%s", d)
			}
			if wrong := test.want.wrong(); (wrong > 0) != (len(j.faults) > 0) {
				t.Errorf("%d wrong, and told is %q", wrong, j.faults)
			}
		})
	}
}

// What counts is how the life ended that the copy before is of.
func TestAge(t *testing.T) {
	j := newJudge(window{interval: time.Second, slack: time.Second, telling: time.Second})
	j.see("s", 1, 1, at(2.1))
	j.see("s", 2, 1, at(2.5))
	j.end(life{killed: at(3), saved: at(2.3)})
	j.end(life{killed: at(9), saved: at(8)}) // it wrote nothing
	j.see("s", 1, 3, at(10))
	j.see("s", 2, 3, at(10))
	if want := (counts{written: 4, duplicates: 2, oldest: 900 * time.Millisecond, passed: 200 * time.Millisecond}); j.counts != want {
		t.Errorf("counts %+v, want %+v", j.counts, want)
	}
}

// Faults are told by stream and number, and few of each kind.
func TestFaultsAreTold(t *testing.T) {
	j := newJudge(window{})
	j.see("web", 1, 1, at(0))
	j.see("web", 9, 1, at(0))
	j.account(map[string]uint64{"web": 100})
	told := strings.Join(j.faults, "\n")
	for _, want := range []string{"out of order: web 9 comes behind 1 in life 1", "lost: web 2 of 100", "lost: web 6 of 100"} {
		if !strings.Contains(told, want) {
			t.Errorf("not told is %q, but:\n%s", want, told)
		}
	}
	if len(j.faults) != 1+maxFaults || j.lost != 98 {
		t.Errorf("%d faults are told, %d records lost:\n%s", len(j.faults), j.lost, told)
	}
}
