package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	examples   = "../../../../deploy/examples"
	schemaFile = "../../../../deploy/config.schema.json"
)

// An environment with nothing in it, and enough memory.
func emptyEnvironment() Environment {
	return Environment{Lookup: func(string) (string, bool) { return "", false }, Memory: 4 << 30}
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatalf("examples %v, error %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, warnings, err := Load(file, emptyEnvironment())
			if filepath.Base(file) == "container.yaml" {
				// It has to be reached from outside, and its TLS is the business of whoever runs it.
				warnings = slices.DeleteFunc(warnings, func(w Fault) bool { return w.Path == "server.listen" || w.Path == "server.admin" })
			}
			if err != nil || len(warnings) > 0 {
				t.Errorf("faults:\n%v\nwarnings:\n%v", err, warnings)
			}
		})
	}
}

// full.yaml has every key that there is, and where a key has a default, its value is that.
func TestFullExample(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	root, fault := parseYAML(data)
	if fault != nil {
		t.Fatal(fault)
	}
	d := newDecoder(emptyEnvironment().Lookup)
	c := &Config{}
	setDefaults(reflect.ValueOf(c).Elem())
	d.node(root, reflect.ValueOf(c).Elem(), field{}, "")
	have := map[string]bool{}
	for path := range d.keys {
		have[withoutIndex(path)] = true
	}
	for path := range allKeys(reflect.TypeFor[Config](), "") {
		if !have[path] {
			t.Errorf("%s is not mentioned", path)
		}
	}

	full := c.Outputs[0]
	full.Name, full.Type, full.DeadLetter, full.Batch, full.Buffer.Share, full.File = "stdout", "stdout", "", Batch{}, Portion{}, nil
	full.complete()
	unexported := cmp.AllowUnexported(Config{}, Buffer{}, Output{})
	if diff := cmp.Diff(Default().Outputs[0], full, unexported); diff != "" {
		t.Errorf("defaults of an output (-real +mentioned):\n%s", diff)
	}
	c.Server.TLS, c.Server.GRPC.MaxStreams, c.Limits.Streams = nil, 0, 0
	c.Limits.Stream.Storage, c.Limits.Tenant.Storage = Portion{}, Portion{}
	c.Buffer.Type, c.Buffer.Disk = "memory", nil // its section is looked at below
	c.Outputs, c.Routes = Default().Outputs, Default().Routes
	if diff := cmp.Diff(Default(), c, unexported); diff != "" {
		t.Errorf("defaults (-real +mentioned):\n%s", diff)
	}
}

// The sections of all types in full.yaml hold the defaults of their keys.
func TestFullExampleSections(t *testing.T) {
	c, _, err := Load(filepath.Join(examples, "full.yaml"), emptyEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []any{
		c.Outputs[0].File, c.Outputs[1].HTTP, c.Outputs[2].CloudWatch, c.Outputs[3].Stdout, c.Outputs[4].Null,
		c.Buffer.Disk,
	} {
		got := reflect.ValueOf(section).Elem()
		want := reflect.New(got.Type()).Elem()
		setDefaults(want)
		for _, f := range fieldsOf(got.Type()) {
			if g, w := got.FieldByIndex(f.Index), want.FieldByIndex(f.Index); f.Default != "" && !g.Equal(w) {
				t.Errorf("%s.%s: mentioned %v, default %v", got.Type().Name(), f.Key, g, w)
			}
		}
	}
}

func withoutIndex(path string) string {
	var out strings.Builder
	for len(path) > 0 {
		before, rest, found := strings.Cut(path, "[")
		out.WriteString(before)
		if !found {
			break
		}
		_, path, _ = strings.Cut(rest, "]")
	}
	return out.String()
}

// allKeys are the paths of all keys that a config may have.
func allKeys(t reflect.Type, path string) map[string]bool {
	found := map[string]bool{}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if !isSection(t) {
		return found
	}
	for _, f := range fieldsOf(t) {
		if f.isLater() {
			continue
		}
		at := join(path, f.Key)
		found[at] = true
		for deeper := range allKeys(f.Type, at) {
			found[deeper] = true
		}
	}
	return found
}

func TestEveryKeyIsDocumented(t *testing.T) {
	var look func(t reflect.Type, path string)
	look = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if !isSection(typ) {
			return
		}
		for _, f := range fieldsOf(typ) {
			if f.Key == "" || !f.isLater() && !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s %q: doc %q", path, f.Key, f.Doc)
			}
			look(f.Type, join(path, f.Key))
		}
	}
	look(reflect.TypeFor[Config](), "")
}

func TestSchemaIsUpToDate(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run go test ./cmd/sluice/internal/config -update", schemaFile)
	}
}
