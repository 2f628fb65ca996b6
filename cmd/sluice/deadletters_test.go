package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
	"github.com/sluicelog/sluice/engine"
	"github.com/sluicelog/sluice/engine/disk/deadletter"
	"github.com/sluicelog/sluice/engine/enginetest"
	sluicev1 "github.com/sluicelog/sluice/proto/sluice/v1"
	"github.com/sluicelog/sluice/server/admin"
)

// noon is when the first letter was refused; the others follow by the minute.
func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// letterStore is a store in the directory of a buffer, with letters that were refused like this.
func letterStore(t *testing.T, dir string, why ...engine.DeadLetter) *deadletter.Store {
	t.Helper()
	store, err := deadletter.Open(deadletter.Options{Dir: filepath.Join(dir, config.StoreName)})
	if err != nil {
		t.Fatal(err)
	}
	var mint enginetest.Mint
	for i := range why {
		d := &why[i]
		d.Attempts, d.First, d.Last = i+1, noon(), noon().Add(time.Duration(i)*time.Minute)
		stream := &engine.Stream{Tenant: "default", ID: fmt.Sprintf("host-%d", i%2), Tag: "shop.checkout"}
		c := mint.Chunk(stream, uint64(100+i), 1, fmt.Sprintf("record %d\n\tat line 2 \x1b[31m", i+1))
		c.Epoch, c.Resource, c.Arrived = 7, enginetest.Resource("host.name", "h"), noon().Add(-time.Hour)
		b := engine.NewBatch(engine.Span{Stream: stream, Records: engine.SelectRange(0, 1), Dead: d})
		b.Pin([]*engine.Chunk{c})
		if err := store.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	return store
}

// fourLetters are of two outputs and of three reasons.
func fourLetters() []engine.DeadLetter {
	return []engine.DeadLetter{
		{Output: "aws", Target: "/apps/shop\x1fhost-0", Reason: "too_old", Message: "The event is older than 14 days.", RequestID: "8f1c"},
		{Output: "hook", Reason: "http_400", Message: "no\nJSON \x1b[2J\xff, but a long story: " + strings.Repeat("word ", 30)},
		{Output: "aws", Target: "/apps/shop", Reason: "denied", Message: "AccessDenied"},
		{Output: "aws", Target: "/apps/shop", Reason: "too_old", Message: "The event is older than 14 days."},
	}
}

// serveLetters serves a store until the test ends, or stop.
func serveLetters(t *testing.T, store *deadletter.Store, replay admin.Replay) (addr string, stop func()) {
	t.Helper()
	options := admin.Options{
		Sources: admin.Sources{Engine: func() engine.Stats { return engine.Stats{} }}, Metrics: admin.NewMetrics("v1"), Replay: replay,
	}
	if store != nil {
		options.Letters = store
	}
	server, err := admin.New(options)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	stop = sync.OnceFunc(func() {
		err := errors.Join(server.Stop(context.Background()), <-served)
		if store != nil {
			err = errors.Join(err, store.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return lis.Addr().String(), stop
}

func noReplay(context.Context, engine.LetterFilter, func(int64)) (int64, error) { return 0, nil }

// bothWays runs a test online and offline, with the same letters.
func bothWays(t *testing.T, test func(t *testing.T, do func(args ...string) (code int, out, said string))) {
	t.Run("online", func(t *testing.T) {
		addr, _ := serveLetters(t, letterStore(t, t.TempDir(), fourLetters()...), noReplay)
		test(t, func(args ...string) (int, string, string) {
			return command(t.Context(), nil, append([]string{"dead-letters", args[0], "--admin", addr}, args[1:]...)...)
		})
	})
	t.Run("offline", func(t *testing.T) {
		dir := t.TempDir()
		if err := letterStore(t, dir, fourLetters()...).Close(); err != nil {
			t.Fatal(err)
		}
		test(t, func(args ...string) (int, string, string) {
			return command(t.Context(), nil, append([]string{"dead-letters", args[0], "--dir", dir}, args[1:]...)...)
		})
	})
}

func TestListLetters(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 30))
	table := `
ID  LAST                  OUTPUT  REASON    TARGET             TAG            STREAM  SEQUENCE  MESSAGE
1   2026-01-02T12:00:00Z  aws     too_old   /apps/shop�host-0  shop.checkout  host-0  100       The event is older than 14 days.
2   2026-01-02T12:01:00Z  hook    http_400  -                  shop.checkout  host-1  101       no JSON �[2J�, but a long story: ` + long + `
3   2026-01-02T12:02:00Z  aws     denied    /apps/shop         shop.checkout  host-0  102       AccessDenied
4   2026-01-02T12:03:00Z  aws     too_old   /apps/shop         shop.checkout  host-1  103       The event is older than 14 days.
4 letters
`
	one := `
ID  LAST                  OUTPUT  REASON  TARGET      TAG            STREAM  SEQUENCE  MESSAGE
3   2026-01-02T12:02:00Z  aws     denied  /apps/shop  shop.checkout  host-0  102       AccessDenied
`
	bothWays(t, func(t *testing.T, do func(args ...string) (int, string, string)) {
		for _, c := range []struct{ args, want string }{
			{"list", table},
			{"list --limit 5", table},
			{"list --limit 4", strings.Replace(table, "\n4 letters", "\nthe first 4 letters", 1)},
			{"list --output aws --since 2026-01-02T12:00:30Z --limit 1", one + "the first letter\n"},
			{"list --since 2026-01-02T13:02:00+01:00 --until 2026-01-02T12:03:00Z", one + "1 letter\n"},
			{"list --reason denied", one + "1 letter\n"},
			{"list 3", one + "1 letter\n"},
			{"list 3 1 --reason denied", one + "1 letter\n"},
			{"list --tag shop.checkout --stream host-0 --reason denied", one + "1 letter\n"},
			{"list --stream-id host-0 --reason denied", one + "1 letter\n"},
			{"list --tag shop", "\nno such dead letters\n"},
			{"list --stream host", "\nno such dead letters\n"},
			{"list --reason none", "\nno such dead letters\n"},
			{"list --since 1h", "\nno such dead letters\n"},
		} {
			code, out, said := do(strings.Fields(c.args)...)
			if code != exitOK || said != "" || "\n"+out != c.want {
				t.Errorf("%s: exit %d, said %q, out\n%swant%s", c.args, code, said, out, c.want)
			}
		}
	})
}

func TestLettersAsJSON(t *testing.T) {
	const want = `{"id":1,"tenant":"default","epoch":"7","arrived":"2026-01-02T11:00:00Z",` +
		`"time":"2026-01-01T00:00:00.1Z","severity":"INFO","body":"record 1\n\tat line 2 \u001b[31m","tag":"shop.checkout",` +
		`"stream":"host-0","sequence":100,"resource":{"host.name":"h"},` +
		`"dead_letter":{"output":"aws","target":"/apps/shop\u001fhost-0","reason":"too_old",` +
		`"message":"The event is older than 14 days.","request_id":"8f1c","attempts":1,` +
		`"first":"2026-01-02T12:00:00Z","last":"2026-01-02T12:00:00Z"}}` + "\n"
	bothWays(t, func(t *testing.T, do func(args ...string) (int, string, string)) {
		for _, args := range []string{"list --json --limit 1", "show --json 1"} {
			if code, out, said := do(strings.Fields(args)...); code != exitOK || out != want || said != "" {
				t.Errorf("%s: exit %d, said %q, out\n%s", args, code, said, out)
			}
		}
		_, out, _ := do("list", "--json")
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		}
		if n := strings.Count(out, "\n"); n != 4 {
			t.Errorf("%d lines", n)
		}
		if code, out, said := do("list", "--json", "--reason", "none"); code != exitOK || out != "" || said != "no such dead letters\n" {
			t.Errorf("none: exit %d, said %q, out %q", code, said, out)
		}
	})
}

func TestShowLetters(t *testing.T) {
	const want = `
dead letter 1
  output      aws
  target      /apps/shop�host-0
  reason      too_old
  message     The event is older than 14 days.
  request     8f1c
  attempts    1, from 2026-01-02T12:00:00Z to 2026-01-02T12:00:00Z
  tenant      default
  tag         shop.checkout
  stream      host-0
  sequence    100 of epoch 7
  arrived     2026-01-02T11:00:00Z
  time        2026-01-01T00:00:00.1Z
  severity    INFO
  body        record 1
               at line 2 �[31m
  resource    {
                "host.name": "h"
              }

dead letter 3
  output      aws
`
	bothWays(t, func(t *testing.T, do func(args ...string) (int, string, string)) {
		code, out, said := do("show", "3", "1")
		if code != exitOK || said != "" || !strings.HasPrefix("\n"+out, want) {
			t.Errorf("exit %d, said %q, out\n%swant%s", code, said, out, want)
		}
	})
}

// Some readers of JSON keep no number over 2^53, and an epoch is nanoseconds.
func TestEpochKeepsItsDigits(t *testing.T) {
	var out bytes.Buffer
	lines := newLetterLines(&out)
	if err := errors.Join(lines.add(&engine.Letter{ID: 1, Epoch: 1767323045123456789}), lines.end()); err != nil {
		t.Fatal(err)
	}
	var l struct{ Epoch any }
	if err := json.Unmarshal(out.Bytes(), &l); err != nil || l.Epoch != "1767323045123456789" {
		t.Errorf("%v in %s", err, &out)
	}
}

func TestReplayLetters(t *testing.T) {
	var got engine.LetterFilter
	store := letterStore(t, t.TempDir(), fourLetters()...)
	addr, _ := serveLetters(t, store, func(_ context.Context, f engine.LetterFilter, _ func(int64)) (int64, error) {
		got = f
		switch f.Output {
		case "gone":
			return 3, errors.New(`dead letters 4 to 9: no output is named "gone"`)
		case "none":
			return 0, nil
		default:
			return 1200, nil
		}
	})
	for _, c := range []struct {
		args      string
		code      int
		out, said string
	}{
		{"--reason denied --tag t --stream s 1 2", exitOK, "1200 letters replayed\n", ""},
		{"", exitOK, "1200 letters replayed\n", ""},
		{"1 99", exitFailure, "1200 letters replayed\n", "sluice: error: no dead letter has the ID 99\n"},
		{"--output none 99", exitFailure, "", "sluice: error: no dead letter has the ID 99\n"},
		{"--output none", exitOK, "no such dead letters\n", ""},
		{"--output gone", exitFailure, "3 letters replayed\n", "sluice: error: dead letters 4 to 9: no output is named \"gone\"\n"},
	} {
		args := append([]string{"dead-letters", "replay", "--admin", addr}, strings.Fields(c.args)...)
		if code, out, said := command(t.Context(), nil, args...); code != c.code || out != c.out || said != c.said {
			t.Errorf("%s: exit %d, said %q, out %q", c.args, code, said, out)
		}
		want := engine.LetterFilter{Reason: "denied", Tag: "t", StreamID: "s", IDs: []uint64{1, 2}}
		if diff := cmp.Diff(want, got); strings.HasSuffix(c.args, "1 2") && diff != "" {
			t.Errorf("filter %s", diff)
		}
	}
}

// An interrupt ends a replay at the gateway, too.
func TestReplayIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	addr, _ := serveLetters(t, letterStore(t, t.TempDir()), func(ctx context.Context, _ engine.LetterFilter, told func(int64)) (int64, error) {
		for n := int64(1); ctx.Err() == nil; n++ {
			told(n)
		}
		ended <- context.Cause(ctx)
		return 0, context.Cause(ctx)
	})
	var out, said safeBuffer
	code := run(ctx, []string{"dead-letters", "replay", "--admin", addr}, terminal{nil, &out, writer(func(p []byte) {
		_, _ = said.Write(p)
		if bytes.HasSuffix(p, []byte(" letters replayed so far\n")) {
			interrupt()
		}
	})})
	if code != exitFailure || !strings.HasSuffix(out.String(), " letters replayed\n") ||
		!strings.HasSuffix(said.String(), "error: interrupted: a few more may have been replayed meanwhile, the rest stays\n") {
		t.Errorf("exit %d, out %q, said %q", code, &out, &said)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestDeadLettersFailures(t *testing.T) {
	without, _ := serveLetters(t, nil, nil)
	m := start(t, "outputs: [{name: n, type: 'null'}]")
	used := t.TempDir()
	addr, _ := serveLetters(t, letterStore(t, used), noReplay)
	empty := t.TempDir()
	gone, stop := serveLetters(t, nil, nil)
	stop()
	for name, c := range map[string]struct {
		args string
		code int
		want string
	}{
		"no gateway": {"list --admin " + gone, exitFailure,
			"error: no gateway answers at " + gone + "; --dir looks in the buffer's directory of one that does not run (dial tcp " + gone + ": connect: connection refused)\n"},
		"no gateway, replay": {"replay --admin " + gone, exitFailure, "error: no gateway answers at " + gone},
		"no store":           {"list --admin " + without, exitFailure, "error: no dead-letter store: it comes with buffer.type disk\n"},
		"no store, drop":     {"drop --all --admin " + without, exitFailure, "error: no dead-letter store: it comes with buffer.type disk\n"},
		// Producers may not drop dead letters.
		"where producers connect": {"drop --all --admin " + m.Addr.String(), exitFailure, m.Addr.String() + " is not the admin address of a gateway"},
		"the directory is used":   {"list --dir " + used, exitFailure, "error: --dir " + used + ": a gateway is using it; leave out --dir"},
		"the directory is empty":  {"list --dir " + empty, exitUsage, "error: --dir: no dead letters there: stat " + empty + "/dead-letters: no such file or directory\n"},
		"no port":                 {"list --admin 127.0.0.1", exitUsage, `--admin "127.0.0.1": want HOST:PORT`},
		"no time":                 {"list --since yesterday --admin " + addr, exitUsage, "--since: want how long ago, such as 90m or 2h30m, or a time, such as 2026-01-02T15:04:05Z"},
		"days":                    {"list --since 3d --admin " + addr, exitUsage, "--since: a day is 24h: write 72h; "},
		"time to come":            {"list --until -2h --admin " + addr, exitUsage, "--until"},
		"no ID":                   {"show x --admin " + addr, exitUsage, "<id>"},
		"which ID":                {"show --admin " + addr, exitUsage, "<id>"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, said := command(t.Context(), nil, append([]string{"dead-letters"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(said, c.want) || out != "" || strings.Contains(said, "rpc error") {
				t.Errorf("exit %d, want %d and %q in:\n%s%s", code, c.code, c.want, said, out)
			}
		})
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// The gateway's address may be in the environment, and a directory is stronger than that.
func TestAdminFromEnvironment(t *testing.T) {
	addr, _ := serveLetters(t, letterStore(t, t.TempDir(), fourLetters()...), noReplay)
	t.Setenv("SLUICE_ADMIN", addr)
	if code, out, said := command(t.Context(), nil, "dead-letters", "list"); code != exitOK || !strings.HasSuffix(out, "4 letters\n") {
		t.Errorf("exit %d, said %q, out %q", code, said, out)
	}
	dir := t.TempDir()
	if err := letterStore(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if code, out, said := command(t.Context(), nil, "dead-letters", "list", "--dir", dir); code != exitOK || out != "no dead letters\n" {
		t.Errorf("exit %d, said %q, out %q", code, said, out)
	}
}

// On a terminal the message takes what the other columns leave, and pages keep their columns.
func TestLetterTableIsCut(t *testing.T) {
	var out bytes.Buffer
	table := newLetterTable(&out).(*letterTable)
	table.width = 100
	l := &engine.Letter{ID: 9, Tag: "t", StreamID: "s", Sequence: 1}
	l.Output, l.Reason, l.Target, l.Last, l.Message = "aws", "denied", "g", noon(), strings.Repeat("äöü ", 20)
	for range 2 {
		if err := errors.Join(table.add(l), table.end()); err != nil {
			t.Fatal(err)
		}
	}
	l.Target = strings.Repeat("g", 50)
	if err := errors.Join(table.add(l), table.end()); err != nil {
		t.Fatal(err)
	}
	const row = "9   2026-01-02T12:00:00Z  aws     denied  g       t    s       1         äöü äöü äöü äöü äöü äöü äö…\n"
	want := "ID  LAST                  OUTPUT  REASON  TARGET  TAG  STREAM  SEQUENCE  MESSAGE\n" + row + row +
		"9   2026-01-02T12:00:00Z  aws     denied  " + l.Target + "  t    s       1         äöü äöü äöü äöü äöü…\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}

// Producers do not see it.
func TestAdminServiceIsOnTheAdminAddressAlone(t *testing.T) {
	m := start(t, "outputs: [{name: n, type: 'null'}]")
	for addr, want := range map[string]codes.Code{m.Addr.String(): codes.Unimplemented, m.AdminAddr.String(): codes.FailedPrecondition} {
		g, err := openGateway(addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.client.DropDeadLetters(t.Context(), &sluicev1.DropDeadLettersRequest{All: true}); status.Code(err) != want {
			t.Errorf("%s: %v", addr, err)
		}
		_ = g.close()
	}
}
