package sluice_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	sluice "github.com/sluicelog/sluice/clients/go"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
)

func TestHandlerKeepsSlogsRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		err := slogtest.TestHandler(sluice.NewHandler(s, nil), func() []map[string]any {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			var all []map[string]any
			for _, r := range g.records() {
				all = append(all, asMap(r))
			}
			return all
		})
		if err != nil {
			t.Error(err)
		}
		closeClean(t, s)
	})
}

// records gives all that came in.
func (g *gateway) records() []*sluicev1.LogRecord {
	var all []*sluicev1.LogRecord
	g.saw(func() {
		for _, a := range g.appends {
			all = append(all, a.GetRecords()...)
		}
	})
	return all
}

// asMap gives a record as slogtest wants to see it.
func asMap(r *sluicev1.LogRecord) map[string]any {
	m := values(r.GetAttributes())
	if r.GetTimeUnixNano() != 0 {
		m[slog.TimeKey] = time.Unix(0, int64(r.GetTimeUnixNano()))
	}
	m[slog.LevelKey] = r.GetSeverityText()
	m[slog.MessageKey] = r.GetBody().GetStringValue()
	return m
}

func values(kvs []*sluicev1.KeyValue) map[string]any {
	m := map[string]any{}
	for _, kv := range kvs {
		switch v := kv.GetValue().GetValue().(type) {
		case *sluicev1.AnyValue_KvlistValue:
			m[kv.GetKey()] = values(v.KvlistValue.GetValues())
		case *sluicev1.AnyValue_IntValue:
			m[kv.GetKey()] = v.IntValue
		default:
			m[kv.GetKey()] = kv.GetValue().GetStringValue()
		}
	}
	return m
}

func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		s := open(t, newClient(t, g), sluice.StreamOptions{})
		traceID, spanID := make([]byte, 16), make([]byte, 8)
		traceID[0], spanID[0] = 1, 2
		h := sluice.NewHandler(s, &sluice.HandlerOptions{
			Level: slog.LevelDebug, AddSource: true,
			Trace: func(context.Context) ([]byte, []byte, byte) { return traceID, spanID, 1 },
		})
		logger := slog.New(h).With("a", 1)
		inner := logger.WithGroup("g").With("b", 2)
		for _, level := range []slog.Level{-20, slog.LevelDebug - 1, slog.LevelDebug, slog.LevelInfo, 2, slog.LevelWarn, slog.LevelError, 100} {
			logger.Log(t.Context(), level, "m")
		}
		logger.With("c", 3).Info("twig")
		inner.Info("other twig", "d", 4)
		inner.WithGroup("empty").Info("bare")
		closeClean(t, s)

		records := g.records()
		var severities []int
		for _, r := range records[:7] {
			severities = append(severities, int(r.GetSeverityNumber()))
		}
		if diff := cmp.Diff([]int{4 + 1, 9, 11, 13, 17, 24, 9}, severities); diff != "" {
			t.Errorf("severities: %s", diff)
		}
		r := records[0]
		if r.GetFlags() != 1 || !bytes.Equal(r.GetTraceId(), traceID) || !bytes.Equal(r.GetSpanId(), spanID) {
			t.Errorf("trace: %v", r)
		}
		source := values(r.GetAttributes())
		if name, _ := source["code.file.path"].(string); filepath.Base(name) != "slog_test.go" || source["code.line.number"] == int64(0) {
			t.Errorf("source: %v", source)
		}
		var got []map[string]any
		for _, r := range records[6:] {
			m := values(r.GetAttributes())
			for _, k := range []string{"code.function.name", "code.file.path", "code.line.number"} {
				delete(m, k)
			}
			got = append(got, m)
		}
		want := []map[string]any{
			{"a": int64(1), "c": int64(3)},
			{"a": int64(1), "g": map[string]any{"b": int64(2), "d": int64(4)}},
			{"a": int64(1), "g": map[string]any{"b": int64(2)}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
