package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A listed is what these tests look at of a dead letter, as dead-letters list --json prints it.
type listed struct {
	line
	ID         uint64
	DeadLetter struct{ Output, Reason, Message string } `json:"dead_letter"`
}

// list lists the dead letters at a place: --admin or --dir, and where that is.
func list(t *testing.T, at ...string) (all []listed) {
	t.Helper()
	code, out, said := command(t.Context(), nil, append([]string{"dead-letters", "list", "--json"}, at...)...)
	if code != exitOK {
		t.Fatalf("list: exit %d, said %q", code, said)
	}
	for text := range strings.Lines(out) {
		var l listed
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		all = append(all, l)
	}
	return all
}

// sendBad sends numbers as the stream s, of which those that end with 7 are bad, and gives the others and these.
func sendBad(t *testing.T, m *Main, n int) (good, bad []string) {
	t.Helper()
	var input strings.Builder
	for i := range n {
		body := fmt.Sprint(i + 1)
		if strings.HasSuffix(body, "7") {
			body += " bad"
			bad = append(bad, body)
		} else {
			good = append(good, body)
		}
		fmt.Fprintln(&input, body)
	}
	code, _, said := command(t.Context(), strings.NewReader(input.String()), sendTo(m, "--stream-id", "s", "--tag", "app")...)
	if code != exitOK {
		t.Fatalf("send: exit %d: %s", code, said)
	}
	return good, bad
}

func wantBodies(t *testing.T, lines []line, want []string) {
	t.Helper()
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprint(l.Body))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d records, want %d: %.200q, want %.200q", len(got), len(want), got, want)
	}
}

// wantListed checks that these are the letters, of the stream s, in order.
func wantListed(t *testing.T, letters []listed, bad []string) {
	t.Helper()
	var lines []line
	for _, l := range letters {
		lines = append(lines, l.line)
		if want := strings.Fields(fmt.Sprint(l.Body))[0]; l.DeadLetter.Output != "hook" || l.DeadLetter.Reason != "http_400" ||
			l.Stream != "s" || l.Tag != "app" || fmt.Sprint(l.Sequence) != want {
			t.Errorf("letter %+v", l)
		}
	}
	wantBodies(t, lines, bad)
}

// What the destination refuses for good is listed with why, and nothing else is. Once the destination takes it a replay gives it back,
// in order, whether the gateway runs or not.
func TestDiskDeadLetters(t *testing.T) {
	for _, way := range []string{"online", "offline"} {
		t.Run(way, func(t *testing.T) {
			h, dir := newHook(t), t.TempDir()
			h.will(refusesBad)
			yaml := onDisk(dir) + "outputs: [" + h.to("hook") + "]\n"
			m := start(t, yaml)
			good, bad := sendBad(t, m, 200)
			at := []string{"--admin", m.AdminAddr.String()}
			eventually(t, "all is delivered or refused", func() bool { return len(h.lines()) == len(good) && len(list(t, at...)) == len(bad) })
			if way == "offline" {
				stop(t, m)
				at = []string{"--dir", dir}
			}
			wantBodies(t, h.lines(), good)
			letters := list(t, at...)
			wantListed(t, letters, bad)

			replay := func(what string, args ...string) {
				t.Helper()
				code, out, said := command(t.Context(), nil, append(append([]string{"dead-letters", "replay"}, at...), args...)...)
				if code != exitOK || out != what {
					t.Errorf("replay: exit %d, said %q, %q, want %q", code, out, said, what)
				}
			}
			h.will(nil)
			if code, out, said := command(t.Context(), nil, append([]string{"dead-letters", "replay", "9999"}, at...)...); code != exitFailure ||
				out != "" || said != "sluice: error: no dead letter has the ID 9999\n" {
				t.Errorf("replay of what is not there: exit %d, out %q, said %q", code, out, said)
			}
			replay("1 letter replayed\n", fmt.Sprint(letters[0].ID))
			replay(fmt.Sprintf("%d letters replayed\n", len(bad)-1), "--reason", "http_400")
			replay("no dead letters\n")
			if left := list(t, at...); len(left) > 0 {
				t.Errorf("left %+v", left)
			}
			if way == "offline" {
				m = start(t, yaml)
			}
			stop(t, m)
			wantBodies(t, h.lines(), append(good, bad...))
		})
	}
}

// What is replayed and refused once more is a dead letter again. What is dropped is gone for good.
func TestDiskDeadLettersComeBack(t *testing.T) {
	h, dir := newHook(t), t.TempDir()
	h.will(refusesBad)
	m := start(t, onDisk(dir)+"outputs: ["+h.to("hook")+"]\n")
	good, bad := sendBad(t, m, 40)
	at := []string{"--admin", m.AdminAddr.String()}
	eventually(t, "they are refused", func() bool { return len(list(t, at...)) == len(bad) })
	first := list(t, at...)
	if code, out, said := command(t.Context(), nil, append([]string{"dead-letters", "replay"}, at...)...); code != exitOK {
		t.Errorf("replay: exit %d, said %q, %q", code, out, said)
	}
	eventually(t, "they are refused again", func() bool { return len(list(t, at...)) == len(bad) })
	again := list(t, at...)
	wantListed(t, again, bad)
	if len(first) == 0 || again[0].ID <= first[len(first)-1].ID {
		t.Errorf("letters %+v became %+v", first, again)
	}
	code, out, said := command(t.Context(), nil, append([]string{"dead-letters", "drop", fmt.Sprint(again[1].ID)}, at...)...)
	if code != exitOK || out != "1 letter dropped\n" {
		t.Errorf("drop: exit %d, said %q, %q", code, out, said)
	}
	stop(t, m)
	at = []string{"--dir", dir}
	wantListed(t, list(t, at...), append(bad[:1:1], bad[2:]...))
	if code, out, said = command(t.Context(), nil, append([]string{"dead-letters", "drop", "--all"}, at...)...); code != exitOK {
		t.Errorf("drop: exit %d, said %q, %q", code, out, said)
	}
	if left := list(t, at...); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	wantBodies(t, h.lines(), good)
}

// A replay into a buffer whose output has left the config says so, and loses nothing.
func TestDiskReplayWithoutOutput(t *testing.T) {
	h, dir := newHook(t), t.TempDir()
	h.will(refusesBad)
	m := start(t, onDisk(dir)+"outputs: ["+h.to("hook")+"]\n")
	_, bad := sendBad(t, m, 20)
	eventually(t, "they are refused", func() bool { return len(list(t, "--admin", m.AdminAddr.String())) == len(bad) })
	stop(t, m)
	m = start(t, onDisk(dir)+"outputs: [{name: other, type: file, file: {path: '"+filepath.Join(dir, "out")+"'}}]\n")
	at := []string{"--admin", m.AdminAddr.String()}
	code, out, said := command(t.Context(), nil, append([]string{"dead-letters", "replay"}, at...)...)
	if code != exitFailure || !strings.Contains(said, `"hook"`) {
		t.Errorf("replay: exit %d, said %q, %q", code, out, said)
	}
	wantListed(t, list(t, at...), bad)
	halt(t, m, time.Second)
}

// A replay waits for room in its output's share, as producers do. A gateway that is stopped does not wait for it: what was not
// replayed stays, the rest is delivered by the next one, and none of it twice.
func TestDiskReplayWaitsForRoom(t *testing.T) {
	h, dir := newHook(t), t.TempDir()
	h.will(refusesBad)
	yaml := onDisk(dir) + "outputs: [" + h.to("hook", "buffer: {share: 6KiB}") + "]\n"
	m := start(t, yaml)
	_, bad := sendBad(t, m, 200)
	eventually(t, "they are refused", func() bool { return len(list(t, "--admin", m.AdminAddr.String())) == len(bad) })
	h.will(isDown)
	took := len(h.lines())
	exit, said := make(chan int, 1), &safeBuffer{}
	go func() {
		exit <- run(t.Context(), []string{"dead-letters", "replay", "--admin", m.AdminAddr.String()}, terminal{nil, said, said})
	}()
	eventually(t, "the share is full", func() bool {
		o := m.engine.Stats().Outputs[0]
		return o.ShareUsed >= o.ShareLimit
	})
	kept := halt(t, m, time.Millisecond)
	if code := <-exit; code != exitFailure {
		t.Errorf("replay: exit %d, said %s", code, said)
	}
	left := list(t, "--dir", dir)
	if kept["hook"] == 0 || len(left) == 0 || int(kept["hook"])+len(left) != len(bad) {
		t.Errorf("kept %v, left %d of %d", kept, len(left), len(bad))
	}
	h.will(nil)
	m = start(t, yaml)
	if code, out, failed := command(t.Context(), nil, "dead-letters", "replay", "--admin", m.AdminAddr.String()); code != exitOK {
		t.Errorf("replay: exit %d, said %q, %q", code, out, failed)
	}
	stop(t, m)
	wantBodies(t, h.lines()[took:], bad)
}
