package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicelog/sluice/cmd/sluice/internal/config"
)

var update = flag.Bool("update", false, "write golden files anew")

// parse reads a config in a made-up environment with 1 GiB of memory.
func parse(t *testing.T, yaml string) (*config.Config, config.Faults, error) {
	t.Helper()
	return config.Parse("test.yaml", []byte(yaml), testEnvironment())
}

func testEnvironment() config.Environment {
	variables := map[string]string{"TOKEN": "line\nbreak hunter2", "PORT": "1234", "N": "3", "YES": "true", "EMPTY": ""}
	return config.Environment{
		Lookup: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		Memory: 1 << 30,
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, _, err := config.Load(filepath.Join("testdata", "faults.yaml"), testEnvironment())
	if _, ok := errors.AsType[*config.FaultsError](err); !ok {
		t.Fatalf("error is %T %v, want FaultsError", err, err)
	}
	got := err.Error() + "\n"
	if strings.Contains(got, "hunter2") {
		t.Errorf("a fault shows a secret:\n%s", got)
	}
	golden := filepath.Join("testdata", "faults.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestDefaultIsMemoryAndStdout(t *testing.T) {
	c := config.Default()
	if len(c.Outputs) != 1 || c.Outputs[0].Stdout == nil || c.Outputs[0].Scheduler.Type != "keyed" {
		t.Errorf("outputs = %+v", c.Outputs)
	}
	if diff := cmp.Diff([]config.Route{{Match: "**", Outputs: []string{"stdout"}}}, c.Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if c.Server.Listen != "127.0.0.1:4317" || c.Limits.Stream.Ceiling != 16*config.MiB {
		t.Errorf("server %+v, limits %+v", c.Server, c.Limits)
	}
}

// The least that a file may say comes to what the defaults are.
func TestLeastFile(t *testing.T) {
	got, warnings, err := parse(t, "outputs: [{name: stdout, type: stdout}]")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if diff := cmp.Diff(config.Default(), got, cmp.AllowUnexported(config.Config{}, config.Buffer{}, config.Output{})); diff != "" {
		t.Errorf("(-default +got):\n%s", diff)
	}
}

func TestValues(t *testing.T) {
	c, warnings, err := parse(t, `
server:
  listen: 127.0.0.1:${PORT}
  shutdown_grace: "${GRACE:-1m30s}"
limits: {stream: {memory: 1000, ceiling: 1.5 kib}, engine: {memory: 33.3%}}
outputs:
- &base
  name: "a"
  type: null
  null:
  scheduler: {in_flight: "${N}", adaptive: "${YES}"}
  batch: {linger: 0}
- name: b
  type: http
  http: {url: 'https://user:${PASSWORD:-s$ecret}@h/x', headers: {A: "$${N}", B: "${EMPTY:-}x"}, gzip: true}
  buffer: {share: 10%, when_full: drop_oldest}
- {name: c, type: file, file: {path: x, file_mode: 0600}}
routes:
- {match: "a.*", outputs: &all [a, b, c]}
- {match: "b", outputs: *all}
`)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	null, hook, file := c.Outputs[0], c.Outputs[1], c.Outputs[2]
	for _, v := range []struct {
		what      string
		got, want any
	}{
		{"variable in a string", c.Server.Listen, "127.0.0.1:1234"},
		{"default of a variable", c.Server.ShutdownGrace, 90 * time.Second},
		{"size without a unit", c.Limits.Stream.Memory, config.Size(1000)},
		{"size with a fraction", c.Limits.Stream.Ceiling, config.Size(1536)},
		{"percentage", c.Limits.Engine.Memory, config.Portion{Percent: 33.3}},
		{"YAML's null as a word", null.Type, "null"},
		{"empty section", null.Null != nil, true},
		{"number from a variable", null.Scheduler.InFlight, 3},
		{"truth from a variable", null.Scheduler.Adaptive, true},
		{"0 that is given", *null.Batch.Linger, time.Duration(0)},
		{"duration that is not", hook.Batch.Linger, (*time.Duration)(nil)},
		{"dollar by itself", hook.HTTP.URL, "https://user:s$ecret@h/x"},
		{"escaped variable", hook.HTTP.Headers["A"], "${N}"},
		{"empty variable", hook.HTTP.Headers["B"], "x"},
		{"mode as a number", file.File.FileMode, config.Mode("0600")},
		{"default beside what is given", file.File.MaxOpen, 128},
		{"alias", c.Routes[1].Outputs, []string{"a", "b", "c"}},
	} {
		if diff := cmp.Diff(v.want, v.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.what, diff)
		}
	}
}

// One fault each, that would hide others in a file together with them.
func TestFaults(t *testing.T) {
	const outputs = "outputs: [{name: a, type: stdout}]\n"
	many := "outputs:\n"
	for i := range 65 {
		many += fmt.Sprintf("- {name: a%d, type: stdout}\n", i)
	}
	for name, c := range map[string]struct{ yaml, want string }{
		"nothing":               {"", "1:1: is empty: it needs outputs at least"},
		"comments alone":        {"# nothing\n", "1:1: is empty: it needs outputs at least"},
		"text":                  {"sluice", "1:1: want a map of keys and values, got a string"},
		"no outputs":            {"server: {}", "1:1: outputs: is missing"},
		"empty outputs":         {"outputs: []", "1:10: outputs: must not be empty"},
		"null outputs":          {"outputs:", "1:10: outputs: want a list, got nothing"},
		"not YAML":              {"outputs: [a\n", "1:10: is not YAML: sequence end token ']' not found"},
		"tab":                   {"server:\n\tlisten: x", "2:1: is not YAML: there is a tab; indent with spaces"},
		"UTF-16":                {"\xff\xfeo\x00u\x00", "1:1: is not text in UTF-8"},
		"variable in braces":    {"a: {b: ${X}}", "such as ${NAME}, needs quotes"},
		"two documents":         {outputs + "---\na: b", "3:1: a second document begins here; a config is one"},
		"unknown alias":         {outputs + "routes: *r", "2:9: routes: there is no anchor &r above"},
		"YAML tag":              {outputs + "routes: !!seq []", "2:9: routes: YAML tags such as !!seq are not read here; leave it out"},
		"empty routes":          {outputs + "routes: []", "2:9: routes: must not be empty; left out, every stream goes to every output"},
		"dead letter to none":   {`outputs: [{name: a, type: stdout, dead_letter: ""}]`, "outputs[0].dead_letter: must not be empty"},
		"65 outputs":            {many, "66:3: outputs[64]: one output too many: there are 65, at most 64 are possible"},
		"name with a blank":     {`outputs: [{name: "a b", type: stdout}]`, `1:18: outputs[0].name: "a b": a name is up to 64`},
		"adaptive sync":         {"outputs: [{name: a, type: stdout, scheduler: {type: sync, adaptive: true}}]", "1:69: outputs[0].scheduler.adaptive: sync has"},
		"sync in flight":        {"outputs: [{name: a, type: stdout, scheduler: {type: sync, in_flight: 2}}]", "1:70: outputs[0].scheduler.in_flight: sync has"},
		"ceiling under limit":   {outputs + "limits: {stream: {ceiling: 1MiB}}", "2:28: limits.stream.ceiling: is less than memory, 8MiB"},
		"resume at 0":           {outputs + "limits: {stream: {resume_at: 0}}", "2:30: limits.stream.resume_at: must be over 0 and at most 1"},
		"no streams":            {outputs + "limits: {streams: 0}", `2:19: limits.streams: "0": must be at least 1`},
		"negative duration":     {outputs + "server: {shutdown_grace: -1s}", `2:26: server.shutdown_grace: "-1s": must not be negative`},
		"number in quotes":      {outputs + `limits: {streams: "5"}`, "2:19: limits.streams: want a whole number, got a string"},
		"variable of no number": {outputs + `limits: {streams: "${TOKEN}"}`, `2:19: limits.streams: "${TOKEN}": want a whole number`},
		"malformed variable":    {outputs + `server: {listen: "${a b}"}`, "2:18: server.listen: ${ begins a ${NAME} or ${NAME:-default}"},
		"unclosed variable":     {outputs + `server: {listen: "${PORT"}`, "2:18: server.listen: ${ begins a ${NAME} or ${NAME:-default}"},
		"one address twice":     {outputs + "server: {admin: 127.0.0.1:4317}", "2:17: server.admin: is the address of server.listen"},
		"one header twice":      {"outputs: [{name: a, type: http, http: {url: 'https://x', headers: {X-Key: a, x-key: b}}}]", "1:85: outputs[0].http.headers.x-key: is the header X-Key again"},
		"one file twice": {
			"outputs: [{name: a, type: file, file: {path: x}},\n {name: b, type: file, file: {path: x}}]",
			`2:37: outputs[1].file.path: the output "a" writes to this path already`,
		},
		"share over the whole": {
			"outputs: [{name: a, type: stdout, buffer: {share: 1GiB}}]",
			"1:51: outputs[0].buffer.share: is more than limits.engine.memory, 256MiB",
		},
		"cert without key": {
			"outputs: [{name: a, type: http, http: {url: https://x, tls: {cert_file: a}}}]",
			"1:61: outputs[0].http.tls: cert_file and key_file come together",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, c.yaml)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("got\n%v\nwant\n%v", err, c.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	const outputs = "outputs: [{name: a, type: stdout}]\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"none":             {outputs, ""},
		"plaintext":        {outputs + "server: {listen: ':4317'}", "2:18: server.listen: :4317 is reached from other machines"},
		"encrypted":        {outputs + "server: {listen: ':4317', tls: {cert_file: c, key_file: k}}", ""},
		"open admin":       {outputs + "server: {admin: ':9317'}", "2:17: server.admin: :9317 is reached from other machines"},
		"no admin":         {outputs + "server: {admin: ''}", ""},
		"streams cost":     {outputs + "limits: {streams: 8000, max_append: 1KiB}\nserver: {grpc: {stream_window: 64KiB}}", "MiB for 8000 streams"},
		"streams that fit": {outputs + "limits: {streams: 3000, max_append: 1KiB}\nserver: {grpc: {stream_window: 64KiB}}", ""},
		"IPv6 loopback":    {outputs + "server: {listen: '[::1]:4317'}", ""},
		"idle output":      {"outputs: [{name: a, type: stdout}, {name: b, type: 'null'}]\nroutes: [{match: '**', outputs: [a]}]", `1:43: outputs[1].name: no route leads to "b"`},
		"dead letters":     {"outputs: [{name: a, type: stdout, dead_letter: b}, {name: b, type: 'null'}]\nroutes: [{match: '**', outputs: [a]}]", ""},
		"large stream":     {outputs + "limits: {stream: {memory: 1GiB}}", "2:27: limits.stream.memory: is more than limits.engine.memory, 256MiB"},
		"too many streams": {outputs + "limits: {streams: 9999}", "2:9: limits: may take 13273 MiB in all: 32 MiB at rest, 352 MiB for records"},
		"large shares":     {"outputs: [{name: a, type: stdout, buffer: {share: 90%}}, {name: b, type: 'null'}]", "1:10: outputs: their shares of the buffer add up to 123%"},
		"password":         {"outputs: [{name: a, type: http, http: {url: 'http://u:p@h/'}}]", "1:45: outputs[0].http.url: sends a password in plaintext"},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := parse(t, c.yaml)
			if err != nil {
				t.Fatal(err)
			}
			got := warnings.String()
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || len(warnings) > 1 {
				t.Errorf("got\n%v\nwant\n%v", got, c.want)
			}
		})
	}
}

func TestByteOrderMark(t *testing.T) {
	if _, _, err := parse(t, "\ufeffoutputs: [{name: a, type: stdout}]"); err != nil {
		t.Error(err)
	}
}

func TestMissingFile(t *testing.T) {
	_, _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), testEnvironment())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}
