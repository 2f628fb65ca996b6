package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines are records of a stream as the file output writes them.
func lines(t *testing.T, from, to uint64) string {
	t.Helper()
	b := newBodies()
	var text strings.Builder
	for number := from; number <= to; number++ {
		l, err := json.Marshal(map[string]any{
			"time": "2026-01-01T00:00:00Z", "body": b.body("s", number), "tag": "a.b", "stream": "s", "sequence": number,
		})
		if err != nil {
			t.Fatal(err)
		}
		text.Write(l)
		text.WriteByte('\n')
	}
	return text.String()
}

func TestTail(t *testing.T) {
	one, two, three := lines(t, 1, 1), lines(t, 2, 2), lines(t, 3, 3)
	other := strings.Replace(two, `"sequence":2`, `"sequence":3`, 1)
	short := strings.Replace(two, `","sequence"`, "", 1)
	for _, test := range []struct {
		name  string
		lives []string // what each appends
		want  counts
	}{
		{"whole lines", []string{one + two, three}, counts{written: 3}},
		{"a torn line", []string{one + two[:20], "\n" + two + three}, counts{written: 3, torn: 1}},
		{"a torn line in two lives", []string{one + two[:20], "", "\n" + two[:9], "\n" + two + three}, counts{written: 3, torn: 2}},
		{"its end alone was torn off", []string{one + strings.TrimSuffix(two, "\n"), "\n" + three}, counts{written: 3, torn: 1}},
		{"and it comes again", []string{one + strings.TrimSuffix(two, "\n"), "\n" + two + three},
			counts{written: 4, torn: 1, duplicates: 1}},
		{"written behind a torn line", []string{one + two[:20], two + three}, counts{written: 2, foreign: 1, disordered: 1, lost: 1}},
		{"a torn line is continued", []string{one + two[:20], two[20:] + three}, counts{written: 2, foreign: 1, disordered: 1, lost: 1}},
		{"torn in the middle of a life", []string{one + two[:20] + "\n" + two + three}, counts{written: 3, foreign: 1}},
		{"another sequence", []string{one + other + three}, counts{written: 2, foreign: 1, disordered: 1, lost: 1}},
		{"another text", []string{one + strings.Replace(two, "GET", "PUT", 1) + three},
			counts{written: 2, foreign: 1, disordered: 1, lost: 1}},
		{"no line", []string{one + short + three}, counts{written: 2, foreign: 1, disordered: 1, lost: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "all.ndjson")
			j := newJudge(window{interval: time.Hour, slack: time.Hour, telling: time.Hour})
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			tail, err := openTail(path, j, newBodies())
			if err != nil {
				t.Fatal(err)
			}
			defer tail.file.Close()
			for _, text := range test.lives {
				for len(text) > 0 { // in pieces, as it grows
					n := min(len(text), 100)
					if _, err := f.WriteString(text[:n]); err != nil {
						t.Fatal(err)
					}
					text = text[n:]
					if err := tail.look(); err != nil {
						t.Fatal(err)
					}
				}
				tail.end()
				now := time.Now()
				j.end(life{killed: now, saved: now})
			}
			j.account(map[string]uint64{"s": 3})
			got := j.counts
			got.oldest, got.passed = 0, 0
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(counts{})); d != "" {
				t.Errorf("counts (-want +got):\n%s%s", d, strings.Join(j.faults, "\n"))
			}
		})
	}
}
