package admin

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluicelog/sluice/engine"
)

// everything are sources of a gateway that has all there is to show.
func everything() Sources {
	s := sources(engine.Stats{
		TenantHeld: map[string]int64{"default": 1000},
		Buffer: engine.BufferStats{
			Durable: true, Stored: 700, Room: 1000, Failing: []engine.Failure{{Work: "commit", Since: time.Now(), Err: "no space left"}},
			Absent: []engine.AbsentStats{{Output: "gone", Records: 300, Bytes: 30_000}}, AbsentStored: 4096,
		},
		Outputs: []engine.OutputStats{
			{
				Name:     "aws",
				Done:     map[engine.DoneLabel]engine.Tally{{Result: "dropped", Reason: "lost"}: {Records: 5}},
				Attempts: map[string]int64{"ok": 9},
			},
			{Name: "hook"},
		},
	})
	s.Letters = func() engine.LetterStats {
		return engine.LetterStats{Letters: 4, Bytes: 800, Room: 1000, Failing: errors.New("it is full")}
	}
	return s
}

// A family is a metric as it is shown.
type family struct {
	name, help string
	labels     []string
}

// gather gives the metrics of everything, without those of Go and the process, in the order of their names.
func gather(t *testing.T) (all []family) {
	t.Helper()
	m := NewMetrics("v1")
	if err := m.Watch(everything()); err != nil {
		t.Fatal(err)
	}
	m.Flew(engine.Flight{Output: "aws", Records: 1, Bytes: 1, Latency: time.Second, Result: "ok"})
	gathered, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(gathered).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	for _, g := range gathered {
		if f := (family{name: g.GetName(), help: g.GetHelp()}); strings.HasPrefix(f.name, "sluice_") {
			for _, l := range g.GetMetric()[0].GetLabel() {
				f.labels = append(f.labels, l.GetName())
			}
			all = append(all, f)
		}
	}
	return all
}

// What lies on the disk is told: how full it is, what does not go, and what is kept for outputs that nobody has any more.
func TestMetricsOfDisk(t *testing.T) {
	s, err := New(Options{Sources: everything(), Metrics: NewMetrics("v1")})
	if err != nil {
		t.Fatal(err)
	}
	code, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	for _, want := range []string{
		`sluice_buffer_stored_bytes 700`, `sluice_buffer_room_bytes 1000`,
		`sluice_buffer_failing{work="commit"} 1`, `sluice_buffer_failing{work="read"} 0`,
		`sluice_buffer_absent_backlog_records{output="gone"} 300`, `sluice_buffer_absent_backlog_bytes{output="gone"} 30000`,
		`sluice_buffer_absent_stored_bytes 4096`,
		`sluice_done_records_total{output="aws",reason="lost",result="dropped"} 5`,
		`sluice_done_records_total{output="hook",reason="lost",result="dropped"} 0`,
		`sluice_dead_letters 4`, `sluice_dead_letters_bytes 800`, `sluice_dead_letters_room_bytes 1000`, `sluice_dead_letters_failing 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// A memory buffer has nothing of that.
func TestMetricsOfMemory(t *testing.T) {
	code, body := get(t, newServer(t, engine.Stats{Outputs: []engine.OutputStats{{Name: "aws"}}}), "/metrics")
	if code != http.StatusOK || strings.Contains(body, "sluice_buffer_") || strings.Contains(body, "lost") {
		t.Errorf("answered %d:\n%s", code, body)
	}
}

// An output that is not configured any more is told where probes are looked at, and fails none.
func TestLivezTellsOfAbsentOutputs(t *testing.T) {
	st := engine.Stats{Buffer: engine.BufferStats{Durable: true, Absent: []engine.AbsentStats{{Output: "gone", Records: 3, Bytes: 99}}}}
	for _, path := range []string{"/livez", "/readyz"} {
		s := newServer(t, st)
		s.SetReady(true)
		code, body := get(t, s, path)
		if want := `{"output":"gone","what":"it is not configured any more, and 3 records of 99 bytes are kept for it"}`; code != http.StatusOK ||
			!strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// Since when the store of dead letters takes none is not known, and not made up.
func TestLivezTellsOfLetters(t *testing.T) {
	s, err := New(Options{Sources: everything(), Metrics: NewMetrics("v1")})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, s, "/livez"); code != http.StatusOK || !strings.Contains(body, `{"buffer":"dead letters","what":"it is full"}`) {
		t.Errorf("%d %s", code, body)
	}
}

// Names follow Prometheus' rules, and each help text can be read alone: it has the unit that the name has, is a sentence, and does not
// lean on the text before it.
func TestMetricTexts(t *testing.T) {
	units := map[string]string{"_bytes": "bytes", "_seconds": "seconds", "_timestamp_seconds": "unix time in seconds"}
	leans := regexp.MustCompile(`(?i)^(what|where|how|when|they|it)\b`)
	said := map[string]string{}
	for _, f := range gather(t) {
		name, help := f.name, f.help
		for suffix, unit := range units {
			if strings.HasSuffix(strings.TrimSuffix(name, "_total"), suffix) && !strings.Contains(strings.ToLower(help), unit) {
				t.Errorf("%s: no unit in %q", name, help)
			}
		}
		if len(help) < 20 || !strings.HasSuffix(help, ".") || leans.MatchString(help) {
			t.Errorf("%s: says %q alone", name, help)
		}
		if said[help] != "" {
			t.Errorf("%s says what %s says: %q", name, said[help], help)
		}
		said[help] = name
	}
}

// The docs name no metric, and no label, that there is not.
func TestDocsNameMetrics(t *testing.T) {
	labels := map[string][]string{}
	for _, f := range gather(t) {
		labels[f.name] = append([]string{}, f.labels...)
	}
	const docs = "../../docs"
	files, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`\b(sluice_[a-z_]+)(\{[^}]*\})?`)
	label := regexp.MustCompile(`[{,]\s*([a-z]+)`)
	named := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
			named++
			if labels[m[1]] == nil {
				t.Errorf("%s: there is no metric %s", filepath.Base(file), m[1])
				continue
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels[m[1]], l[1]) {
					t.Errorf("%s: %s has no label %s", filepath.Base(file), m[1], l[1])
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("%d metrics are named in %s: is it still there?", named, docs)
	}
}
