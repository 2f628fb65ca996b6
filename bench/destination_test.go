package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDestinationFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	line := func(stream string, n, sequence int) string {
		return fmt.Sprintf(`{"stream":%q,"sequence":%d,"body":"%0*d rest"}`, stream, sequence, numberSize, n)
	}
	for name, c := range map[string]struct {
		lines   []string
		records uint64
		wrong   int
	}{
		"in order":          {[]string{line("a", 1, 1), line("b", 1, 1), line("a", 2, 2)}, 3, 0},
		"lost":              {[]string{line("a", 1, 1), line("a", 3, 3)}, 2, 1},
		"twice":             {[]string{line("a", 1, 1), line("a", 1, 1)}, 2, 1},
		"overtaken":         {[]string{line("a", 2, 2), line("a", 1, 1), line("a", 3, 3)}, 3, 2},
		"numbered wrongly":  {[]string{line("a", 1, 2)}, 1, 1},
		"not what was sent": {[]string{`{"stream":"a","sequence":1,"body":"x"}`, "garbage"}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &destination{streams: map[string]*arrivals{}}
			d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/",
				strings.NewReader(strings.Join(c.lines, "\n"))))
			if got := d.tally(); got.Records != c.records || got.Wrong != c.wrong {
				t.Errorf("%d records, %d wrong, want %d and %d: %v", got.Records, got.Wrong, c.records, c.wrong, got.Faults)
			}
		})
	}
}

func TestDestinationThatIsDownTakesNothing(t *testing.T) {
	t.Parallel()
	d := &destination{streams: map[string]*arrivals{}}
	d.setDown(true)
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"stream":"a","sequence":1}`)))
	if got := d.tally(); answer.Code != http.StatusServiceUnavailable || got.Records != 0 || got.Refused != 1 {
		t.Errorf("status %d, %+v", answer.Code, got)
	}
}
