package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// An Environment is what a config is read in.
type Environment struct {
	Lookup func(name string) (string, bool) // variables for ${NAME}
	Memory int64                            // the memory limit that the process sees, in bytes; 0: not known
	// Space is what the file system of a directory has; nil: that is not looked at.
	Space func(dir string) (Space, error)
}

// Here is the environment of this process.
func Here() Environment { return Environment{Lookup: os.LookupEnv, Memory: Memory(), Space: SpaceOf} }

// Load reads a config file. The error is a [FaultsError] with all that is wrong, or that the file cannot be read. Warnings are
// what is allowed and probably not meant.
func Load(file string, env Environment) (c *Config, warnings Faults, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read config: %w", err)
	}
	return Parse(file, data, env)
}

// Parse is Load of a file's content.
func Parse(file string, data []byte, env Environment) (c *Config, warnings Faults, err error) {
	root, fault := parseYAML(data)
	if fault != nil {
		fault.File = file
		return nil, nil, &FaultsError{Faults{*fault}}
	}
	d := newDecoder(env.Lookup)
	c = &Config{}
	v := reflect.ValueOf(c).Elem()
	setDefaults(v)
	d.node(root, v, field{}, "")

	k := &checker{decoder: d}
	k.sections(c)
	c.complete()
	k.config(c, env.Memory)
	k.space(c, env.Space)

	faults := Faults(d.faults)
	for _, fs := range []Faults{faults, k.warnings} {
		for i := range fs {
			fs[i].File = file
		}
		fs.sort()
	}
	if len(faults) > 0 {
		return nil, k.warnings, &FaultsError{faults}
	}
	return c, k.warnings, nil
}

// parseYAML gives the only document in data. An empty one is an empty map.
func parseYAML(data []byte) (ast.Node, *Fault) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // which editors on Windows begin a file with
	if !utf8.Valid(data) {
		return nil, &Fault{Line: 1, Col: 1, Msg: "is not text in UTF-8"}
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(data, err)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		return nil, &Fault{Line: 1, Col: 1, Msg: "is empty: it needs outputs at least"}
	case 1:
		return docs[0], nil
	default:
		at := position(docs[1])
		return nil, &Fault{Line: at.Line, Col: at.Column, Msg: "a second document begins here; a config is one"}
	}
}

// syntaxFault is what the parser says, with its place. It never shows the line: that may hold a secret.
func syntaxFault(data []byte, err error) *Fault {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return &Fault{Line: 1, Col: 1, Msg: "is not YAML"}
	}
	at := syntax.GetToken().Position
	f := &Fault{Line: at.Line, Col: at.Column, Msg: "is not YAML: " + syntax.GetMessage()}
	if strings.Contains(f.Msg, "character '\t'") {
		f.Msg = "is not YAML: there is a tab; indent with spaces"
	}
	lines := strings.Split(string(data), "\n")
	if at.Line <= len(lines) && strings.Count(lines[at.Line-1], "{") > 1 {
		f.Msg += "; within { } and [ ] a value that has braces of its own, such as ${NAME}, needs quotes"
	}
	return f
}
